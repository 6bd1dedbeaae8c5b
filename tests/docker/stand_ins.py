"""What the stand-ins for official images are built from: Debian, Python, a JDK, the servers.

Made from Debian's packages and from what tests/scale installs; each once, then kept in the engine's images.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from engine import CACHE, docker, mirror, run

ROOT = Path(__file__).parents[2]
_PYTHONS = {"trixie": "3.13", "bookworm": "3.11"}
"""Releases of Debian, and the Python of each: Millpond's, and one that is old enough for Superset."""
_JDK, _SERVERS = "millpond-stand-in/jdk:25", "millpond-stand-in/servers:latest"


def official_images_can_be_had(images: Sequence[str]) -> bool:
    """Return whether all of `images` are here or can be pulled."""
    return all(
        docker("image", "inspect", image, check=False).returncode == 0
        or docker("pull", "--quiet", image, check=False).returncode == 0
        for image in images
    )


def make_base_images(lap: Callable[[str], None]) -> None:
    """Make what the stand-ins' Dockerfile starts from, where it is missing; call `lap` after each."""
    images = {f"millpond-stand-in/debian:{release}": partial(_debian, release) for release in _PYTHONS}
    images |= {_JDK: _jdk, _SERVERS: _servers}
    images |= {
        f"millpond-stand-in/python:{version}": partial(_python, release)
        for release, version in _PYTHONS.items()
    }
    for image, make in images.items():
        if docker("image", "inspect", image, check=False).returncode:
            make(image)
            lap(f"stand-in {image.partition('/')[2]}")


def _debian(release: str, image: str) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as root:
        run(["debootstrap", "--variant=minbase", release, root, mirror()])
        _import(image, Path(root), ["--exclude=./var/cache/apt/*", "--exclude=./var/lib/apt/lists/*"])


def _jdk(image: str) -> None:
    from servers.tools import java

    left_out = ("jmods", "lib/src.zip", "man", "demo")
    _import(image, java().parents[1], ["--dereference", *(f"--exclude=./{each}" for each in left_out)])


def _servers(image: str) -> None:
    from servers import nessie, s3, trino
    from servers.cache import cache

    for each in (trino, nessie, s3):
        each.install()
    _import(image, cache(), ["--exclude=*.lock", "--exclude=*.new-*", "--exclude=./spark-*"])


def _python(release: str, image: str) -> None:
    options = ("--quiet", "--target=python", f"--build-arg=DEBIAN=millpond-stand-in/debian:{release}")
    docker("build", *options, f"--tag={image}", str(ROOT / "docker" / "stand-ins"))


def _import(image: str, folder: Path, options: Sequence[str]) -> None:
    tar = shutil.which("tar") or "tar"
    with subprocess.Popen([tar, "-C", folder, *options, "-c", "."], stdout=subprocess.PIPE) as packed:
        run(["docker", "import", "-", image], stdin=packed.stdout)
