# Every task a person or CI runs. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.SUFFIXES:
# Some machines forbid byte code; without it every start compiles all of Dagster again.
unexport PYTHONDONTWRITEBYTECODE
# A virtual environment of the caller's must not leak into ours.
unexport VIRTUAL_ENV PYTHONPATH

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
# Two more than cores that a small machine has: many tests wait for processes that they start.
WORKERS ?= 4
# A file's tests stay together, as they share servers; the longest files come first, see tests/conftest.py.
PARALLEL := -n $(WORKERS) --dist loadfile --no-loadscope-reorder
# Which tests of the containers `make test-docker` runs; "docker and not slow" leaves out the longer ones.
DOCKER ?= docker
# Which faults `make test-faults` causes: quick, slow (all that the other suites cause), full (with the long ones), scale.
FAULTS ?= quick
COMPOSE := docker compose --file docker/compose.yaml
# What the image needs beyond requirements/runtime.txt: the launcher of runs in containers, and what it needs.
DOCKER_PACKAGES := dagster-docker==0.29.27 docker docker-image-py regex
# Superset needs two packages in older releases than it says, and three that it does not name.
SUPERSET_PACKAGES := apache-superset==6.1.0 psycopg2-binary gunicorn flask-caching==2.3.1 flask-limiter==3.12 rich cachetools

.PHONY: help setup demo up test test-fast test-slow test-scale test-docker test-faults rck docker-up docker-demo docker-down browser bench bench-quick docs sbom audit lint lint-types lint-sql lint-style lint-docs format down lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else f"Millpond needs Python 3.11, 3.12 or 3.13; {sys.executable} is {v[0]}.{v[1]}. Try: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(VENV)/.runtime: requirements/runtime.txt pyproject.toml | $(BIN)/uv
	@echo "installing what Millpond runs on …"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/runtime.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	@echo "installing what its tests need …"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@touch $@

# In an environment of its own: it needs another pathspec than dbt. It reads the packages of ours.
$(VENV)/.mypy: requirements/mypy.txt $(VENV)/.dev
	@$(BIN)/uv venv --quiet --clear $(VENV)/mypy
	@$(BIN)/uv pip install --quiet --python $(VENV)/mypy/bin/python --require-hashes -r requirements/mypy.txt
	@touch $@

# The same: the site has nothing to do with what the platform runs on.
$(VENV)/.docs: requirements/docs.txt | $(BIN)/uv
	@$(BIN)/uv venv --quiet --clear $(VENV)/docs
	@$(BIN)/uv pip install --quiet --python $(VENV)/docs/bin/python --require-hashes -r requirements/docs.txt
	@touch $@

# The same: what reads the packages has packages of its own.
$(VENV)/.audit: requirements/audit.txt | $(BIN)/uv
	@$(BIN)/uv venv --quiet --clear $(VENV)/audit
	@$(BIN)/uv pip install --quiet --python $(VENV)/audit/bin/python --require-hashes -r requirements/audit.txt
	@touch $@

# The same: the platform must not find what the benchmarks compare it with.
$(VENV)/.bench: requirements/bench.txt $(VENV)/.runtime
	@$(BIN)/uv venv --quiet --clear $(VENV)/bench
	@$(BIN)/uv pip install --quiet --python $(VENV)/bench/bin/python --require-hashes -r requirements/bench.txt
	@touch $@

setup: $(VENV)/.runtime ## Install Millpond into .venv
	@echo "ready: $(BIN)/millpond --help"

demo: $(VENV)/.runtime ## From nothing to marts: 30 days of real readings through every layer
	@$(BIN)/millpond demo

up: $(VENV)/.runtime ## Dagster, its daemon and every embedded part in this terminal; Ctrl-C stops them
	@$(BIN)/millpond up

down: $(VENV)/.runtime ## Stop every part that runs for this checkout's state
	@$(BIN)/millpond down

test: $(VENV)/.dev ## Lint, types and the test suite (some 10 minutes on two cores)
	@$(MAKE) --no-print-directory --jobs=2 test-fast lint-types lint-sql lint-style lint-docs

test-fast: $(VENV)/.dev
	@$(BIN)/pytest $(PARALLEL) -m "not slow and not scale and not docker" tests

test-slow: $(VENV)/.dev browser ## The longer variations of the fault and property tests, and the pages in a browser
	@$(BIN)/pytest -n $(WORKERS) -m "slow and not exhaustive and not browser and not scale and not docker" tests
	@$(BIN)/pytest -m browser tests/browser

test-scale: $(VENV)/.dev ## Trino, S3, Nessie, Postgres and Spark, real and on this machine (first time: 8 minutes more; needs JDKs 25 and 17, Maven, Go)
	@PYTHONPATH=tests/scale $(BIN)/python -m servers install
	@PYTHONPATH=tests/scale $(BIN)/python -m servers install clients
	@$(BIN)/pytest -n 0 -m scale tests/scale

rck: $(VENV)/.dev ## Apache's compatibility kit against the Iceberg REST catalog (3 minutes; needs a JDK, Maven)
	@PYTHONPATH=tests/scale $(BIN)/python tests/scale/compatibility_kit.py

test-faults: $(VENV)/.dev ## Cause every fault of docs/faults.md; prints fault, expected, seen; FAULTS chooses quick, slow, full or scale
	@$(if $(filter scale,$(FAULTS)),PYTHONPATH=tests/scale $(BIN)/python -m servers install)
	@$(BIN)/python tests/fault_suite.py $(FAULTS) $(if $(filter scale,$(FAULTS)),-n 0,$(PARALLEL))

test-docker: $(VENV)/.dev ## Build the image, run the stack of docker/, use it, take it down (needs Docker, or Debian as root)
	@PYTHONPATH=tests/scale $(BIN)/python -m servers install
	@$(BIN)/pytest -n 0 -m "$(DOCKER)" tests/docker

docker-up: ## The profile scale in containers: Postgres, S3 store, Trino, Dagster; your sources in docker/.env
	@docker/make-secrets
	@$(COMPOSE) up --detach --build --wait
	@echo "Dagster: http://127.0.0.1:$${MILLPOND_DAGSTER_PORT:-3000}"

docker-demo: ## The same with the demo source in place of yours
	@docker/make-secrets
	@$(COMPOSE) --profile demo up --detach --build --wait
	@echo "Dagster: http://127.0.0.1:$${MILLPOND_DAGSTER_PORT:-3000}"
	@echo 'load a day: docker exec dagster-webserver dagster asset materialize --select "dlt_glucose_entries*" --partition 2026-11-01'

docker-down: ## Stop the containers; the data stays in their volumes
	@$(COMPOSE) --profile demo --profile nessie --profile bi --profile catalog down

browser: ## Install Chromium for the browser tests where there is none (Debian, as root)
	@for name in "$${MILLPOND_TEST_CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable; do \
	  if [ -n "$$name" ] && command -v "$$name" >/dev/null; then exit 0; fi; \
	done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "installing Chromium …"; \
	  { apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium; } >/dev/null; \
	else \
	  echo "the browser tests need Chromium: install it with your system's packages, or set MILLPOND_TEST_CHROMIUM"; \
	fi

bench: $(VENV)/.dev $(VENV)/.bench ## Time commands, loads, writes and launches beside what people use instead; BENCH chooses (an hour)
	@$(BIN)/python bench/suite.py $(if $(BENCH),--only $(BENCH))

bench-quick: $(VENV)/.dev $(VENV)/.bench ## The same with as little as shows that all of it works (minutes)
	@$(BIN)/python bench/suite.py --quick $(if $(BENCH),--only $(BENCH))

docs: $(VENV)/.dev $(VENV)/.docs ## Write the reference pages from the code, and the site from docs/ into site/; a broken link fails
	@$(BIN)/python tests/reference_pages.py
	@$(MAKE) --no-print-directory lint-docs
	@echo "the documentation: site/index.html"

sbom: $(VENV)/.dev $(VENV)/.audit ## Write sbom.json, the bill of materials (CycloneDX): each installed package, its licence, what needs it
	@$(VENV)/audit/bin/cyclonedx-py environment --no-validate --output-reproducible --pyproject pyproject.toml -o sbom.json $(BIN)/python 2>/dev/null
	@$(BIN)/python -c 'import json; print(len(json.load(open("sbom.json"))["components"]), "packages: sbom.json")'

audit: $(VENV)/.dev $(VENV)/.audit ## Look for known vulnerabilities of the pinned packages; ADVISORIES=FILE reads OSV's JSON, without a network
	@$(BIN)/python tests/supply_chain.py audit $(ADVISORIES) || [ $$? = 3 ] # 3: no advisory service can be reached, which it says

lint: $(VENV)/.dev ## Style, types, import layers, SQL style, links of the documentation
	@$(MAKE) --no-print-directory --jobs=2 lint-types lint-sql lint-style lint-docs

# Without writing the reference pages: tests/unit/test_docs_site.py says whether those that are there are right.
lint-docs: $(VENV)/.docs
	@NO_MKDOCS_2_WARNING=1 $(VENV)/docs/bin/mkdocs build --clean

lint-types: $(VENV)/.mypy
	@$(VENV)/mypy/bin/mypy --python-executable $(BIN)/python

lint-sql: $(VENV)/.dev
	@$(BIN)/python -m millpond.runtime.dbt_package dbt > /dev/null
	@$(BIN)/sqlfluff lint --nocolor dbt/models dbt/snapshots

lint-style: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-cache | tail -5

format: $(VENV)/.dev ## Rewrite the Python and SQL files in house style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/python -m millpond.runtime.dbt_package dbt > /dev/null
	@$(BIN)/sqlfluff fix --quiet dbt/models dbt/snapshots

lock: $(BIN)/uv ## Pin every dependency anew from pyproject.toml
	@$(BIN)/uv pip compile --quiet --no-strip-extras --universal --python-version 3.11 --generate-hashes --extra dev --extra forecast pyproject.toml -o requirements/dev.txt
	@$(BIN)/uv pip compile --quiet --no-strip-extras --universal --python-version 3.11 --generate-hashes --extra forecast -c requirements/dev.txt pyproject.toml -o requirements/runtime.txt
	@{ echo mypy==2.4.1; grep -o '^pydantic==[^ ]*' requirements/runtime.txt; } | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes - -o requirements/mypy.txt
	@echo mkdocs-material==9.8.2 | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes - -o requirements/docs.txt
	@printf '%s\n' cyclonedx-bom==7.5.0 pip-audit==2.10.1 | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" - -o requirements/audit.txt
	@printf '%s\n' 'streamlit>=1.67,<2' 'plotly>=7,<8' | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" -c requirements/runtime.txt $$(sed -n 's/^\([a-z0-9._-]*\)\(\[.*\]\)\?==.*/--no-emit-package \1/p' requirements/runtime.txt) - -o src/millpond/runtime/requirements/dashboard.txt
	@printf '%s\n' $(SUPERSET_PACKAGES) | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" - -o src/millpond/runtime/requirements/superset.txt
	@echo 'mcp>=1.30,<2' | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" -c requirements/runtime.txt $$(sed -n 's/^\([a-z0-9._-]*\)\(\[.*\]\)\?==.*/--no-emit-package \1/p' requirements/runtime.txt) - -o src/millpond/runtime/requirements/mcp.txt
	@printf '%s\n' duckdb-cli==1.5.5 'pandas>=2.3,<4' pyarrow 'sqlalchemy>=2,<3' psycopg[binary] | $(BIN)/uv pip compile --quiet --no-strip-extras --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" -c requirements/runtime.txt - -o requirements/bench.txt
	@echo $(DOCKER_PACKAGES) | tr ' ' '\n' | $(BIN)/uv pip compile --quiet --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-deps - -o requirements/docker.txt

clean: ## Remove the virtual environment and the caches, not the data
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
