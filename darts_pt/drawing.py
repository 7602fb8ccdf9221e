"""Drawings of cells as SVG, PNG or PDF; a space describes its cells as graphs, and this module draws any of them.

Every edge has a row of its own and every node a column: an edge leaves its source downwards, turns into its row, passes
through its operation's label and ends in its target. Nodes descend in their order, so that no label or node can lie on
another, whatever the cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import networkx as nx

from darts_pt.run.errors import UserError
from darts_pt.run.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".svg", ".png", ".pdf")
DOTS_PER_INCH = 200

# Lengths are in inches on paper.
ROW = 0.36
"""Between two edges' rows."""
COLUMN = 1.7
"""Between the middles of two nodes' columns; inputs stand closer together."""
INPUT_COLUMN = 0.62
NODE_WIDTH = 0.44
NODE_MARGIN = 0.05
LABEL_WIDTH = 1.12
LABEL_HEIGHT = 0.26
GAP = 0.14
"""Between a label and the node it belongs to: room for the arrow."""
ARROW_LENGTH, ARROW_WIDTH = 0.08, 0.07
CORNER = 0.1
TITLE = 0.36
MARGIN = 0.12

INK = "#22303c"
LINE = "#7b8894"
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
"""Fill of an operation's label, by the beginning of its name; pale, so that the text stays readable in grey too."""


class _Place(NamedTuple):
    """Where a node is: the middle of its column, and its upper and lower end (y points up)."""

    x: float
    top: float
    bottom: float

    @property
    def middle(self) -> float:
        return (self.top + self.bottom) / 2


def cell_graph(
    edges: Sequence[tuple[int, int, str]],
    captions: Mapping[int, str],
    concatenated: Sequence[int] = (),
    output: str | None = None,
) -> nx.MultiDiGraph:
    """A cell as a graph: nodes are numbered in their order, edges carry their operation.

    Args:
        edges: (source, target, operation), with source < target.
        captions: words below a node's number, for those that have some, such as the inputs.
        concatenated: the nodes that `output` concatenates.
        output: caption of the cell's output where that is none of the numbered nodes.
    """
    graph = nx.MultiDiGraph(concatenated=tuple(concatenated), output=output)
    for node in sorted({node for source, target, _ in edges for node in (source, target)} | set(captions)):
        graph.add_node(node, caption=captions.get(node, ""))
    for source, target, name in edges:
        graph.add_edge(source, target, operation=name)
    if not nx.is_directed_acyclic_graph(graph) or any(source >= target for source, target, _ in edges):
        raise ValueError("a cell's edges lead from a node to a later one")
    return graph


def save_drawing(cells: Mapping[str, nx.MultiDiGraph], path: Path, description: str = "") -> None:
    """Draw cells below each other, each under its title, into `path`; its ending says the format.

    Args:
        cells: title -> graph (:func:`cell_graph`).
        description: kept in the file's metadata, such as the genotype's text.

    Raises:
        UserError: the ending is not that of a format that can be drawn.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise UserError(f"cannot draw into {path}: expected a name that ends in {', '.join(FORMATS)}")
    import matplotlib as mpl

    metadata: dict[str, Any] = {"Title": ", ".join(cells)}
    if suffix == ".svg":
        metadata |= {"Date": None, "Description": description}
    elif suffix == ".png":
        metadata |= {"Description": description}
    else:
        metadata |= {"Subject": description, "CreationDate": None}
    # Equal drawings give equal files; text stays text in PDF and becomes outlines in SVG, which then needs no font.
    with mpl.rc_context({"svg.hashsalt": "darts-pt", "pdf.fonttype": 42, "font.family": "DejaVu Sans"}):
        figure = _figure(cells)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format=suffix[1:], dpi=DOTS_PER_INCH, metadata=metadata)


def _figure(cells: Mapping[str, nx.MultiDiGraph]) -> Figure:
    from matplotlib.figure import Figure

    layouts = {title: _layout(graph) for title, graph in cells.items()}
    width = max(right for _, _, right, _ in layouts.values()) + 2 * MARGIN
    height = sum(bottom + TITLE for *_, bottom in layouts.values()) + MARGIN * (1 + len(cells))
    figure = Figure((width, height), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(-height, 0)
    axes.set_axis_off()
    top = -MARGIN
    for title, graph in cells.items():
        places, rows, right, bottom = layouts[title]
        axes.text(MARGIN, top - TITLE / 2, title, fontsize=11, fontweight="bold", color=INK, va="center")
        _draw_cell(axes, graph, places, rows, right, top - TITLE)
        top -= TITLE + bottom + MARGIN
    return figure


def _layout(graph: nx.MultiDiGraph) -> tuple[dict[int, _Place], dict[tuple[int, int, int], float], float, float]:
    """Places of the nodes, rows of the edges, and the extent to the right and down; the upper left corner is (0, 0).

    Into a node the edge from the nearest source comes first: then edges cross least.
    """
    places: dict[int, _Place] = {}
    rows: dict[tuple[int, int, int], float] = {}
    inputs = [node for node in graph if graph.in_degree(node) == 0]
    x, y = MARGIN + NODE_WIDTH / 2, -2 * ROW
    for node in inputs:
        places[node] = _Place(x, -NODE_MARGIN, y + NODE_MARGIN)
        x += INPUT_COLUMN
    x += COLUMN - INPUT_COLUMN
    for node in (node for node in graph if node not in inputs):
        incoming = sorted(graph.in_edges(node, keys=True), key=lambda edge: (-edge[0], edge[2]))
        places[node] = _Place(x, y - NODE_MARGIN, y - ROW * len(incoming) + NODE_MARGIN)
        for index, edge in enumerate(incoming):
            rows[edge] = y - ROW * (index + 0.5)
        y -= ROW * len(incoming)
        x += COLUMN
    right = x - COLUMN + NODE_WIDTH / 2
    if graph.graph["output"]:
        right += 3 * GAP + NODE_WIDTH
    return places, rows, right, -y


def _draw_cell(
    axes: Axes,
    graph: nx.MultiDiGraph,
    places: Mapping[int, _Place],
    rows: Mapping[tuple[int, int, int], float],
    right: float,
    top: float,
) -> None:
    # Edges of one source meet, edges of different sources cross: the later source's pass over on a white rim.
    for (source, target, key), y in rows.items():
        name = graph.edges[source, target, key]["operation"]
        end = places[target].x - NODE_WIDTH / 2
        start = (places[source].x, top + places[source].bottom)
        _draw_line(axes, [start, (start[0], top + y), (end, top + y)], name == "none", 0.1 * source)
        _draw_label(axes, end - GAP, top + y, name)
    output = graph.graph["output"]
    if output:
        concatenated = graph.graph["concatenated"]
        bar = _Place(right - NODE_WIDTH / 2, places[concatenated[0]].top, places[concatenated[-1]].bottom)
        for node in concatenated:
            y = top + places[node].middle
            _draw_line(axes, [(places[node].x, y), (bar.x - NODE_WIDTH / 2, y)], False, 0.1 * node)
        _draw_node(axes, bar, top, output, "", OUTPUT_FILL)
    last = list(graph)[-1]
    for node, place in places.items():
        is_output = not output and node == last
        fill = INPUT_FILL if graph.in_degree(node) == 0 else OUTPUT_FILL if is_output else NODE_FILL
        _draw_node(axes, place, top, str(node), graph.nodes[node]["caption"], fill)


def _draw_line(axes: Axes, points: Sequence[tuple[float, float]], dotted: bool, height: float) -> None:
    """A straight line, or one with a rounded corner, that ends in an arrow head.

    Args:
        height: lines of greater height pass over those of smaller.
    """
    from matplotlib.patches import PathPatch, Polygon
    from matplotlib.path import Path as Outline

    end_x, end_y = points[-1]
    vertices, codes = [points[0]], [Outline.MOVETO]
    if len(points) == 3:
        x, y = points[1]
        vertices += [(x, y + CORNER), (x, y), (x + CORNER, y)]
        codes += [Outline.LINETO, Outline.CURVE3, Outline.CURVE3]
    outline = Outline([*vertices, (end_x - ARROW_LENGTH, end_y)], [*codes, Outline.LINETO])
    style = ":" if dotted else "-"
    axes.add_patch(PathPatch(outline, fill=False, edgecolor="white", linewidth=4, capstyle="butt", zorder=1 + height))
    axes.add_patch(
        PathPatch(outline, fill=False, edgecolor=LINE, linewidth=1.1, linestyle=style, zorder=1 + height + 0.05)
    )
    back, half = end_x - ARROW_LENGTH, ARROW_WIDTH / 2
    axes.add_patch(
        Polygon([(end_x, end_y), (back, end_y + half), (back, end_y - half)], facecolor=LINE, linewidth=0, zorder=4)
    )


def _draw_label(axes: Axes, right: float, y: float, name: str) -> None:
    """An operation's name in a pill that ends at `right`."""
    fill = next((colour for start, colour in OPERATION_FILLS.items() if name.startswith(start)), NODE_FILL)
    _draw_rounded(
        axes, (right - LABEL_WIDTH, y - LABEL_HEIGHT / 2), LABEL_WIDTH, LABEL_HEIGHT, LABEL_HEIGHT / 2,
        facecolor=fill, edgecolor=LINE, linewidth=0.8, linestyle=":" if name == "none" else "-", zorder=5,
    )  # fmt: skip
    _write(axes, right - LABEL_WIDTH / 2, y, name, 7.8)


def _draw_node(axes: Axes, place: _Place, top: float, name: str, caption: str, fill: str) -> None:
    """A node's box with its number, or a name, and a caption below that."""
    corner = (place.x - NODE_WIDTH / 2, top + place.bottom)
    _draw_rounded(
        axes, corner, NODE_WIDTH, place.top - place.bottom, 0.08,
        facecolor=fill, edgecolor=INK, linewidth=1.0, zorder=5,
    )  # fmt: skip
    y = top + place.middle
    _write(axes, place.x, y + (0.09 if caption else 0), name, 10, fontweight="bold")
    if caption:
        _write(axes, place.x, y - 0.13, caption, 7.6)


def _draw_rounded(
    axes: Axes, corner: tuple[float, float], width: float, height: float, radius: float, **look: Any
) -> None:
    from matplotlib.patches import FancyBboxPatch

    axes.add_patch(FancyBboxPatch(corner, width, height, boxstyle=f"round,pad=0,rounding_size={radius}", **look))


def _write(axes: Axes, x: float, y: float, text: str, size: float, **look: Any) -> None:
    axes.text(x, y, text, fontsize=size, color=INK, ha="center", va="center_baseline", zorder=6, **look)
