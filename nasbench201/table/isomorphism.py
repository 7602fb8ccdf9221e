"""Isomorphic cells of NAS-Bench-201: 15,625 architectures, 6,466 of them unique (Dong & Yang, ICLR 2020).

Two cells are isomorphic if their output is the same expression of their input, where a skip connection passes its source
on, `none` gives a zero, and the order of a sum does not matter. Zeros are kept as terms: this is the benchmark's own
rule, and gives its count of 6,466.

The number of an architecture is its six operations in edge order, read as digits in base 5.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from nasbench201.architecture import OPERATIONS, architecture_string, operations_of

COUNT = len(OPERATIONS) ** 6
"""The number of architectures."""

_ZERO = "#"


def number_of(architecture: str) -> int:
    """The number of an architecture, 0 to 15,624; the first edge is the highest digit.

    Raises:
        UserError: the text is not an architecture.
    """
    number = 0
    for operation in operations_of(architecture):
        number = number * len(OPERATIONS) + OPERATIONS.index(operation)
    return number


def operations_at(number: int) -> tuple[str, ...]:
    """The six operations of the architecture of that number, in edge order."""
    return tuple(OPERATIONS[number // len(OPERATIONS) ** place % len(OPERATIONS)] for place in range(5, -1, -1))


def architecture_at(number: int) -> str:
    """The architecture of that number; the inverse of :func:`number_of`."""
    return architecture_string(operations_at(number))


def _term(operation: str, source: str) -> str:
    """The expression an edge adds to its node."""
    if operation == "none" or source == _ZERO:
        return _ZERO
    return source if operation == "skip_connect" else f"({source}){operation}"


def _terms(source: str) -> list[str]:
    return [_term(operation, source) for operation in OPERATIONS]


def _expressions() -> list[str]:
    """The output of every architecture as an expression of its input, by number."""
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
    """int64 [15625]: for every architecture the lowest number among those isomorphic to it."""
    first: dict[str, int] = {}
    return np.array([first.setdefault(expression, number) for number, expression in enumerate(_expressions())])


def isomorphic(number: int) -> list[int]:
    """The numbers of all architectures isomorphic to this one, itself included, ascending."""
    return np.flatnonzero(representatives() == representatives()[number]).tolist()
