"""The cell of NAS-Bench-201 with partial channels, for PC-DARTS."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from darts_pt.kernels.mixed import channels_through, shuffled
from darts_pt.supernet import ActiveOperations
from nasbench201.cell_plan import EDGES
from nasbench201.operations import NONE
from nasbench201.supernet import Cell


class PartialCell(Cell):
    """A cell whose operations see the first of `one_in` parts of the channels; the rest goes around them.

    Args:
        channels: of the cell's input and output.
        one_in: a divisor of `channels`.
    """

    def __init__(self, channels: int, one_in: int) -> None:
        super().__init__(channels_through(channels, one_in))
        self.one_in = one_in

    def forward(  # type: ignore[override]
        self, inputs: Tensor, weights: Tensor, active: ActiveOperations, edge_weights: Tensor
    ) -> Tensor:
        """Node 3 [batch, C, H, W] of the cell's input under mixing weights [6, 5] and edge weights [6]."""
        nodes = [inputs] + [torch.zeros_like(inputs) for _ in range(3)]
        size = inputs.shape[1] // self.one_in
        for index, edge in enumerate(EDGES):
            if not active[index]:
                continue
            through, around = nodes[edge.source][:, :size], nodes[edge.source][:, size:]
            candidates: nn.ModuleList = self.edges[f"{edge.target}<-{edge.source}"]  # type: ignore[assignment]
            mixed = torch.zeros_like(through)
            for operation in active[index]:
                if operation != NONE:
                    mixed = mixed + weights[index, operation] * candidates[operation](through)
            output = shuffled(torch.cat([mixed, around], dim=1), self.one_in)
            nodes[edge.target] = nodes[edge.target] + edge_weights[index] * output
        return nodes[3]
