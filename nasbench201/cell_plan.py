"""The plan of a NAS-Bench-201 cell: the operations it computes together, for a pattern of active operations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from darts_pt.kernels.bank import Run, merged
from darts_pt.kernels.sums import is_product, spreading
from darts_pt.supernet import ActiveOperations, CellType, Edge
from nasbench201.architecture import OPERATIONS, SOURCES
from nasbench201.operations import AVG_POOL_3X3, NOR_CONV_1X1, NOR_CONV_3X3, SKIP_CONNECT

EDGES = tuple(Edge(source, target) for target, sources in enumerate(SOURCES, start=1) for source in sources)
"""1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2: node 0 is the cell's input, node 3 its output."""

CELL = CellType("cell", EDGES, (OPERATIONS,) * len(EDGES))

LAST = 3
"""The last node; every earlier one is a source, every later one of a source a target."""

EDGE_OF = {(edge.source, edge.target): index for index, edge in enumerate(EDGES)}
BY_SOURCE = [EDGE_OF[source, target] for source in range(LAST) for target in range(source + 1, LAST + 1)]

CONVOLUTIONS = [(edge, operation) for operation in (NOR_CONV_3X3, NOR_CONV_1X1) for edge in BY_SOURCE]
"""(edge, operation) of every convolution, in the order in which a cell stores them: those computed as one side by side."""


FORWARD = [slice(0, 3), slice(3, 6), slice(6, 8), slice(8, 10), slice(10, 11), slice(11, 12)]
"""Source by source where the skips' and then the poolings' weights are among those of a forward pass."""


@dataclass(frozen=True)
class Stack:
    """Convolutions of one kind, on edges from one node to consecutive nodes: computed as one, with stacked outputs.

    Attributes:
        target: the node in which the first ends.
        run: the place of the first in :data:`CONVOLUTIONS`, and how many they are.
    """

    operation: int
    target: int
    run: Run

    def part(self, per_channel: Tensor, channels: int) -> Tensor:
        """The stack's part of all convolutions' [12 · C]."""
        begin, count = self.run
        return per_channel[begin * channels : (begin + count) * channels]


@dataclass(frozen=True)
class SourcePlan:
    """The work on one node: the places of its convolutions in :attr:`Plan.stacks`, and whether an edge takes it as it is,
    or pooled."""

    stacks: tuple[int, ...]
    skips: bool
    pools: bool


@dataclass(frozen=True)
class Plan:
    """The work of a cell.

    Attributes:
        sources: of nodes 0, 1, 2.
        stacks: of all sources, in the order of :data:`CONVOLUTIONS`.
        called: the runs of the batch norms that are active.
        pooled_targets: the nodes into which a pooling is active.
        reads: (edge, operation) of the mixing weights that a pass takes, in the order of :class:`Mixture`.
        active: for each of `reads` whether it is active.
    """

    sources: tuple[SourcePlan, ...]
    stacks: tuple[Stack, ...]
    called: tuple[Run, ...]
    pooled_targets: frozenset[int]
    reads: tuple[tuple[int, int], ...]
    active: tuple[bool, ...]


@lru_cache(maxsize=1024)
def plan(active: ActiveOperations) -> Plan:
    """The plan for a pattern of active operations."""

    def on_any(edges: list[int], operation: int) -> bool:
        return any(operation in active[edge] for edge in edges)

    stacks = _stacks([place for place, (edge, operation) in enumerate(CONVOLUTIONS) if operation in active[edge]])
    sources = []
    for source in range(LAST):
        leaving = [edge for edge in BY_SOURCE if EDGES[edge].source == source]
        own = tuple(place for place, stack in enumerate(stacks) if CONVOLUTIONS[stack.run[0]][0] in leaving)
        sources.append(SourcePlan(own, on_any(leaving, SKIP_CONNECT), on_any(leaving, AVG_POOL_3X3)))
    pooled = frozenset(
        target for target in (1, 2, 3) if on_any([EDGE_OF[s, target] for s in range(target)], AVG_POOL_3X3)
    )
    reads = [*CONVOLUTIONS, *_in_forward_order(), *_in_backward_order(pooled)]
    return Plan(
        tuple(sources),
        tuple(stacks),
        merged(stack.run for stack in stacks),
        pooled,
        tuple(reads),
        tuple(operation in active[edge] for edge, operation in reads),
    )


def _stacks(convolutions: list[int]) -> list[Stack]:
    """Neighbours in :data:`CONVOLUTIONS` of one kind and from one source, together."""
    stacks: list[Stack] = []
    for place in convolutions:
        edge, operation = CONVOLUTIONS[place]
        last = stacks[-1] if stacks else None
        if last and sum(last.run) == place and last.target + last.run[1] == EDGES[edge].target:
            stacks[-1] = Stack(operation, last.target, (last.run[0], last.run[1] + 1))
        else:
            stacks.append(Stack(operation, EDGES[edge].target, (place, 1)))
    return stacks


def _in_forward_order() -> list[tuple[int, int]]:
    """Source by source, the skips' and then the poolings' weights to all targets."""
    return [
        (EDGE_OF[source, target], operation)
        for source in range(LAST)
        for operation in (SKIP_CONNECT, AVG_POOL_3X3)
        for target in range(source + 1, LAST + 1)
    ]


def _in_backward_order(pooled_targets: frozenset[int]) -> list[tuple[int, int]]:
    """From the last source and target to the first, the skip's and, if any is active into that target, the pooling's."""
    return [
        (EDGE_OF[source, target], operation)
        for source in reversed(range(LAST))
        for target in range(LAST, source, -1)
        for operation in (SKIP_CONNECT, AVG_POOL_3X3)
        if operation == SKIP_CONNECT or target in pooled_targets
    ]


class Mixture:
    """The mixing weights [6, 5] as cells take them, made once for all cells of a forward pass.

    Attributes:
        plan: what the cells compute.
        backward: [at most 12] the weights of skips and poolings in the order of a backward pass; their gradient comes
            through these.
    """

    def __init__(self, weights: Tensor, active: ActiveOperations, dtype: torch.dtype) -> None:
        self._given = weights, active, dtype
        self.plan = plan(active)
        places, are_active = _tensors(active, weights.device)
        reads = weights.flatten().index_select(0, places)
        if are_active is not None:
            reads = reads * are_active
        count = len(CONVOLUTIONS)
        self._convolutions, forward, self.backward = reads.split([count, count, len(places) - 2 * count])
        self._forward = forward.detach().to(dtype).view(-1, 1)
        self._scales: dict[int, tuple[Tensor, list[Tensor]]] = {}
        self._matrices: dict[int, Tensor] = {}
        self._spreadings: dict[tuple[int, int], Tensor] = {}
        self._shared: dict[tuple[int, torch.Size], Tensor] = {}

    def reordered(self, edges: Sequence[int]) -> Mixture:
        """With the mixing weights of other edges: edge i gets those of `edges[i]`."""
        weights, active, dtype = self._given
        return Mixture(weights[list(edges)], tuple(active[edge] for edge in edges), dtype)

    def scales(self, channels: int) -> tuple[Tensor, list[Tensor]]:
        """The weights of the convolutions as the scales of their batch norms: all [12 · C], through which their gradient
        comes, and those of every stack without gradient."""
        if channels not in self._scales:
            every = self._convolutions.unsqueeze(1).repeat(1, channels).flatten()
            self._scales[channels] = every, [stack.part(every.detach(), channels) for stack in self.plan.stacks]
        return self._scales[channels]

    def skips(self, source: int, channels: int) -> Tensor:
        """The weights of the identity on the edges that leave `source`, as :func:`spread` takes them; no gradient."""
        return self._spreading(2 * source, channels)

    def pools(self, source: int, channels: int, shares: Tensor | None) -> Tensor:
        """Those of the pooling, times `shares` [H, W, C] if there are any."""
        if shares is None:
            return self._spreading(2 * source + 1, channels)
        key = source, shares.shape
        if key not in self._shared:
            self._shared[key] = shares[..., :1].unsqueeze(2) * self._forward[FORWARD[2 * source + 1]]
        return self._shared[key]

    def _spreading(self, part: int, channels: int) -> Tensor:
        if (part, channels) not in self._spreadings:
            self._spreadings[part, channels] = self._made_spreading(FORWARD[part], channels)
        return self._spreadings[part, channels]

    def _made_spreading(self, place: slice, channels: int) -> Tensor:
        weights = self._forward[place]
        if not is_product(len(weights), channels, weights):
            return weights
        if channels not in self._matrices:
            self._matrices[channels] = spreading(self._forward, channels)
        return self._matrices[channels][:, place.start * channels : place.stop * channels]


@lru_cache(maxsize=1024)
def _tensors(active: ActiveOperations, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Where a plan's reads are among the mixing weights, flattened; which are active, or None if all are."""
    work = plan(active)
    with torch.inference_mode(False):
        places = [edge * len(OPERATIONS) + operation for edge, operation in work.reads]
        mask = None if all(work.active) else torch.tensor(work.active, device=device)
        return torch.tensor(places, device=device), mask
