"""The edges of a run's cells, from its metrics: names, ends, mixing weights."""

from __future__ import annotations

import math
import re
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
    """An edge's number as `3 ← 1`, by its name in the metrics."""
    pairs = edge_pairs(run, cell)
    if isinstance(index, int) and 0 <= index < len(pairs):
        source, target = pairs[index]
        return f"{target} ← {source}"
    return f"edge {index}"


@lru_cache
def edge_pairs(run: Recorded, cell: str) -> list[tuple[int, int]]:
    """(source, target) of a cell type's edges, in order; empty if unknown."""
    weights = mixing_weights(run)
    if not weights and run.kind == "selection":  # A selection by magnitude records no mixing weights.
        weights = mixing_weights(read_run(run.folder.parent))
    _, edges = weights.get(cell, ([], {}))
    found = [re.fullmatch(r"\d+:(\d+)<-(\d+)", key) for key in edges]
    return [(int(match[2]), int(match[1])) for match in found if match]
