"""Drawings of the cells during a selection and of the final architecture, made by the spaces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from darts_pt.run.errors import UserError
from darts_pt.space import SPACES
from report.edges import decision, edge_pairs
from runs.recorded import Record, Recorded

if TYPE_CHECKING:
    from darts_pt.drawing import Cell

UNDECIDED = "?"
"""The label of an edge that no event has decided yet."""
FRAMES = 6
"""Most drawings of a selection: NAS-Bench-201 has as many events, S1–S5 have more."""
_TITLES = {"cell": "Cell", "normal": "Normal cell", "reduce": "Reduction cell"}


@dataclass(frozen=True)
class Drawing:
    """A drawing as SVG, always on a white background."""

    caption: str
    alt: str
    svg: bytes


def final_cells(run: Recorded) -> Drawing | None:
    """The architecture of the run's genotype; None if there is none or it cannot be drawn."""
    from darts_pt.drawing import drawn

    architecture, space = run.architecture, SPACES.families().get(run.family)
    if architecture is None or space is None:
        return None
    try:
        svg = drawn(space.drawable(architecture), ".svg", description=str(architecture))
    except UserError:
        return None
    return Drawing("The architecture", f"Drawing of the architecture {architecture}.", svg)


def frames(run: Recorded) -> list[Drawing]:
    """The cells after each selection event, or after a few evenly spaced ones."""
    numbers = sorted({int(record.values.get("event", 0)) for record in run.events})
    cells = dict.fromkeys(str(record.values.get("cell_type")) for record in run.events)
    drawable = run.family in SPACES.families() and all(edge_pairs(run, cell) for cell in cells)
    if not numbers or not drawable:
        return []
    if len(numbers) > FRAMES:
        numbers = [numbers[round(step * (len(numbers) - 1) / (FRAMES - 1))] for step in range(FRAMES)]
    return [_frame(run, list(cells), event, numbers[-1]) for event in numbers]


def _frame(run: Recorded, cells: list[str], event: int, last: int) -> Drawing:
    from darts_pt.drawing import drawn

    before = [record for record in run.events if int(record.values.get("event", 0)) <= event]
    graphs = {_TITLES.get(cell, cell): _graph(run, cell, before) for cell in cells}
    now = [_sentence(run, record) for record in before if record.values.get("event") == event]
    caption = f"After event {event + 1} of {last + 1}: {'; '.join(now)}"
    return Drawing(caption, f"Drawing of the cell. {caption}.", drawn(graphs, ".svg", description=caption))


def _graph(run: Recorded, cell: str, before: list[Record]) -> Cell:
    """The cell with the operations decided so far, and without the edges that were dropped."""
    pairs = edge_pairs(run, cell)
    operations: dict[Any, str] = {}
    dropped: set[int] = set()
    for record in before:
        values = record.values
        if values.get("cell_type") != cell:
            continue
        if record.kind == "operation_event":
            operations[values.get("edge")] = str(values.get("kept"))
        else:
            at_node = {index for index, (_, node) in enumerate(pairs) if node == values.get("node")}
            dropped |= at_node.difference(values.get("kept") or ())
    edges = [(*pair, operations.get(index, UNDECIDED)) for index, pair in enumerate(pairs) if index not in dropped]
    return SPACES.families()[run.family].cell(edges)


def _sentence(run: Recorded, record: Record) -> str:
    cell, said = str(record.values.get("cell_type")), " keeps ".join(decision(run, record))
    return said if cell == "cell" else f"{cell}: {said}"
