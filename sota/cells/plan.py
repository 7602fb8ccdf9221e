"""The plan of an S1–S5 cell: the operations it computes together, for a pattern of active operations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from darts_pt.kernels.bank import Bank, NormBank, Run, merged
from darts_pt.supernet import ActiveOperations, CellType
from sota.operations import DilConv, FactorizedReduce, SepConv
from sota.spaces import INPUTS, NODES

Place = tuple[int, int]
"""(edge, index of one of its operations)."""


@dataclass(frozen=True)
class Group:
    """The same operation on edges from one node to consecutive nodes.

    Attributes:
        name: the operation.
        first: the first edge's end, counted from the first node that the source reaches.
        norms: for each of its batch norms in turn, where they lie in the cell's bank.
        kernels: the same for its convolutions.
    """

    name: str
    places: tuple[Place, ...]
    first: int
    norms: tuple[Run, ...]
    kernels: tuple[Run, ...]

    @property
    def is_pool(self) -> bool:
        return self.name.endswith("_pool_3x3")

    @property
    def is_stack(self) -> bool:
        """Whether it ends in batch norms whose scales are the mixing weights."""
        return bool(self.norms) and not self.is_pool


@dataclass(frozen=True, eq=False)
class Plan:
    """The work of a cell; equal only to itself, so that it is found quickly.

    Attributes:
        sources: node by node, the groups on the edges that leave it.
        scales: (place) of the mixing weights that are scales of batch norms, stack by stack.
        weights: those that multiply maps, source by source.
        norms: the runs of all batch norms that are called.
        kernels: the runs of all kernels that are used, in order.
    """

    sources: tuple[tuple[Group, ...], ...]
    scales: tuple[Place, ...]
    weights: tuple[tuple[Place, ...], ...]
    norms: tuple[Run, ...]
    kernels: tuple[Run, ...]


def norms_and_convolutions(module: nn.Module) -> tuple[list[Any], list[nn.Module]]:
    """The parts of one operation's module that are computed together with those of other edges."""
    if isinstance(module, SepConv | DilConv):
        layers = list(module.op)
        return layers[3::4], [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    if isinstance(module, FactorizedReduce):
        return [module.bn], [module.conv_1, module.conv_2]
    if isinstance(module, nn.Sequential):
        return [module[1]], []
    return [], []


@dataclass(frozen=True)
class Layout:
    """How a cell stores its tensors: (place, which of the operation's) in order, of batch norms and of convolutions."""

    norms: tuple[tuple[Place, int], ...]
    convolutions: tuple[tuple[Place, int], ...]


def counts(name: str, reduces: bool) -> tuple[int, int]:
    """How many batch norms and convolutions an operation has that are computed together with those of other edges."""
    if name.startswith("sep_conv_"):
        return 2, 4
    if name.startswith("dil_conv_"):
        return 1, 2
    if name == "skip_connect":
        return (1, 2) if reduces else (0, 0)
    return (1, 0) if name.endswith("_pool_3x3") else (0, 0)


@lru_cache(maxsize=32)
def layout(cell_type: CellType, reduction: bool) -> Layout:
    """Source by source, operation by operation, one of its batch norms (convolutions) after the other, by target."""
    orders: tuple[list[tuple[Place, int]], ...] = ([], [])
    for source in range(INPUTS + NODES):
        for name, places in by_name(cell_type, source).items():
            for order, count in zip(orders, counts(name, reduction and source < INPUTS), strict=True):
                order += [(place, which) for which in range(count) for place in places]
    return Layout(tuple(orders[0]), tuple(orders[1]))


def by_name(cell_type: CellType, source: int, active: ActiveOperations | None = None) -> dict[str, list[Place]]:
    """The operations on the edges that leave a node, together those of one name, by target; none is left out."""
    by_name: dict[str, list[Place]] = {}
    for edge, names in enumerate(cell_type.operations):
        if cell_type.edges[edge].source == source:
            for index in range(len(names)) if active is None else active[edge]:
                by_name.setdefault(names[index], []).append((edge, index))
    by_name.pop("none", None)
    return by_name


@lru_cache(maxsize=4096)
def plan(cell_type: CellType, reduction: bool, active: ActiveOperations, stacks_edges: bool) -> Plan:
    """The plan for a pattern of active operations.

    Args:
        stacks_edges: whether edges that leave one node compute their convolutions together, or each its own.
    """
    stored = layout(cell_type, reduction)
    at = [{key: index for index, key in enumerate(order)} for order in (stored.norms, stored.convolutions)]
    sources: list[tuple[Group, ...]] = []
    for source in range(INPUTS + NODES):
        first_target = max(source + 1, INPUTS)
        groups: list[Group] = []
        for name, places in by_name(cell_type, source, active).items():
            many = counts(name, reduction and source < INPUTS)
            together = name != "noise" and (stacks_edges or "_conv_" not in name)
            for run in _consecutive(cell_type, places) if together else [(place,) for place in places]:
                norms, kernels = (
                    tuple((index[run[0], which], len(run)) for which in range(count))
                    for index, count in zip(at, many, strict=True)
                )
                groups.append(Group(name, run, cell_type.edges[run[0][0]].target - first_target, norms, kernels))
        sources.append(tuple(groups))
    every = [group for groups in sources for group in groups]
    return Plan(
        tuple(sources),
        tuple(place for group in every if group.is_stack for place in group.places),
        tuple(tuple(p for group in groups if not group.is_stack for p in group.places) for groups in sources),
        merged(run for group in every for run in group.norms),
        tuple(run for group in every for run in group.kernels),
    )


def _consecutive(cell_type: CellType, places: Sequence[Place]) -> list[tuple[Place, ...]]:
    """The places cut where the next one's edge does not end in the next node."""
    runs = [[places[0]]]
    for before, place in pairwise(places):
        if cell_type.edges[place[0]].target == cell_type.edges[before[0]].target + 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    return [tuple(run) for run in runs]


class Mixture:
    """The mixing weights [14, K] as cells of one type take them, made once for all of them in a forward pass."""

    def __init__(self, cell_type: CellType, weights: Tensor, active: ActiveOperations) -> None:
        self.cell_type, self.weights, self.active = cell_type, weights, active
        self.scoring: dict[tuple[bool, int, int], Any] = {}
        """What :mod:`sota.cells.scoring_plan` prepares, made once for all cells."""
        self._plans: dict[tuple[bool, bool], Plan] = {}
        self._parts: dict[Plan, tuple[Tensor, tuple[Tensor, ...]]] = {}
        self._scales: dict[tuple[Plan, int], Tensor] = {}

    def reordered(self, edges: Sequence[int]) -> Mixture:
        """With the mixing weights of other edges: edge i gets those of `edges[i]`."""
        active = tuple(self.active[edge] for edge in edges)
        return Mixture(self.cell_type, self.weights[list(edges)], active)

    def plan(self, reduction: bool, stacks_edges: bool) -> Plan:
        """:func:`plan`, looked up once for all cells."""
        if (reduction, stacks_edges) not in self._plans:
            self._plans[reduction, stacks_edges] = plan(self.cell_type, reduction, self.active, stacks_edges)
        return self._plans[reduction, stacks_edges]

    def scales(self, work: Plan, channels: int) -> Tensor:
        """[stacked operations · C]: the mixing weights as scales of the last batch norms, stack by stack."""
        key = work, channels
        if key not in self._scales:
            self._scales[key] = self._read(work)[0].unsqueeze(1).repeat(1, channels).flatten()
        return self._scales[key]

    def shares(self, work: Plan) -> tuple[Tensor, ...]:
        """For every source the mixing weights of the operations that are added as maps."""
        return self._read(work)[1]

    def _read(self, work: Plan) -> tuple[Tensor, tuple[Tensor, ...]]:
        if work not in self._parts:
            places = _places(work, self.weights.shape[1], self.weights.device)
            read = self.weights.flatten().index_select(0, places)
            scales, *weights = read.split([len(work.scales), *map(len, work.weights)])
            self._parts[work] = scales, tuple(weights)
        return self._parts[work]


@lru_cache(maxsize=4096)
def _places(work: Plan, columns: int, device: torch.device) -> Tensor:
    read = [*work.scales, *(place for source in work.weights for place in source)]
    with torch.inference_mode(False):
        return torch.tensor([edge * columns + index for edge, index in read], dtype=torch.int64, device=device)


class Banks:
    """A cell's running statistics and kernels, stored stacked in the order of :func:`layout`."""

    def __init__(self, stored: Layout, candidates: Sequence[Sequence[nn.Module]]) -> None:
        parts = {
            (edge, index): norms_and_convolutions(module)
            for edge, modules in enumerate(candidates)
            for index, module in enumerate(modules)
        }
        norms = [parts[place][0][which] for place, which in stored.norms]
        self.norms = NormBank(norms) if norms else None
        convolutions = [parts[place][1][which] for place, which in stored.convolutions]
        self.kernels = Bank(convolutions, "weight") if convolutions else None

    def store(self) -> None:
        for bank in (self.norms, self.kernels):
            if bank is not None:
                bank.store()
