"""Table 1: what it costs a trained network when two of its edges, or layers, change places.

In a supernet, two random edges of every cell do (weights, statistics and mixing weights); in ResNet and VGG, two random
layers of every stage. That a supernet bears it about as well as ResNet is the paper's reason to call a cell an unrolled
estimate, in which operations refine one value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from darts_pt.supernet import ActiveOperations, Supernet

State = Mapping[str, Tensor]


def prefixes_of_edges(state: State) -> list[list[str]]:
    """Per cell of a supernet, the beginning of its edges' names in the state dict, in the order of alpha's rows.

    Both families name a cell's modules `cells.N.` and then `edges.T<-S.` or `_ops.N.` (the original's names).
    """
    cells: dict[str, dict[str, None]] = {}
    for name in state:
        parts = name.split(".")
        if len(parts) > 4 and parts[0] == "cells" and parts[2] in ("edges", "_ops"):
            cells.setdefault(parts[1], {})[".".join(parts[:4]) + "."] = None
    return [list(edges) for _, edges in sorted(cells.items(), key=lambda item: int(item[0]))]


def swapped(state: State, first: str, second: str) -> dict[str, Tensor]:
    """The state with everything below two prefixes exchanged.

    Raises:
        ValueError: what is below them differs in names or shapes.
    """
    names = {name[len(first) :] for name in state if name.startswith(first)}
    if not interchangeable(state, first, second):
        raise ValueError(f"{first} and {second} hold different things")
    changed = dict(state)
    for name in names:
        changed[first + name], changed[second + name] = state[second + name], state[first + name]
    return changed


def interchangeable(state: State, first: str, second: str) -> bool:
    """Whether the same names with the same shapes are below both prefixes."""
    below = [
        {name[len(prefix) :]: tensor.shape for name, tensor in state.items() if name.startswith(prefix)}
        for prefix in (first, second)
    ]
    return bool(below[0]) and below[0] == below[1]


def draw_pairs(state: State, groups: list[list[str]], generator: torch.Generator) -> list[tuple[int, int]]:
    """For every group of prefixes, the two that change places: uniform among the pairs that can.

    Raises:
        ValueError: a group has no such pair.
    """
    drawn = []
    for group in groups:
        pairs = [
            (first, second)
            for first in range(len(group))
            for second in range(first + 1, len(group))
            if interchangeable(state, group[first], group[second])
        ]
        if not pairs:
            raise ValueError(f"none of {group} can change places")
        drawn.append(pairs[int(torch.randint(len(pairs), (), generator=generator))])
    return drawn


@contextmanager
def exchanged(network: nn.Module, groups: list[list[str]], pairs: list[tuple[int, int]]) -> Iterator[None]:
    """`network` with one pair of every group exchanged, inside a `with` statement; after it, as before."""
    original = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state: dict[str, Tensor] = dict(original)
    for group, (first, second) in zip(groups, pairs, strict=True):
        state = swapped(state, group[first], group[second])
    network.load_state_dict(state)
    try:
        yield
    finally:
        network.load_state_dict(original)


@contextmanager
def exchanged_weights(supernet: Supernet, pairs: list[tuple[int, int]]) -> Iterator[None]:
    """Every cell of `supernet` sees its mixing weights with the rows of its pair of edges exchanged."""
    handles = [
        cell.register_forward_pre_hook(_exchange_rows(pair))
        for cell, pair in zip(cells_of(supernet), pairs, strict=True)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _exchange_rows(pair: tuple[int, int]) -> Callable[..., tuple[object, ...]]:
    """A hook that exchanges two rows in the last two arguments of a cell: weights [edges, operations], and active."""

    def hook(_: nn.Module, arguments: tuple[object, ...]) -> tuple[object, ...]:
        *inputs, weights, active = arguments
        assert isinstance(weights, Tensor)
        assert isinstance(active, tuple)
        order = list(range(len(weights)))
        order[pair[0]], order[pair[1]] = order[pair[1]], order[pair[0]]
        rows: ActiveOperations = tuple(active[row] for row in order)
        return (*inputs, weights[order], rows)

    return hook


def cells_of(supernet: nn.Module) -> list[nn.Module]:
    """The cells of a supernet, without the blocks between them."""
    blocks = supernet.get_submodule("cells")
    return [block for block in blocks.children() if hasattr(block, "edges") or hasattr(block, "_ops")]
