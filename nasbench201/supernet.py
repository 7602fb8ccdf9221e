"""The NAS-Bench-201 supernet: stem, three stages of cells with a residual block between them, linear classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from darts_pt.kernels.bank import Bank, NormBank
from darts_pt.supernet import MixingWeights, Supernet
from nasbench201.architecture import OPERATIONS, architecture_string
from nasbench201.cell_pass import cell_output
from nasbench201.cell_plan import CELL, CONVOLUTIONS, EDGES, Mixture
from nasbench201.operations import ReLUConvBN, candidate
from nasbench201.skeleton import skeleton


class Cell(nn.Module):
    """Four nodes; each but the first is the sum of its incoming edges, each edge the weighted sum of its operations."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.edges = nn.ModuleDict(
            {
                f"{edge.target}<-{edge.source}": nn.ModuleList(candidate(name, channels) for name in OPERATIONS)
                for edge in EDGES
            }
        )
        candidates: list[Any] = [list(edge.children()) for edge in self.edges.children()]
        convolutions: list[ReLUConvBN] = [candidates[edge][operation] for edge, operation in CONVOLUTIONS]
        self._norms = NormBank([module.batch_norm for module in convolutions])
        self._kernels = Bank([module.convolution for module in convolutions], "weight")

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Cell:
        """Another device or type: the tensors were replaced."""
        super()._apply(fn, recurse)
        self._kernels.store()
        self._norms.store()
        return self

    def forward(self, inputs: Tensor, mixture: Mixture) -> Tensor:
        """Node 3 [batch, C, H, W] of the cell's input."""
        statistics = self._norms.statistics()
        output = cell_output(
            inputs, self._kernels.parts([stack.run for stack in mixture.plan.stacks]), statistics, mixture
        )
        self._norms.called(statistics, mixture.plan.called)
        return output


class NasBench201Supernet(Supernet):
    """The supernet of NAS-Bench-201; parameters and buffers have the original's names and order.

    Args:
        init_channels: channels C of the first stage; the others have 2C and 4C.
        cells_per_stage: cells N in each of the three stages.
        num_classes: outputs of the classifier.
        cell: what makes a cell from its number of channels; PC-DARTS has its own.
    """

    cell_types = (CELL,)

    def __init__(
        self,
        init_channels: int = 16,
        cells_per_stage: int = 5,
        num_classes: int = 10,
        cell: Callable[[int], Cell] = Cell,
    ) -> None:
        super().__init__()
        self.stem, self.cells, self.lastact, self.classifier = skeleton(
            cell, init_channels, cells_per_stage, num_classes
        )

    def forward(self, images: Tensor, mixing: MixingWeights) -> Tensor:
        """Class logits [batch, classes] of normalised images [batch, 3, height, width]."""
        weights = mixing.for_cell(CELL.name)
        hidden = self.stem(images.contiguous(memory_format=torch.channels_last))
        # Without edge weights, which only the cells of PC-DARTS take, they are prepared once for all cells.
        arguments: tuple[Any, ...] = (
            weights if mixing.edge_weights else (Mixture(weights[0], weights[1], hidden.dtype),)
        )
        for block in self.cells:
            hidden = block(hidden, *arguments) if isinstance(block, Cell) else block(hidden)
        return self.classifier(self.lastact(hidden).mean(dim=(2, 3)))

    def genotype(self, mixing: MixingWeights) -> str:
        """The architecture string of the operation with the largest weight on every edge; on ties the first."""
        return architecture_string([OPERATIONS[index] for index in mixing.values[CELL.name].argmax(dim=1).tolist()])


def sizes_of(state_dict: Mapping[str, Tensor]) -> tuple[int, int, int]:
    """(init_channels, cells_per_stage, num_classes) of the supernet that this state dict belongs to.

    The original's checkpoints say no sizes; the names and shapes do.

    Raises:
        KeyError: the state dict is not of this supernet.
    """
    cells = {int(name.split(".")[1]) for name in state_dict if name.startswith("cells.")}
    return state_dict["stem.0.weight"].shape[0], (len(cells) - 2) // 3, state_dict["classifier.weight"].shape[0]
