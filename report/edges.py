"""The edges of a run's cells, from its metrics: names, ends, mixing weights."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from runs.reading import read_run
from runs.recorded import Record, Recorded, number


def mixing_weights(run: Recorded) -> dict[str, tuple[list[int], dict[str, dict[str, list[float]]]]]:
    """Cell type -> epochs, and per edge and operation the mixing weight after each."""
    found: dict[str, tuple[list[int], dict[str, dict[str, list[float]]]]] = {}
    for record in run.epochs:
        cells = record.values.get("mixing_weights")
        for cell, edges in cells.items() if isinstance(cells, Mapping) else ():
            epochs, series = found.setdefault(cell, ([], {}))
            epochs.append(record.epoch)
            for edge, weights in edges.items():
                for operation, weight in weights.items():
                    value = number(weight)
                    row = series.setdefault(edge, {}).setdefault(operation, [])
                    row.append(math.nan if value is None else value)
    return found


def edge_name(key: str) -> str:
    """`4:3<-1`, as metrics name an edge, to `3 ← 1`."""
    return key.partition(":")[2].replace("<-", " ← ") or key


def edge_of(run: Recorded, cell: str, index: Any) -> str:
    """The name of an edge, such as `3 ← 1`, by the names that metrics give the edges."""
    keys = _edge_keys(run, cell)
    return edge_name(keys[index]) if isinstance(index, int) and 0 <= index < len(keys) else f"edge {index}"


def edge_pairs(run: Recorded, cell: str) -> list[tuple[int, int]]:
    """(source, target) of a cell type's edges, in their order; empty where their names do not say it."""
    found = [re.fullmatch(r"\d+:(\d+)<-(\d+)", key) for key in _edge_keys(run, cell)]
    return [(int(match[2]), int(match[1])) for match in found if match]


@lru_cache
def _edge_keys(run: Recorded, cell: str) -> list[str]:
    weights = mixing_weights(run)
    if not weights and run.kind == "selection":  # A selection by magnitude records no mixing weights.
        weights = mixing_weights(read_run(run.folder.parent))
    return list(weights.get(cell, ([], {}))[1])


def node_of(run: Recorded, record: Record) -> str:
    """The name of a topology event's node; of the library it is in the names of the edges that enter it."""
    values = record.values
    kept = values.get("kept") or [None]
    name = edge_of(run, str(values.get("cell_type")), kept[0])
    return name.rpartition("[")[0] if name.endswith("]") else f"node {values.get('node')}"


def decision(run: Recorded, record: Record) -> tuple[str, str]:
    """The edge or node that an event decides, and the operation or edges that it keeps."""
    values, cell = record.values, str(record.values.get("cell_type"))
    if record.kind == "operation_event":
        return edge_of(run, cell, values.get("edge")), str(values.get("kept"))
    return node_of(run, record), ", ".join(edge_of(run, cell, edge) for edge in values.get("kept") or ())


def inside(cell: str, what: str) -> str:
    """`normal 3 ← 1`, or without the cell type where there is one, or where edges have names of their own."""
    return f"{cell} {what}" if cell.isidentifier() and cell != "cell" else what


def of_cell(cell: str) -> str:
    """For the end of a title: `, normal cell`; nothing where there is one cell type."""
    return (
        f", {cell} cell"
        if cell.isidentifier() and cell != "cell"
        else cell.removeprefix("cell").replace(" (", ", ").rstrip(")")
    )


def file_name(start: str, cell: str) -> str:
    """`alpha-normal`."""
    return f"{start}-{re.sub('[^a-z0-9]+', '-', cell).strip('-')}"
