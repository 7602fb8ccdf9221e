"""The cell of S1–S5 with partial channels, for PC-DARTS."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darts_pt.kernels.mixed import channels_through, shuffled
from darts_pt.supernet import ActiveOperations, CellType
from sota.cells.cell import Cell
from sota.spaces import INPUTS, NODES


class PartialCell(Cell):
    """A cell whose operations see the first of `one_in` parts of a node's channels; the rest goes around them.

    On edges of stride 2 the rest is max-pooled, as in PC-DARTS.

    Args:
        one_in: a divisor of `channels`.
    """

    def __init__(
        self,
        cell_type: CellType,
        c_prev_prev: int,
        c_prev: int,
        channels: int,
        reduction: bool,
        reduction_prev: bool,
        one_in: int,
    ) -> None:
        through = channels_through(channels, one_in)
        super().__init__(cell_type, c_prev_prev, c_prev, channels, reduction, reduction_prev, through)
        self.one_in = one_in

    def forward(  # type: ignore[override]
        self,
        previous_previous: Tensor,
        previous: Tensor,
        weights: Tensor,
        active: ActiveOperations,
        edge_weights: Tensor,
    ) -> Tensor:
        """The four nodes of the outputs of the two cells before, which come out of a ReLU, concatenated.

        Args:
            weights: mixing weights [14, K].
            edge_weights: [14].
        """
        nodes = [self.preprocess0(previous_previous, is_rectified=True), self.preprocess1(previous, is_rectified=True)]
        empty = nodes[1][:, :, :: 1 + self.reduction, :: 1 + self.reduction]
        for node in range(INPUTS, INPUTS + NODES):
            total = torch.zeros_like(empty)
            for edge in self.cell_type.incoming[node]:
                if active[edge]:
                    source = nodes[self.cell_type.edges[edge].source]
                    total = total + edge_weights[edge] * self._edge(edge, source, weights[edge], active[edge])
            nodes.append(total)
        return torch.cat(nodes[INPUTS:], dim=1)

    def _edge(self, edge: int, source: Tensor, row: Tensor, active: tuple[int, ...]) -> Tensor:
        """One edge's output [batch, C, H/stride, W/stride]."""
        size = self.candidate_channels
        through = source[:, :size]
        if self.reduction and self.cell_type.edges[edge].source < INPUTS:
            source = F.max_pool2d(source, 2, 2, ceil_mode=True)
        around = source[:, size:]
        candidates: nn.ModuleList = self._ops[edge]._ops  # type: ignore[assignment]
        mixed = row[active[0]] * candidates[active[0]](through)
        for index in active[1:]:
            mixed = mixed + row[index] * candidates[index](through)
        return shuffled(torch.cat([mixed, around], dim=1), self.one_in)
