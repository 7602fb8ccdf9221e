"""The NAS-Bench-201 supernet: stem, three stages of cells with a residual block between them, linear classifier."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from darts_pt.mixed import average_pool, convolution, pointwise, stacked_batch_norm, weighted_sum
from darts_pt.supernet import ActiveOperations, CellType, Edge, MixingWeights, Supernet
from nasbench201.architecture import OPERATIONS, SOURCES, architecture_string
from nasbench201.operations import (
    AVG_POOL_3X3,
    NONE,
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
    """What is computed from one node: the edges that leave it, by the operation that is active on them."""

    source: int
    edges: dict[int, tuple[int, ...]]


@lru_cache(maxsize=1024)
def plan(active: ActiveOperations) -> tuple[SourcePlan, ...]:
    """The work of a cell under a pattern of active operations, source by source."""
    return tuple(
        SourcePlan(
            source,
            {
                operation: tuple(
                    index for index, edge in enumerate(EDGES) if edge.source == source and operation in active[index]
                )
                for operation in range(len(OPERATIONS))
                if operation != NONE
            },
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

    def forward(self, inputs: Tensor, weights: Tensor, active: ActiveOperations) -> Tensor:
        """Node 3 [batch, C, H, W] of the cell's input under mixing weights [6, 5]."""
        rows = [row.unbind() for row in weights.unbind()]
        terms: dict[int, list[Tensor]] = {1: [], 2: [], 3: []}
        maps: dict[int, list[tuple[Tensor, Tensor]]] = {1: [], 2: [], 3: []}
        node = inputs
        for work in plan(active):
            if work.source > 0:
                node = self._node(terms[work.source], maps[work.source], inputs)
            for index, term in self._normalised(node, work, rows):
                terms[EDGES[index].target].append(term)
            for index in work.edges[SKIP_CONNECT]:
                maps[EDGES[index].target].append((node, rows[index][SKIP_CONNECT]))
            if work.edges[AVG_POOL_3X3]:
                pooled = average_pool(node)
                for index in work.edges[AVG_POOL_3X3]:
                    maps[EDGES[index].target].append((pooled, rows[index][AVG_POOL_3X3]))
        return self._node(terms[3], maps[3], inputs)

    def _normalised(
        self, node: Tensor, work: SourcePlan, rows: list[tuple[Tensor, ...]]
    ) -> Iterator[tuple[int, Tensor]]:
        """The weighted outputs of the convolutions that read `node`, each with its edge."""
        if not (work.edges[NOR_CONV_1X1] or work.edges[NOR_CONV_3X3]):
            return
        rectified = torch.relu(node)
        for operation, convolve in ((NOR_CONV_1X1, pointwise), (NOR_CONV_3X3, convolution)):
            edges = work.edges[operation]
            if edges:
                modules = [self._candidate(edge, operation) for edge in edges]
                stacked = convolve(rectified, [module.convolution.weight for module in modules])
                scale = torch.stack([rows[edge][operation] for edge in edges]).repeat_interleave(self.channels)
                stacked = stacked_batch_norm(stacked, [module.batch_norm for module in modules], scale)
                yield from zip(edges, stacked.split(self.channels, dim=1), strict=True)

    def _candidate(self, edge: int, operation: int) -> ReLUConvBN:
        return self.edges[f"{EDGES[edge].target}<-{EDGES[edge].source}"][operation]  # type: ignore[index,return-value]

    @staticmethod
    def _node(terms: list[Tensor], maps: list[tuple[Tensor, Tensor]], inputs: Tensor) -> Tensor:
        """The sum of a node's incoming edges."""
        if not terms and not maps:
            return torch.zeros_like(inputs)
        return weighted_sum(terms, [map_ for map_, _ in maps], [weight for _, weight in maps])


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
