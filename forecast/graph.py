"""The asset graph as a picture: what is made from what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

Graph = Mapping[str, Sequence[str]]
"""The names of the assets, each with those that it is made from."""

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN, _BEND = 220, 32, 60, 26, 12, 14


def read_graph() -> dict[str, list[str]]:
    """Return the graph of the forecast's assets as Dagster has it, with what they read of others."""
    from forecast.definitions import defs

    specs = {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}
    graph = {
        name: sorted(dep.asset_key.to_user_string() for dep in spec.deps) for name, spec in specs.items()
    }
    read = {each for reads in graph.values() for each in reads}
    return {name: graph.get(name, []) for name in sorted(read | {name for name in graph if graph[name]})}


def draw_graph(graph: Graph) -> str:
    """Return the graph as SVG, from top to bottom: each asset in a row below all that it is made from."""
    places = _place(graph)
    columns = 1 + max(column for column, _ in places.values())
    rows = 1 + max(row for _, row in places.values())
    width = 2 * _MARGIN + columns * _WIDTH + (columns - 1) * _GAP_X + _BEND * rows
    height = 2 * _MARGIN + rows * _HEIGHT + (rows - 1) * _GAP_Y
    lines = [_draw_edge(places[read], places[name]) for name in graph for read in graph[name]]
    boxes = [_draw_box(name, place) for name, place in places.items()]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="sans-serif" font-size="13" fill="none" stroke="#57606a">'
    )
    return "\n".join([head, *lines, *boxes, "</svg>", ""])


def _place(graph: Graph) -> dict[str, tuple[int, int]]:
    """Return column and row of each asset."""
    rows: dict[str, int] = {}

    def find_row(name: str) -> int:
        if name not in rows:
            rows[name] = 1 + max((find_row(read) for read in graph[name]), default=-1)
        return rows[name]

    taken: dict[int, int] = {}
    places = {}
    for name in sorted(graph, key=lambda each: (find_row(each), each)):
        column = taken.get(rows[name], 0)
        taken[rows[name]] = column + 1
        places[name] = (column, rows[name])
    return places


def _corner(place: tuple[int, int]) -> tuple[int, int]:
    column, row = place
    return _MARGIN + column * (_WIDTH + _GAP_X), _MARGIN + row * (_HEIGHT + _GAP_Y)


def _draw_edge(start: tuple[int, int], end: tuple[int, int]) -> str:
    """Return a line from one box down to the other; past boxes between them it bends to the right."""
    (x1, y1), (x2, y2) = _corner(start), _corner(end)
    apart = end[1] - start[1]
    if apart > 1 and start[0] == end[0]:
        right, middle = x1 + _WIDTH, _HEIGHT // 2
        bend = right + _BEND * apart
        path = (
            f"M {right} {y1 + middle} C {bend} {y1 + middle}, {bend} {y2 + middle}, {right + 5} {y2 + middle}"
        )
        return f'<path d="{path}" stroke-opacity="0.6"/>{_draw_head(right, y2 + middle, 6, 0)}'
    x1, x2, y1 = x1 + _WIDTH // 2, x2 + _WIDTH // 2, y1 + _HEIGHT
    half = (y2 - y1) // 2
    path = f"M {x1} {y1} C {x1} {y1 + half}, {x2} {y2 - half}, {x2} {y2 - 5}"
    return f'<path d="{path}"/>{_draw_head(x2, y2, 0, -6)}'


def _draw_head(x: int, y: int, dx: int, dy: int) -> str:
    """Return the head of an arrow whose point is at a place."""
    sides = [(x + dx - dy // 2, y + dy - dx // 2), (x + dx + dy // 2, y + dy + dx // 2)]
    points = " ".join(f"{a},{b}" for a, b in [(x, y), *sides])
    return f'<polygon points="{points}" fill="#57606a"/>'


def _draw_box(name: str, place: tuple[int, int]) -> str:
    x, y = _corner(place)
    return (
        f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="5" fill="#ffffff"/>'
        f'<text x="{x + _WIDTH // 2}" y="{y + 21}" text-anchor="middle" fill="#24292f" stroke="none">'
        f"{escape(name)}</text>"
    )


if __name__ == "__main__":
    print(draw_graph(read_graph()), end="")  # noqa: T201 - it is redirected to a file of the docs
