"""`millpond upgrade` brings what a release changed in the template into a project and keeps your edits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from millpond.errors import ConfigError
from millpond.project import upgrade as module
from millpond.project.create import create
from millpond.project.template import Template
from millpond.settings import Settings

Run = Callable[..., tuple[int, str, str]]
ADDED, GONE, EDITED, BOTH, CLASH = (
    "docs/new.md",
    "docker/Dockerfile",
    ".gitignore",
    "README.md",
    "alerts.yaml",
)
DELETED, GONE_BUT_EDITED, ALIKE = "waits.yaml", "workspace.yaml", "dagster.yaml"


def files(root: Path) -> dict[str, bytes]:
    return {str(f.relative_to(root)): f.read_bytes() for f in sorted(root.rglob("*")) if f.is_file()}


@pytest.fixture
def project(tmp_path: Path, configure: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project as `millpond init` makes it, edited; the release that is installed has another template."""
    root = create(tmp_path / "my lake" / "pond", "empty")
    before = module.rendered("pond", "empty")
    later = {**before, ADDED: b"new\n", "dbt/profiles.yml": before["dbt/profiles.yml"] + b"# later\n"}
    del later[GONE], later[GONE_BUT_EDITED]
    later[BOTH] = before[BOTH] + b"\nThe last line of the template.\n"
    later[CLASH] = b"# of the template\n" + before[CLASH].split(b"\n", 1)[1]
    later[DELETED] = before[DELETED] + b"# later\n"
    later[ALIKE] = before[ALIKE] + b"# both\n"
    (root / BOTH).write_bytes(b"My first line.\n\n" + before[BOTH])
    (root / CLASH).write_bytes(b"# of mine\n" + before[CLASH].split(b"\n", 1)[1])
    (root / EDITED).write_bytes(before[EDITED] + b"mine/\n")
    (root / GONE_BUT_EDITED).write_bytes(before[GONE_BUT_EDITED] + b"# mine\n")
    (root / ALIKE).write_bytes(later[ALIKE])
    (root / DELETED).unlink()
    monkeypatch.setattr(module, "rendered", lambda name, template: later if name == "pond" else {})
    configure(project=root, home=tmp_path / "home")
    return root


def changes(run: Run, *flags: str) -> dict[str, tuple[str, str]]:
    said = json.loads(run("upgrade", "--json", *flags)[1])
    return {each["part"]: (each["change"].split(":")[0], each["state"]) for each in said["changes"]}


def test_each_file_is_taken_merged_or_left_as_it_was_and_none_of_your_lines_is_lost(
    project: Path, run: Run
) -> None:
    before = files(project)
    told = {
        ADDED: ("added", "to do"),
        "dbt/profiles.yml": ("replaced", "to do"),
        GONE: ("removed", "to do"),
        BOTH: ("merged with your edits", "to do"),
        CLASH: ("conflict", "by hand"),
        DELETED: ("changed in the template; you deleted it, so it stays deleted", "kept"),
        GONE_BUT_EDITED: ("no longer in the template; yours is edited and stays", "kept"),
    }
    assert changes(run, "--check") == told
    code, said, _ = run("upgrade", "--dry-run")
    assert code == 1
    assert "+The last line of the template." in said
    assert files(project) == before
    code, said, _ = run("upgrade")
    assert code == 0
    assert "alerts.yaml: copy what you want from alerts.yaml.new" in said
    after = files(project)
    assert after[ADDED] == b"new\n"
    assert after["dbt/profiles.yml"].endswith(b"# later\n")
    assert GONE not in after
    assert after[BOTH].startswith(b"My first line.\n")
    assert after[BOTH].endswith(b"The last line of the template.\n")
    assert after[CLASH] == before[CLASH]
    assert after[f"{CLASH}.new"].startswith(b"# of the template\n")
    for kept in (EDITED, GONE_BUT_EDITED, ALIKE):
        assert after[kept] == before[kept]
    assert DELETED not in after
    assert {p.removeprefix(".template/") for p in after if p.startswith(".template/")} == {
        *module.rendered("pond", "empty"),
        "version",
    }
    code, said, _ = run("upgrade", "--check")
    assert (code, "nothing to upgrade" in said) == (0, True)
    assert files(project) == after
    assert not (project.parents[1] / "home" / "postgres" / "data").exists()


def test_an_upgrade_of_files_that_was_broken_off_anywhere_comes_to_the_same(
    project: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = upgraded(project, tmp_path / "whole")
    put, left = module._put, [0]

    def fail(file: Path, content: bytes | None) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise OSError(28, "No space left on device", str(file))
        put(file, content)

    monkeypatch.setattr(module, "_put", fail)
    for writes in range(1, 50):
        left[0], copy = writes, tmp_path / str(writes)
        try:
            upgraded(project, copy)
        except ConfigError:
            assert upgraded(copy, tmp_path / f"{writes} again") == whole
        else:
            break
    assert 10 < writes < 49


def upgraded(project: Path, folder: Path) -> dict[str, bytes]:
    """Return the files of a copy of the project, in `folder`, after the upgrade."""
    shutil.copytree(project, folder)
    found = module.project_upgrade(folder)
    assert found
    found.apply()
    return files(folder)


@pytest.mark.parametrize("template", ["glucose", "empty"])
def test_a_project_of_this_release_has_nothing_to_upgrade(tmp_path: Path, template: Template) -> None:
    """Whatever its folder is called by now."""
    moved = create(tmp_path / "pond", template).rename(tmp_path / "my lake")
    found = module.project_upgrade(moved)
    assert found
    assert found.changes == ()


def test_without_git_what_both_changed_is_left_to_you(
    project: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(project)
    monkeypatch.setattr(module.shutil, "which", lambda _: None)
    assert changes(run)[BOTH] == ("conflict", "by hand")
    after = files(project)
    assert after[BOTH] == before[BOTH]
    assert after[f"{BOTH}.new"] == module.rendered("pond", "empty")[BOTH]


def test_line_ends_of_windows_are_no_edits_and_stay(project: Path, run: Run) -> None:
    file = project / "dbt" / "profiles.yml"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert changes(run)["dbt/profiles.yml"] == ("replaced", "done")
    content = file.read_bytes()
    assert content.endswith(b"# later\r\n")
    assert content.count(b"\n") == content.count(b"\r\n")


def test_a_project_without_a_base_has_its_home_upgraded_only(project: Path, run: Run) -> None:
    for file in (project / ".template").rglob("*"):
        if file.is_file():
            file.unlink()
    before = files(project)
    assert changes(run) == {}
    assert files(project) == before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("99.0 empty", "files of this project are those of Millpond 99.0"),
        ("0.0.1 weather", "does not say which template"),
        ("", "does not say which template"),
        ("\0\udcff", "does not say which template"),
    ],
)
def test_a_project_of_a_newer_release_or_with_a_broken_base_is_refused(
    project: Path, run: Run, content: str, said: str
) -> None:
    (project / ".template" / "version").write_text(content, errors="surrogateescape")
    before = files(project)
    for flags in ((), ("--check",)):
        code, _, words = run("upgrade", *flags)
        assert (code, said in words, "nothing was changed" in words) == (2, True, True)
    assert files(project) == before
