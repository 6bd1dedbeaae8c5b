"""Environments of their own: Python packages that a part needs and that must stay out of Millpond's own.

Streamlit brings in pandas, which PyArrow would then load in every process; Superset needs other releases of
what Millpond runs on. Each is installed once, on first use, beside the environment that Millpond runs in.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from millpond.errors import InstallFailed
from millpond.redaction import redacted
from millpond.runtime.home import exclusive, locate
from millpond.settings import settings

_REQUIREMENTS: Final = Path(__file__).with_name("requirements")
_COMPLETE: Final = ".complete"
_INSTALL_SECONDS: Final = 1800.0


@dataclass(frozen=True)
class Environment:
    """A virtual environment of pinned packages, named as its file in `runtime/requirements`.

    With `overlay` it also sees the packages that Millpond itself runs on, after its own. `pythons` are the
    versions of Python that its packages run on, the best first; none: that of Millpond.
    """

    name: str
    overlay: bool = False
    pythons: tuple[str, ...] = ()

    @property
    def requirements(self) -> Path:
        """The file of its packages, with versions and hashes."""
        return _REQUIREMENTS / f"{self.name}.txt"

    def find(self) -> Path | None:
        """Return its Python, or None if it is not installed as it is required now."""
        for parent in (_find_parent(), _beside()):
            folder = parent / self._folder().name
            if (folder / _COMPLETE).exists():
                return folder / "bin" / "python"
        return None

    def ensure(self, report: Callable[[str], None]) -> Path:
        """Return its Python; installs it first where it is missing, which takes a package index.

        `report` is given one line when there is something to install. Processes that ask at once wait for
        each other. Raises InstallFailed.
        """
        if python := self.find():
            return python
        folder = self._folder()
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = folder.parent / f"{self.name}.lock"
        with exclusive(lock, doing=f"installing {self.name}", timeout=_INSTALL_SECONDS):
            if python := self.find():
                return python
            report(f"installing {self.name} into an environment of its own, once: {folder}")
            shutil.rmtree(folder, ignore_errors=True)
            try:
                self._install(folder)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            (folder / _COMPLETE).touch()
            self._remove_former(folder)
        return folder / "bin" / "python"

    def find_python(self) -> str | None:
        """Return the Python to install it for: Millpond's own if it suits, else one on the PATH; or None."""
        if not self.pythons or f"{sys.version_info.major}.{sys.version_info.minor}" in self.pythons:
            return sys.executable
        return next(filter(None, (shutil.which(f"python{version}") for version in self.pythons)), None)

    def _folder(self) -> Path:
        content = self.requirements.read_bytes() + sys.version.encode() + str(self.overlay).encode()
        return _find_parent() / f"{self.name}-{hashlib.sha256(content).hexdigest()[:12]}"

    def _install(self, folder: Path) -> None:
        uv, python = find_uv(), self.find_python()
        if uv:
            self._run([uv, "venv", "--quiet", "--python", python or self.pythons[0], str(folder)])
            command = [uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python")]
        elif not python:
            raise InstallFailed(
                f"{self.name} runs on Python {' and '.join(self.pythons)}, not on {sys.version.split()[0]}",
                unharmed="everything else runs without it",
                next_step=f"install python{self.pythons[0]}, or uv, which downloads one; then try again",
            )
        else:
            self._run([python, "-m", "venv", str(folder)])
            command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        self._run([*command, "--no-deps", "--require-hashes", "-r", str(self.requirements)])
        if self.overlay:
            version = f"python{sys.version_info.major}.{sys.version_info.minor}"
            own = folder / "lib" / version / "site-packages"
            platform = sysconfig.get_path("purelib")
            # `addsitedir` reads the .pth files there too, which an editable install needs.
            (own / "millpond_platform.pth").write_text(f"import site; site.addsitedir({platform!r})\n")

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise InstallFailed(
                f"{self.name} could not be installed: {redacted(done.stderr.strip() or done.stdout.strip())}",
                unharmed="everything else runs without it",
                next_step="see that pip reaches its package index, then run the command again",
            )

    def _remove_former(self, folder: Path) -> None:
        for former in folder.parent.glob(f"{self.name}-*"):
            if former != folder:
                shutil.rmtree(former, ignore_errors=True)


def find_uv() -> str | None:
    """Return the path of `uv`, beside this Python or on the PATH."""
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv")


def _find_parent() -> Path:
    """Return where environments are: beside the packages of Millpond, else in the home."""
    beside = _beside()
    with suppress(OSError):
        beside.mkdir(exist_ok=True)
    return beside if os.access(beside, os.W_OK) else locate(settings()).root / "environments"


def _beside() -> Path:
    """Return the folder beside the packages of Millpond; in an image it is filled and read-only."""
    return Path(sys.prefix) / "environments"


if __name__ == "__main__":  # as images are built
    for name in sys.argv[1:]:
        Environment(name, overlay=True).ensure(print)
