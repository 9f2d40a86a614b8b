"""Draws tokens/s and peak memory by peer as an SVG. Pure."""

from collections.abc import Callable, Mapping, Sequence
from html import escape

from benchmarks.peers.figures import OURS, Cell, Summary

LABEL, BAR, ROW, TOP, GAP = 190, 240, 24, 56, 70
OUR_COLOUR, THEIR_COLOUR = "#2f7d5b", "#9aa5b1"


def svg(title: str, found: Mapping[Cell, Summary]) -> str:
    """Return a picture of the cells of one workload and method, the fastest first."""
    cells = sorted(found, key=lambda cell: -found[cell].tokens_per_second)
    panels: Sequence[tuple[str, Callable[[Summary], float]]] = (
        ("tokens/s (more is better)", lambda made: made.tokens_per_second),
        ("peak memory, MiB (less is better)", lambda made: made.peak_mib),
    )
    width = LABEL + len(panels) * (BAR + GAP)
    height = TOP + ROW * len(cells) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        text(8, 20, title, weight="bold"),
    ]
    for row, cell in enumerate(cells):
        parts.append(text(8, TOP + ROW * row + 15, name_of(cell), weight=weight_of(cell)))
    for column, (heading, value) in enumerate(panels):
        left = LABEL + column * (BAR + GAP)
        parts.append(text(left, TOP - 12, heading))
        largest = max((value(found[cell]) for cell in cells), default=1)
        for row, cell in enumerate(cells):
            size = value(found[cell])
            length = BAR * size / largest
            colour = OUR_COLOUR if cell.peer == OURS else THEIR_COLOUR
            top = TOP + ROW * row
            parts.append(
                f'<rect x="{left}" y="{top}" width="{length:.1f}" height="{ROW - 6}" '
                f'fill="{colour}"/>'
            )
            parts.append(text(left + length + 5, top + 14, f"{size:,.0f}", weight_of(cell)))
    return "\n".join([*parts, "</svg>\n"])


def name_of(cell: Cell) -> str:
    return cell.peer if cell.mode == "plain" else f"{cell.peer}, {cell.mode.replace('_', ' ')}"


def weight_of(cell: Cell) -> str:
    return "bold" if cell.peer == OURS else "normal"


def text(x: float, y: float, words: str, weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y}" font-weight="{weight}" fill="#222">{escape(words)}</text>'
