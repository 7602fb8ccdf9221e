"""What a run's metrics say of the edges of its cells: their names, their ends, their mixing weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from runs.reading import read_run
from runs.recorded import Recorded, number


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
    """`3 ← 1` of an edge's number, by the names that metrics give the edges, or by the space's graph."""
    pairs = edge_pairs(run, cell)
    if isinstance(index, int) and 0 <= index < len(pairs):
        source, target = pairs[index]
        return f"{target} ← {source}"
    return f"edge {index}"


@lru_cache
def edge_pairs(run: Recorded, cell: str) -> list[tuple[int, int]]:
    """(source, target) of a cell type's edges, in their order; empty where nothing says it."""
    keys = _edge_keys(run, cell)
    if not keys and run.kind == "selection":  # One by magnitude trains nothing, and records no mixing weights.
        keys = _edge_keys(read_run(run.folder.parent), cell)
    ends = [key.partition(":")[2].partition("<-") for key in keys]
    if not all(target.isdigit() and source.isdigit() for target, _, source in ends):
        return []
    return [(int(source), int(target)) for target, _, source in ends]


def _edge_keys(run: Recorded, cell: str) -> list[str]:
    """The names that metrics give the edges of a cell type; empty where they tell of none."""
    for record in reversed(run.epochs):
        cells = record.values.get("mixing_weights")
        if isinstance(cells, Mapping) and isinstance(cells.get(cell), Mapping):
            return list(cells[cell])
    return []
