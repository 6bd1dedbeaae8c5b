"""The tutorial of docs/projects.md as a reader follows it: its files, its commands, its shop."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from served_app import serving

ORDERS: Final = [
    {"id": n, "ordered_at": f"2026-11-0{1 + n % 3}T0{n}:00:00Z", "amount": n * 1.5} for n in range(1, 9)
]
_PAGE: Final = Path(__file__).parents[1] / "docs" / "projects.md"
_FILE: Final = re.compile(r"`([\w./]+)`[^`]*:\n\n```(?:yaml|sql)\n(.*?)```", re.DOTALL)
_SHELL: Final = re.compile(r"```sh\n(.*?)```", re.DOTALL)


@contextmanager
def serve_shop() -> Iterator[str]:
    """Serve `ORDERS` as the tutorial's shop does; yields its address."""

    async def orders(request: Request) -> JSONResponse:
        first, end = request.query_params["from"], request.query_params["until"]
        return JSONResponse([row for row in ORDERS if first <= str(row["ordered_at"]) < end])

    with serving(Starlette(routes=[Route("/orders", orders)])) as url:
        yield url


def write_tutorial(project: Path, url: str) -> None:
    """Write the tutorial's files into `project`, whose template is `empty`, with the shop at `url`."""
    page = _PAGE.read_text()
    files = dict(_FILE.findall(page))
    assert len(files) == 3
    (python,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    for path, text in {**files, "pond/definitions.py": python, ".env": f"MILLPOND_SHOP_URL={url}\n"}.items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(text)


def commands() -> list[list[str]]:
    """Return what the tutorial types once the project is there, each split into words."""
    lines = [line for block in _SHELL.findall(_PAGE.read_text())[1:] for line in block.splitlines()]
    return [shlex.split(line) for line in lines]
