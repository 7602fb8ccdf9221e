"""The NAS-Bench-201 supernet: stem, three stages of cells with a residual block between them, linear classifier."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from darts_pt.supernet import ActiveOperations, CellType, Edge, MixingWeights, Supernet
from nasbench201.architecture import OPERATIONS, SOURCES, architecture_string
from nasbench201.operations import NONE, candidate
from nasbench201.skeleton import skeleton

EDGES = tuple(Edge(source, target) for target, sources in enumerate(SOURCES, start=1) for source in sources)
"""1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2: node 0 is the cell's input, node 3 its output."""

CELL = CellType("cell", EDGES, (OPERATIONS,) * len(EDGES))


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

    def forward(self, inputs: Tensor, weights: Tensor, active: ActiveOperations) -> Tensor:
        """Node 3 [batch, C, H, W] of the cell's input under mixing weights [6, 5]."""
        nodes: dict[int, Tensor] = {0: inputs}
        for index, edge in enumerate(EDGES):
            candidates = self.edges[f"{edge.target}<-{edge.source}"]
            source = nodes[edge.source]
            for operation in active[index]:
                if operation == NONE:
                    continue
                term = weights[index, operation] * candidates[operation](source)
                nodes[edge.target] = nodes[edge.target] + term if edge.target in nodes else term
            if edge.target not in nodes:
                nodes[edge.target] = torch.zeros_like(inputs)
        return nodes[3]


class NasBench201Supernet(Supernet):
    """The supernet of NAS-Bench-201; parameters and buffers have the original's names and order.

    Args:
        init_channels: channels C of the first stage; the others have 2C and 4C.
        cells_per_stage: cells N in each of the three stages.
        num_classes: outputs of the classifier.
    """

    cell_types = (CELL,)

    def __init__(self, init_channels: int = 16, cells_per_stage: int = 5, num_classes: int = 10) -> None:
        super().__init__()
        self.stem, self.cells, self.lastact, self.classifier = skeleton(
            Cell, init_channels, cells_per_stage, num_classes
        )

    def forward(self, images: Tensor, mixing: MixingWeights) -> Tensor:
        """Class logits [batch, classes] of normalised images [batch, 3, height, width]."""
        weights, active = mixing.values[CELL.name], mixing.active[CELL.name]
        hidden = self.stem(images)
        for block in self.cells:
            hidden = block(hidden, weights, active) if isinstance(block, Cell) else block(hidden)
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
