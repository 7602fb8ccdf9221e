"""The NAS-Bench-201 supernet: stem, three stages of cells with a residual block between them, linear classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from darts_pt.kernels.mixed import average_pool, convolution, pointwise
from darts_pt.kernels.sums import NodeSums, scale_vectors
from darts_pt.supernet import ActiveOperations, CellType, Edge, MixingWeights, Supernet
from nasbench201.architecture import OPERATIONS, SOURCES, architecture_string
from nasbench201.operations import (
    AVG_POOL_3X3,
    NOR_CONV_1X1,
    NOR_CONV_3X3,
    SKIP_CONNECT,
    ReLUConvBN,
    candidate,
)
from nasbench201.skeleton import skeleton

EDGES = tuple(Edge(source, target) for target, sources in enumerate(SOURCES, start=1) for source in sources)
"""1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2: node 0 is the cell's input, node 3 its output."""

CELL = CellType("cell", EDGES, (OPERATIONS,) * len(EDGES))


@dataclass(frozen=True)
class SourcePlan:
    """What is computed from one node.

    Attributes:
        skips, pools: the edges on which the identity, or the pooling, is active.
        convolutions: (operation, the edges on which it is active), for those that are active at all.
    """

    source: int
    skips: tuple[int, ...]
    pools: tuple[int, ...]
    convolutions: tuple[tuple[int, tuple[int, ...]], ...]


@lru_cache(maxsize=1024)
def plan(active: ActiveOperations) -> tuple[SourcePlan, ...]:
    """The work of a cell under a pattern of active operations, source by source."""

    def edges(source: int, operation: int) -> tuple[int, ...]:
        return tuple(index for index, edge in enumerate(EDGES) if edge.source == source and operation in active[index])

    return tuple(
        SourcePlan(
            source,
            edges(source, SKIP_CONNECT),
            edges(source, AVG_POOL_3X3),
            tuple(
                (operation, edges(source, operation))
                for operation in (NOR_CONV_1X1, NOR_CONV_3X3)
                if edges(source, operation)
            ),
        )
        for source in range(3)
    )


class Cell(nn.Module):
    """Four nodes; each but the first is the sum of its incoming edges, each edge the weighted sum of its operations.

    All edges that leave a node share its ReLU and its pooling, their convolutions with equal kernels are one convolution
    with stacked outputs, and the mixing weights are the scales of the batch norms.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.edges = nn.ModuleDict(
            {
                f"{edge.target}<-{edge.source}": nn.ModuleList(candidate(name, channels) for name in OPERATIONS)
                for edge in EDGES
            }
        )
        # The same modules at hand: looking them up by name takes longer than a small map's ReLU.
        self._convolutions = {
            (index, operation): (module.convolution, module.batch_norm)
            for index, candidates in enumerate(self.edges.children())
            for operation, module in enumerate(candidates.children())
            if isinstance(module, ReLUConvBN)
        }

    def forward(self, inputs: Tensor, weights: Tensor, active: ActiveOperations) -> Tensor:
        """Node 3 [batch, C, H, W] of the cell's input under mixing weights [6, 5]."""
        sources = plan(active)
        scalars = weights.flatten().unbind()
        stacks = [(operation, edges) for work in sources for operation, edges in work.convolutions]
        scales = iter(
            scale_vectors(
                [scalars[_place(edge, operation)] for operation, edges in stacks for edge in edges],
                self.channels,
                [len(edges) for _, edges in stacks],
            )
        )
        sums, node = NodeSums(), inputs
        for work in sources:
            if work.source > 0:
                node = sums.take(work.source)
                node = torch.zeros_like(inputs) if node is None else node
            for edge in work.skips:
                sums.add_weighted(EDGES[edge].target, node, scalars[_place(edge, SKIP_CONNECT)])
            if work.pools:
                pooled = average_pool(node)
                for edge in work.pools:
                    sums.add_weighted(EDGES[edge].target, pooled, scalars[_place(edge, AVG_POOL_3X3)])
                del pooled
            if work.convolutions:
                rectified = torch.relu(node)
                for operation, edges in work.convolutions:
                    self._add_convolutions(sums, rectified, operation, edges, next(scales))
                del rectified
        output = sums.take(3)
        return torch.zeros_like(inputs) if output is None else output

    def _add_convolutions(
        self, sums: NodeSums, rectified: Tensor, operation: int, edges: tuple[int, ...], scale: Tensor
    ) -> None:
        """The weighted outputs of one convolution of all `edges`, which leave the node `rectified`, to their other ends."""
        convolutions, norms = zip(*(self._convolutions[edge, operation] for edge in edges), strict=True)
        convolve = pointwise if operation == NOR_CONV_1X1 else convolution
        stacked = convolve(rectified, [module.weight for module in convolutions])
        sums.add_normalised([EDGES[edge].target for edge in edges], stacked, norms, scale)


def _place(edge: int, operation: int) -> int:
    """Where an operation's weight is among a cell's weights, flattened."""
    return edge * len(OPERATIONS) + operation


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
        for block in self.cells:
            hidden = block(hidden, *weights) if isinstance(block, Cell) else block(hidden)
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
