"""The files that a proposed source consists of, and how they come into the project."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from millpond.errors import ConfigError
from millpond.ingestion.inspection.models import write_mart, write_models
from millpond.ingestion.inspection.options import UNHARMED
from millpond.ingestion.inspection.proposal import Proposal
from millpond.ingestion.json_schema import write_source_schema
from millpond.ingestion.spec import SourceSpec
from millpond.project.config import read_project
from millpond.settings import variable


@dataclass(frozen=True)
class NewFiles:
    """The files of a source by their path below `project`, and the variables that go to `.env`."""

    project: Path
    files: Mapping[str, str]
    variables: Mapping[str, str]
    extended: frozenset[str] = frozenset()
    """Those of the files that are there, and get another table."""

    @classmethod
    def of(cls, proposal: Proposal, project: Path, *, publish: bool = False) -> NewFiles:
        """Return the files of `proposal`, with `publish` also those of a mart, and where the source is."""
        found = read_project(project)
        path = f"{found.sources[0]}/{proposal.source}{proposal.suffix}"
        longer = _add_table(project / path, proposal)
        files = {path: longer or proposal.text()}
        if found.dbt:
            models = write_models(proposal) | (write_mart(proposal) if publish else {})
            files |= {f"{found.dbt[0]}/models/{path}": text for path, text in models.items()}
        given = {"url": proposal.url, "user": proposal.user, "token": proposal.token}
        variables = {variable(k, proposal.source): v for k, v in given.items() if v}
        return cls(project, files, variables, frozenset({path} if longer else ()))

    def refuse_overwriting(self) -> None:
        """Raise ConfigError if a file is there, or a variable has another value."""
        there = [p for p in self.files if p not in self.extended and (self.project / p).exists()]
        known = _read(self.project / ".env")
        there += [
            f"{name} in .env" for name, value in self.variables.items() if known.get(name, value) != value
        ]
        if there:
            raise ConfigError(
                f"{there[0]} is there already" + (f", and {len(there) - 1} more" if len(there) > 1 else ""),
                unharmed=UNHARMED,
                next_step="give the source another name, look at what would be written with --dry-run,"
                " or replace it with --overwrite",
            )

    def write(self) -> list[str]:
        """Write all files; returns their paths below the project, `.env` last."""
        for path, text in self.files.items():
            (self.project / path).parent.mkdir(parents=True, exist_ok=True)
            (self.project / path).write_text(text, encoding="utf-8")
        schema = write_source_schema(self.project)
        written = [*self.files, schema.as_posix()]
        if self.variables:
            _set(self.project / ".env", self.variables)
            written.append(".env")
        return written


def _add_table(file: Path, proposal: Proposal) -> str:
    """Return the text of a source that is there with the table at its end; blank if it takes none."""
    if file.suffix != ".yaml" or not file.is_file():
        return ""
    text = f"{file.read_text(encoding='utf-8').rstrip()}\n{proposal.table_text()}"
    try:
        SourceSpec.model_validate(yaml.safe_load(text))
        same = yaml.safe_load(file.read_bytes()).items() >= dict(proposal.connection).items()
    except (yaml.YAMLError, ValidationError):
        return ""
    return text if same else ""


def _read(file: Path) -> dict[str, str]:
    if not file.is_file():
        return {}
    lines = (re.fullmatch(r"\s*(?:export\s+)?(\w+)=(.*)", line) for line in file.read_text().splitlines())
    return {found[1]: found[2].strip().strip("\"'") for found in lines if found}


def _set(file: Path, variables: Mapping[str, str]) -> None:
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    kept = [line for line in lines if line.partition("=")[0].strip() not in variables]
    kept += [f"{name}={_quoted(value)}" for name, value in variables.items()]
    new = not file.exists()
    file.touch(mode=0o600)
    file.write_text("\n".join(kept) + "\n", encoding="utf-8")
    if new:
        file.chmod(0o600)


def _quoted(value: str) -> str:
    return value if re.fullmatch(r"[\w:/.@%+,=?&~-]*", value) else "'" + value.replace("'", "\\'") + "'"
