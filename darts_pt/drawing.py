"""Draw cells as SVG, PNG or PDF.

Every edge has its own row and every node its own column: an edge leaves its source downwards, turns into its row, passes
through the label of its operation and ends in its target. Later nodes are further down, so no label or node can cover
another.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darts_pt.run.errors import UserError
from darts_pt.run.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".svg", ".png", ".pdf")
DOTS_PER_INCH = 200

# Lengths are in inches on paper.
ROW, COLUMN, INPUT_COLUMN = 0.36, 1.7, 0.62
NODE_WIDTH, NODE_MARGIN = 0.44, 0.05
LABEL_WIDTH, LABEL_HEIGHT = 1.12, 0.26
GAP = 0.14
"""Room for the arrow between a label and its node."""
CORNER, ARROW = 0.1, 0.08
TITLE = 0.36
MARGIN = 0.12

INK, LINE = "#22303c", "#7b8894"
INPUT_FILL, NODE_FILL, OUTPUT_FILL = "#d9ead3", "#dbe7f5", "#fbe8c8"
OPERATION_FILLS = {
    "none": "#ffffff",
    "skip": "#eceff1",
    "max": "#d3e8f0",
    "avg": "#d3e8f0",
    "sep": "#fbdcc4",
    "nor": "#fbdcc4",
    "conv": "#fbdcc4",
    "dil": "#e6d7ee",
    "noise": "#f6d1d5",
}
"""Start of an operation's name -> fill of its label; pale, so that text stays readable in grey too."""


@dataclass(frozen=True)
class Cell:
    """A cell to draw; nodes are numbered in their order.

    Attributes:
        edges: (source, target, operation), with source < target.
        captions: words below the numbers of some nodes, such as the inputs.
        concatenated: the nodes that `output` concatenates.
        output: caption of the cell's output, unless it is one of the numbered nodes.
    """

    edges: Sequence[tuple[int, int, str]]
    captions: Mapping[int, str]
    concatenated: Sequence[int] = ()
    output: str = ""

    def __post_init__(self) -> None:
        if any(source >= target for source, target, _ in self.edges):
            raise ValueError("a cell's edges lead from a node to a later one")


def save_drawing(cells: Mapping[str, Cell], path: Path, description: str = "") -> None:
    """Draw cells (by title) below each other into `path`, a .svg, .png or .pdf.

    Args:
        description: kept in the file's metadata, such as the genotype's text.

    Raises:
        UserError: `path` has another ending.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise UserError(f"cannot draw into {path}: expected a name that ends in {', '.join(FORMATS)}")
    atomic_write(path, drawn(cells, suffix, description))


def drawn(cells: Mapping[str, Cell], suffix: str, description: str = "") -> bytes:
    """The content of the file of :func:`save_drawing` with this ending."""
    import matplotlib as mpl

    title: dict[str, Any] = {"Title": ", ".join(cells)}
    metadata = {
        ".svg": {"Description": description, "Date": None},
        ".png": {"Description": description},
        ".pdf": {"Subject": description, "CreationDate": None},
    }[suffix]
    buffer = io.BytesIO()
    # Equal drawings give equal files. Text stays text in PDF; in SVG it becomes outlines, which need no font.
    with mpl.rc_context({"svg.hashsalt": "darts-pt", "pdf.fonttype": 42, "font.family": "DejaVu Sans"}):
        _figure(cells).savefig(buffer, format=suffix[1:], dpi=DOTS_PER_INCH, metadata=title | metadata)
    return buffer.getvalue()


def _figure(cells: Mapping[str, Cell]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    right, y = 0.0, -MARGIN
    for title, cell in cells.items():
        axes.text(MARGIN, y - TITLE / 2, title, fontsize=11, fontweight="bold", color=INK, va="center")
        cell_right, bottom = _draw_cell(axes, cell, y - TITLE)
        right, y = max(right, cell_right), bottom - MARGIN
    axes.set(xlim=(0, right + MARGIN), ylim=(y, 0))
    figure.set_size_inches(right + MARGIN, -y)
    return figure


def _draw_cell(axes: Axes, cell: Cell, top: float) -> tuple[float, float]:
    """Draw a cell below `top` (y points up); returns its right end and its bottom."""
    nodes = sorted({node for source, target, _ in cell.edges for node in (source, target)} | set(cell.captions))
    # The edge from the nearest source comes first: so edges cross least.
    incoming = {node: sorted(edge for edge in cell.edges if edge[1] == node)[::-1] for node in nodes}
    inputs, inner = [node for node in nodes if not incoming[node]], [node for node in nodes if incoming[node]]
    columns = {node: MARGIN + NODE_WIDTH / 2 + place * INPUT_COLUMN for place, node in enumerate(inputs)}
    columns |= {node: columns[inputs[-1]] + place * COLUMN for place, node in enumerate(inner, 1)}
    y = top - 2 * ROW
    spans = dict.fromkeys(inputs, (top, y))
    for node in inner:
        spans[node] = y, y - ROW * len(incoming[node])
        end = columns[node] - NODE_WIDTH / 2
        for source, _, operation in incoming[node]:
            y -= ROW
            corner = columns[source], y + ROW / 2
            bottom = columns[source], spans[source][1] + NODE_MARGIN
            style = ":" if operation == "none" else "-"
            _draw_line(axes, [bottom, corner, (end, corner[1])], source, style)
            _draw_label(axes, end - GAP - LABEL_WIDTH / 2, corner[1], operation, style)
    right = columns[nodes[-1]] + NODE_WIDTH / 2
    if cell.output:
        bar = right + 3 * GAP + NODE_WIDTH / 2
        for node in cell.concatenated:
            middle = sum(spans[node]) / 2
            _draw_line(axes, [(columns[node], middle), (bar - NODE_WIDTH / 2, middle)], node)
        _draw_node(axes, bar, spans[cell.concatenated[0]][0], spans[cell.concatenated[-1]][1], cell.output, OUTPUT_FILL)
        right = bar + NODE_WIDTH / 2
    for node in nodes:
        is_output = node == nodes[-1] and not cell.output
        fill = INPUT_FILL if node in inputs else OUTPUT_FILL if is_output else NODE_FILL
        _draw_node(axes, columns[node], *spans[node], str(node), fill, cell.captions.get(node, ""))
    return right, y


def _draw_line(axes: Axes, points: Sequence[tuple[float, float]], source: int, style: str = "-") -> None:
    """An arrow to the right through two points, or through three with a rounded corner."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    vertices, codes = list(points), [Outline.MOVETO, Outline.LINETO]
    if len(points) == 3:
        x, y = points[1]
        vertices[1:2] = [(x, y + CORNER), (x, y), (x + CORNER, y)]
        codes += [Outline.CURVE3, Outline.CURVE3, Outline.LINETO]
    # Edges of one source join; where edges of two sources cross, those of the later one pass over with a white rim.
    for colour, width, order in (("white", 4, 1.0), (LINE, 1.1, 1.05)):
        order += 0.1 * source
        line = PathPatch(Outline(vertices, codes), fill=False, edgecolor=colour, linewidth=width, zorder=order)
        line.set(linestyle="-" if colour == "white" else style, capstyle="butt")
        axes.add_patch(line)
    end = points[-1]
    axes.plot(end[0] - ARROW / 2, end[1], ">", color=LINE, markersize=72 * ARROW, markeredgewidth=0, zorder=4)


def _draw_label(axes: Axes, x: float, y: float, operation: str, style: str) -> None:
    fill = next((colour for start, colour in OPERATION_FILLS.items() if operation.startswith(start)), NODE_FILL)
    _draw_box(axes, x, y, LABEL_WIDTH, LABEL_HEIGHT, LABEL_HEIGHT / 2, facecolor=fill, edgecolor=LINE, linestyle=style)
    _write(axes, x, y, operation, 7.8)


def _draw_node(axes: Axes, x: float, top: float, bottom: float, name: str, fill: str, caption: str = "") -> None:
    y = (top + bottom) / 2
    _draw_box(axes, x, y, NODE_WIDTH, top - bottom - 2 * NODE_MARGIN, 0.08, facecolor=fill, edgecolor=INK)
    _write(axes, x, y + (0.09 if caption else 0), name, 10, fontweight="bold")
    if caption:
        _write(axes, x, y - 0.13, caption, 7.6)


def _draw_box(axes: Axes, x: float, y: float, width: float, height: float, radius: float, **look: Any) -> None:
    from matplotlib.patches import FancyBboxPatch

    corner, style = (x - width / 2, y - height / 2), f"round,pad=0,rounding_size={radius}"
    axes.add_patch(FancyBboxPatch(corner, width, height, boxstyle=style, linewidth=0.9, zorder=5, **look))


def _write(axes: Axes, x: float, y: float, text: str, size: float, **look: Any) -> None:
    axes.text(x, y, text, fontsize=size, color=INK, ha="center", va="center_baseline", zorder=6, **look)
