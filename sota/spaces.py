"""The search spaces S1–S5 as data: the candidate operations of every edge of the two cell types. Cheap to import.

S1–S4: Zela et al., *Understanding and Robustifying Differentiable Architecture Search*, ICLR 2020. S5: the space of
DARTS (Liu et al., ICLR 2019), without the operation none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from darts_pt.run.errors import UserError

if TYPE_CHECKING:
    from darts_pt.supernet import CellType

INPUTS = 2
NODES = 4
"""Intermediate nodes; they are numbered 2 to 5 after the cell's inputs 0 and 1."""

EDGES = tuple((source, target) for target in range(INPUTS, INPUTS + NODES) for source in range(target))
"""2<-0, 2<-1, 3<-0, 3<-1, 3<-2, …, 5<-4: alpha's rows in order."""

INPUTS_KEPT = 2
"""Incoming edges that a node keeps in the final architecture."""

Candidates = tuple[tuple[str, ...], ...]


def _every_edge(*operations: str) -> Candidates:
    return (operations,) * len(EDGES)


_S1_NORMAL = """
    skip_connect dil_conv_3x3
    skip_connect dil_conv_5x5
    skip_connect dil_conv_5x5
    skip_connect sep_conv_3x3
    skip_connect dil_conv_3x3
    max_pool_3x3 skip_connect
    skip_connect sep_conv_3x3
    skip_connect sep_conv_3x3
    skip_connect dil_conv_3x3
    skip_connect sep_conv_3x3
    max_pool_3x3 skip_connect
    skip_connect dil_conv_3x3
    dil_conv_3x3 dil_conv_5x5
    dil_conv_3x3 dil_conv_5x5
"""

_S1_REDUCE = """
    max_pool_3x3 avg_pool_3x3
    max_pool_3x3 dil_conv_3x3
    max_pool_3x3 avg_pool_3x3
    max_pool_3x3 avg_pool_3x3
    skip_connect dil_conv_5x5
    max_pool_3x3 avg_pool_3x3
    max_pool_3x3 sep_conv_3x3
    skip_connect dil_conv_3x3
    skip_connect dil_conv_5x5
    max_pool_3x3 avg_pool_3x3
    max_pool_3x3 avg_pool_3x3
    skip_connect dil_conv_5x5
    skip_connect dil_conv_5x5
    skip_connect dil_conv_5x5
"""


def _table(text: str) -> Candidates:
    """One edge per line."""
    return tuple(tuple(line.split()) for line in text.strip().splitlines())


_S2 = _every_edge("skip_connect", "sep_conv_3x3")
_S3 = _every_edge("none", "skip_connect", "sep_conv_3x3")
_S4 = _every_edge("noise", "sep_conv_3x3")
_S5 = _every_edge(
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)

CANDIDATES: dict[str, tuple[Candidates, Candidates]] = {
    "s1": (_table(_S1_NORMAL), _table(_S1_REDUCE)),
    "s2": (_S2, _S2),
    "s3": (_S3, _S3),
    "s4": (_S4, _S4),
    "s5": (_S5, _S5),
}
"""Space name -> candidates of the normal and the reduction cell. A new space on these cells is a line here."""


def cell_types(space: str) -> tuple[CellType, CellType]:
    """The normal and the reduction cell of a space; raises UserError for an unknown one."""
    from darts_pt.supernet import CellType, Edge

    if space not in CANDIDATES:
        raise UserError(f"unknown space '{space}': expected one of {', '.join(CANDIDATES)}")
    edges = tuple(Edge(*ends) for ends in EDGES)
    normal, reduce = CANDIDATES[space]
    return CellType("normal", edges, normal, INPUTS_KEPT), CellType("reduce", edges, reduce, INPUTS_KEPT)
