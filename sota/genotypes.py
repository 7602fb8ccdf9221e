"""Genotypes of S1–S5: how one is read off mixing weights, its textual forms, and the published ones.

A genotype names, for every intermediate node of the normal and of the reduction cell, two incoming edges and the
operation on each: (operation, source), the sources numbered 0 and 1 for the cell's inputs, 2 to 5 for its nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from darts_pt.supernet import CellType
from sota.spaces import INPUTS, INPUTS_KEPT, NODES

Gene = tuple[str, int]
"""An operation and the node it reads."""

CONCAT = tuple(range(INPUTS, INPUTS + NODES))
"""The nodes whose concatenation is a cell's output."""

PUBLISHED = Path(__file__).with_name("genotypes.json")


class Genotype(NamedTuple):
    """Both cells of an architecture; genes 2i and 2i+1 enter intermediate node i."""

    normal: tuple[Gene, ...]
    normal_concat: tuple[int, ...]
    reduce: tuple[Gene, ...]
    reduce_concat: tuple[int, ...]


# From mixing weights ---------------------------------------------------------------------------------------------


def genotype(values: Mapping[str, Tensor], cell_types: tuple[CellType, ...]) -> Genotype:
    """The genotype of mixing weights, as the original reads it.

    Per node the two incoming edges with the largest weight over their operations other than none, that edge first
    whose weight is larger (on ties the earlier edge); each with its first largest operation other than none.

    Args:
        values: cell type -> [edges, operations]; read from the device here.
    """
    cells = {cell.name: _genes(values[cell.name].tolist(), cell) for cell in cell_types}
    return Genotype(cells["normal"], CONCAT, cells["reduce"], CONCAT)


def _genes(rows: list[list[float]], cell_type: CellType) -> tuple[Gene, ...]:
    genes = []
    for edges in cell_type.incoming.values():
        best = {edge: _best_operation(rows[edge], cell_type.operations[edge]) for edge in edges}
        kept = sorted(edges, key=lambda edge: -rows[edge][best[edge]])[:INPUTS_KEPT]
        genes += [(cell_type.operations[edge][best[edge]], cell_type.edges[edge].source) for edge in kept]
    return tuple(genes)


def _best_operation(row: list[float], names: tuple[str, ...]) -> int:
    return max((index for index, name in enumerate(names) if name != "none"), key=row.__getitem__)
