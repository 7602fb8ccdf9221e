"""Table 1: the accuracy that a trained network loses when two of its edges, or layers, are exchanged.

In a supernet two random edges of every cell are exchanged (weights, statistics and mixing weights), in ResNet and VGG two
random layers of every stage. A supernet loses about as little as a ResNet; the paper concludes that its operations refine
one estimate (unrolled estimation).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from darts_pt.supernet import Supernet

State = Mapping[str, Tensor]


def prefixes_of_edges(state: State) -> list[list[str]]:
    """For each cell of a supernet the prefixes of its edges in the state dict, in the order of alpha's rows.

    Both families name a cell's modules `cells.N.` and then `edges.T<-S.` or `_ops.N.` (the original's names).
    """
    cells: dict[str, dict[str, None]] = {}
    for name in state:
        parts = name.split(".")
        if len(parts) > 4 and parts[0] == "cells" and parts[2] in ("edges", "_ops"):
            cells.setdefault(parts[1], {})[".".join(parts[:4]) + "."] = None
    return [list(edges) for _, edges in sorted(cells.items(), key=lambda item: int(item[0]))]


def interchangeable(state: State, first: str, second: str) -> bool:
    """Whether both prefixes have the same names with the same shapes."""
    one, other = ({name: tensor.shape for name, tensor in _below(state, prefix)} for prefix in (first, second))
    return bool(one) and one == other


def _below(state: State, prefix: str) -> list[tuple[str, Tensor]]:
    return [(name.removeprefix(prefix), tensor) for name, tensor in state.items() if name.startswith(prefix)]


def draw_pairs(state: State, groups: list[list[str]], generator: torch.Generator) -> list[tuple[int, int]]:
    """For each group of prefixes the pair to exchange, drawn uniformly among the interchangeable ones."""
    drawn = []
    for group in groups:
        pairs = [
            (first, second)
            for first, second in combinations(range(len(group)), 2)
            if interchangeable(state, group[first], group[second])
        ]
        drawn.append(pairs[int(torch.randint(len(pairs), (), generator=generator))])
    return drawn


@contextmanager
def exchanged(network: nn.Module, groups: list[list[str]], pairs: list[tuple[int, int]]) -> Iterator[None]:
    """Exchange one pair of each group in `network` inside a `with` statement."""
    original = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = dict(original)
    for group, (first, second) in zip(groups, pairs, strict=True):
        for here, there in ((group[first], group[second]), (group[second], group[first])):
            state |= {here + name: tensor for name, tensor in _below(original, there)}
    network.load_state_dict(state)
    try:
        yield
    finally:
        network.load_state_dict(original)


@contextmanager
def exchanged_weights(supernet: Supernet, pairs: list[tuple[int, int]]) -> Iterator[None]:
    """Exchange the mixing weights of a pair of edges in each cell of `supernet`, inside a `with` statement."""
    handles = []
    for cell, (first, second) in zip(cells_of(supernet), pairs, strict=True):
        order = list(range(len(supernet.cell_types[0].edges)))
        order[first], order[second] = second, first
        handles.append(cell.register_forward_pre_hook(partial(_reorder, order)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _reorder(order: list[int], _: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    *inputs, mixture = arguments
    return (*inputs, mixture.reordered(order))


def cells_of(supernet: nn.Module) -> list[nn.Module]:
    """The cells of a supernet, without the residual blocks between them."""
    blocks = supernet.get_submodule("cells")
    return [block for block in blocks.children() if hasattr(block, "edges") or hasattr(block, "_ops")]
