"""Which cells of NAS-Bench-201 are the same: 15,625 architectures, 6,466 up to isomorphism (Dong & Yang, ICLR 2020).

Two cells are isomorphic if their output is the same expression of their input, where a skip connection hands its
source's expression on, `none` gives a zero, and sums do not depend on their order. Zeros are counted, not dropped: this
is the benchmark's own rule, with which it arrives at 6,466.

Architectures are numbered by :func:`code`: their six operations read as digits of a number in base 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from nasbench201.architecture import OPERATIONS, architecture_string

COUNT = len(OPERATIONS) ** 6
"""The number of architectures."""

_ZERO = "#"


def code(operations: Sequence[str]) -> int:
    """The number of an architecture, 0 … 15,624: its operations in edge order as digits in base 5, the first one high."""
    number = 0
    for operation in operations:
        number = number * len(OPERATIONS) + OPERATIONS.index(operation)
    return number


def operations_at(number: int) -> tuple[str, ...]:
    """The six operations of the architecture of that number: the inverse of :func:`code`."""
    return tuple(OPERATIONS[number // len(OPERATIONS) ** place % len(OPERATIONS)] for place in range(5, -1, -1))


def architecture_at(number: int) -> str:
    """The string of the architecture of that number."""
    return architecture_string(operations_at(number))


def _term(operation: str, source: str) -> str:
    """The expression an edge adds to its node."""
    if operation == "none" or source == _ZERO:
        return _ZERO
    return source if operation == "skip_connect" else f"({source}){operation}"


def _terms(source: str) -> list[str]:
    return [_term(operation, source) for operation in OPERATIONS]


@lru_cache(maxsize=1)
def expressions() -> list[str]:
    """What every architecture computes, by number; equal expressions are isomorphic cells."""
    found = []
    from_input = _terms("x")
    for node_1 in from_input:
        from_node_1 = _terms(node_1)
        for first in from_input:
            for second in from_node_1:
                node_2 = "+".join(sorted((first, second)))
                from_node_2 = _terms(node_2)
                found += ["+".join(sorted((a, b, c))) for a in from_input for b in from_node_1 for c in from_node_2]
    return found


@lru_cache(maxsize=1)
def representatives() -> np.ndarray:
    """int64 [15625]: for every architecture the lowest number among those isomorphic to it; 6,466 different ones."""
    first: dict[str, int] = {}
    return np.array([first.setdefault(expression, number) for number, expression in enumerate(expressions())])


def isomorphic(number: int) -> list[int]:
    """The numbers of all architectures isomorphic to one, itself included, ascending."""
    all_representatives = representatives()
    return np.flatnonzero(all_representatives == all_representatives[number]).tolist()
