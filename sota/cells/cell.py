"""The cell of a supernet of S1–S5: two inputs, four nodes, and the candidate operations of every edge."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from darts_pt.kernels.bank import Statistics
from darts_pt.kernels.sums import LaterNodes, Term
from darts_pt.supernet import CellType
from sota.cells.mixed import STACKED_UP_TO, Rectified, convolved, pooled, reduced
from sota.cells.plan import Banks, Group, Mixture, Place, layout
from sota.cells.scoring import scored, scores
from sota.cells.scoring_plan import is_planned, prepared
from sota.operations import FactorizedReduce, ReLUConvBN, operation
from sota.spaces import INPUTS, NODES

NO_STATISTICS = Statistics(None, None, None, True, 0.0, 0.0)


class MixedOperation(nn.Module):
    """The candidate operations of one edge."""

    def __init__(self, names: tuple[str, ...], channels: int, stride: int) -> None:
        super().__init__()
        self._ops = nn.ModuleList(
            operation(name, channels, stride, affine=False, normalised_pooling=True) for name in names
        )


class Cell(nn.Module):
    """Two inputs, four nodes; a node is the sum of its incoming edges, an edge the weighted sum of its operations.

    Args:
        candidate_channels: of the operations, if they do not compute all `channels`.
    """

    def __init__(
        self,
        cell_type: CellType,
        c_prev_prev: int,
        c_prev: int,
        channels: int,
        reduction: bool,
        reduction_prev: bool,
        candidate_channels: int | None = None,
    ) -> None:
        super().__init__()
        self.cell_type = cell_type
        self.channels = channels
        self.reduction = reduction
        self.candidate_channels = candidate_channels or channels
        self._is_planned = is_planned(cell_type)
        if reduction_prev:
            self.preprocess0 = FactorizedReduce(c_prev_prev, channels, affine=False)
        else:
            self.preprocess0 = ReLUConvBN(c_prev_prev, channels, affine=False)
        self.preprocess1 = ReLUConvBN(c_prev, channels, affine=False)
        self._ops = nn.ModuleList(
            MixedOperation(names, self.candidate_channels, stride=2 if reduction and edge.source < INPUTS else 1)
            for edge, names in zip(cell_type.edges, cell_type.operations, strict=True)
        )

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Cell:
        """Another device or type: the tensors were replaced."""
        super()._apply(fn, recurse)
        if "banks" in self.__dict__:
            self.banks.store()
        return self

    def forward(self, previous_previous: Tensor, previous: Tensor, mixture: Mixture) -> Tensor:
        """The four nodes [batch, 4 · C, H, W] of the outputs of the two cells before, after a ReLU."""
        stride = 2 if self.reduction else 1
        batch, _, height, width = previous.shape
        stacks_edges = batch * self.channels * height * width <= STACKED_UP_TO
        norms, kernels = self.banks.norms, self.banks.kernels
        statistics = norms.statistics() if norms else NO_STATISTICS
        if self._is_planned and stacks_edges and scores(previous, self.channels, statistics):
            return self._scored(previous_previous, previous, mixture, stride, statistics)
        work = mixture.plan(self.reduction, stacks_edges)
        parts = iter(kernels.parts(work.kernels) if kernels else ())
        scales, nodes = mixture.scales(work, self.channels), []
        later = LaterNodes(NODES, by_target=not stacks_edges)
        for source, groups in enumerate(work.sources):
            if source == 0:
                node = self.preprocess0(previous_previous, is_rectified=True)
            elif source < INPUTS:
                node = self.preprocess1(previous, is_rectified=True)
            else:
                node = _next(later, previous, stride, self.channels)
                nodes.append(node)
            rectified = Rectified(node) if any(group.is_stack for group in groups) else None
            terms: list[Term] = []
            weights = mixture.shares(work)[source]
            for group in groups:
                step = stride if source < INPUTS else 1
                if rectified is not None and group.is_stack:
                    size = len(group.places) * self.channels
                    scale, scales = scales.split([size, len(scales) - size])
                    own = [next(parts) for _ in group.kernels]
                    maps = self._stacked(group, own, rectified, step, statistics, scale)
                    terms.append(Term(maps, group.first, len(group.places)))
                    del maps
                else:
                    terms += self._maps(group, node, step, statistics)
                if not torch.is_grad_enabled():  # Added at once, it is not held.
                    used = sum(term.count for term in terms if term.weighted)
                    later.add(terms, weights[:used])
                    terms, weights = [], weights[used:]
            del rectified
            if terms:
                later.add(terms, weights)
            del terms
        if norms is not None:
            norms.called(statistics, work.norms)
        return torch.cat(nodes, dim=1)

    def _scored(
        self, previous_previous: Tensor, previous: Tensor, mixture: Mixture, stride: int, statistics: Statistics
    ) -> Tensor:
        """The same where nothing but numbers is asked for."""
        work, weights = prepared(mixture, self.reduction, self.channels, max(previous.shape[2:]))
        gathered = self.banks.kernels.gathered if self.banks.kernels else torch.zeros_like  # Never called without.
        inputs = (
            lambda: self.preprocess0(previous_previous, is_rectified=True),
            lambda: self.preprocess1(previous, is_rectified=True),
        )
        return scored(inputs, work, gathered, weights, stride, statistics, self._noise)

    def _noise(self, place: Place, node: Tensor) -> Tensor:
        edge, index = place
        return self.candidates[edge][index](node)

    def _stacked(
        self,
        group: Group,
        kernels: list[Tensor],
        rectified: Rectified,
        stride: int,
        statistics: Statistics,
        scale: Tensor,
    ) -> Tensor:
        """One operation of several edges that ends in a batch norm, times the mixing weights."""
        if group.name != "skip_connect":
            return convolved(group, kernels, rectified, stride, statistics, scale)
        return statistics.normalise(reduced(group, kernels, rectified.maps), scale, group.norms[0])

    def _maps(self, group: Group, node: Tensor, stride: int, statistics: Statistics) -> list[Term]:
        """Operations that read the node as it is: the same map for all edges, but for noise, and the pooling's in eval
        mode, when every edge's batch norm has its own statistics."""
        count = len(group.places)
        if not group.is_pool:
            edge, index = group.places[0]
            return [Term(self.candidates[edge][index](node), group.first, count, weighted=True)]
        maps, (run,) = pooled(node, group.name, stride), group.norms
        if statistics.training:
            return [Term(statistics.normalise_once(maps, run), group.first, count, weighted=True)]
        return [
            Term(statistics.normalise(maps.clone(), None, (run[0] + place, 1)), group.first + place, 1, weighted=True)
            for place in range(count)
        ]

    @cached_property
    def candidates(self) -> list[list[Any]]:
        """Edge -> its operations' modules, at hand: looking them up by name takes longer than a small map's ReLU."""
        return [list(mixed._ops) for mixed in self._ops]  # type: ignore[arg-type]

    @cached_property
    def banks(self) -> Banks:
        """The tensors that are used stacked; made when first used, since the cells of PC-DARTS use none."""
        return Banks(layout(self.cell_type, self.reduction), self.candidates)


def _next(later: LaterNodes, like: Tensor, stride: int, channels: int) -> Tensor:
    """The next node [batch, C, H, W]; zeros if it has no active operation."""
    node = later.take()
    if node is not None:
        return node
    empty = like[:, :1, ::stride, ::stride].expand(-1, channels, -1, -1)
    return torch.zeros_like(empty, memory_format=torch.channels_last)
