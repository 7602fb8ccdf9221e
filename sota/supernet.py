"""The supernet of S1–S5: a stem, L cells of which two are reduction cells, a linear classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from darts_pt.mixed import BatchNorm2d, weighted_sum
from darts_pt.supernet import ActiveOperations, CellType, MixingWeights, Supernet
from sota.genotypes import Genotype, genotype
from sota.mixed import Source, convolved
from sota.operations import DilConv, FactorizedReduce, Noise, ReLUConvBN, SepConv, operation
from sota.spaces import INPUTS, NODES, SPACES, cell_types

STEM_MULTIPLIER = 3


def reduction_cells(layers: int) -> set[int]:
    """The cells that halve the resolution and double the channels: at a third and at two thirds of the depth."""
    return {layers // 3, 2 * layers // 3}


class MixedOperation(nn.Module):
    """The candidate operations of one edge."""

    def __init__(self, names: tuple[str, ...], channels: int, stride: int) -> None:
        super().__init__()
        self._ops = nn.ModuleList(
            operation(name, channels, stride, affine=False, normalised_pooling=True) for name in names
        )


class Cell(nn.Module):
    """Two inputs, four nodes; a node is the sum of its incoming edges, an edge the weighted sum of its operations."""

    def __init__(
        self, cell_type: CellType, c_prev_prev: int, c_prev: int, channels: int, reduction: bool, reduction_prev: bool
    ) -> None:
        super().__init__()
        self.cell_type = cell_type
        self.reduction = reduction
        if reduction_prev:
            self.preprocess0 = FactorizedReduce(c_prev_prev, channels, affine=False)
        else:
            self.preprocess0 = ReLUConvBN(c_prev_prev, channels, affine=False)
        self.preprocess1 = ReLUConvBN(c_prev, channels, affine=False)
        self._ops = nn.ModuleList(
            MixedOperation(names, channels, stride=2 if reduction and edge.source < INPUTS else 1)
            for edge, names in zip(cell_type.edges, cell_type.operations, strict=True)
        )

    def forward(self, previous_previous: Tensor, previous: Tensor, weights: Tensor, active: ActiveOperations) -> Tensor:
        """The four nodes [batch, 4 · C, H, W] under mixing weights [14, K]."""
        stride = 2 if self.reduction else 1
        rows = [row.unbind() for row in weights.unbind()]
        shared = poolings(self.cell_type, active)
        sources = [Source(self.preprocess0(previous_previous), stride), Source(self.preprocess1(previous), stride)]
        empty = sources[1].node[:, :, ::stride, ::stride]
        for node in range(INPUTS, INPUTS + NODES):
            total: Tensor | None = None
            for edge in self.cell_type.incoming[node]:
                source = sources[self.cell_type.edges[edge].source]
                total = self._add_edge(total, edge, source, rows[edge], active[edge], shared)
            sources.append(Source(torch.zeros_like(empty) if total is None else total, stride=1))
        return torch.cat([source.node for source in sources[INPUTS:]], dim=1)

    def _add_edge(
        self,
        total: Tensor | None,
        edge: int,
        source: Source,
        row: tuple[Tensor, ...],
        active: tuple[int, ...],
        shared: SharedPoolings,
    ) -> Tensor | None:
        """`total` and the weighted sum of the edge's active operations; None while there is nothing to add."""
        terms = [] if total is None else [total]
        maps, weights = [], []
        for index in active:
            name, module, weight = self.cell_type.operations[edge][index], self.candidate(edge, index), row[index]
            if name == "none":
                continue
            if isinstance(module, SepConv | DilConv):
                terms.append(convolved(module, source.rectified(), weight))
                continue
            if isinstance(module, FactorizedReduce):
                terms.append(module.bn.scaled(module.convolve(source.rectified()), weight))
                continue
            if name.endswith("_pool_3x3") and not self.training:
                terms.append(module[1].scaled(source.pooled(name), weight))  # type: ignore[index]
                continue
            if name.endswith("_pool_3x3"):
                places = shared[self.cell_type.edges[edge].source, name]
                maps.append(source.normalised(name, [self.candidate(*place)[1] for place in places]))  # type: ignore[index]
            else:
                maps.append(module(source.node))
            weights.append(weight)
        return weighted_sum(terms, maps, weights) if terms or maps else None

    def candidate(self, edge: int, index: int) -> nn.Module:
        """The module of one operation of one edge."""
        return self._ops[edge]._ops[index]  # type: ignore[index]


SharedPoolings = dict[tuple[int, str], tuple[tuple[int, int], ...]]
"""(source, name of a pooling) -> the (edge, operation) that compute it."""


@lru_cache(maxsize=4096)
def poolings(cell_type: CellType, active: ActiveOperations) -> SharedPoolings:
    """The poolings that edges with the same source share, under a pattern of active operations."""
    places: SharedPoolings = {}
    for edge, indices in enumerate(active):
        for index in indices:
            name = cell_type.operations[edge][index]
            if name.endswith("_pool_3x3"):
                key = (cell_type.edges[edge].source, name)
                places[key] = (*places.get(key, ()), (edge, index))
    return places


class SotaSupernet(Supernet):
    """The supernet of one of S1–S5; parameters and buffers have the original's names and order.

    Args:
        space: 's1' … 's5'.
        init_channels: channels C of the first cells.
        layers: cells L.
        num_classes: outputs of the classifier.
        cell: what makes the cells; PC-DARTS has its own.
    """

    def __init__(
        self,
        space: str,
        init_channels: int = 16,
        layers: int = 8,
        num_classes: int = 10,
        cell: Callable[..., Cell] = Cell,
    ) -> None:
        super().__init__()
        self.space = space
        self._noise_generator: torch.Generator | None = None
        self.cell_types = cell_types(space)
        normal, reduce = self.cell_types
        channels, c_prev_prev, c_prev = init_channels, STEM_MULTIPLIER * init_channels, STEM_MULTIPLIER * init_channels
        self.stem = nn.Sequential(nn.Conv2d(3, c_prev, 3, padding=1, bias=False), BatchNorm2d(c_prev))
        self.cells = nn.ModuleList()
        reduction_prev = False
        for layer in range(layers):
            reduction = layer in reduction_cells(layers)
            channels *= 2 if reduction else 1
            self.cells.append(
                cell(reduce if reduction else normal, c_prev_prev, c_prev, channels, reduction, reduction_prev)
            )
            reduction_prev = reduction
            c_prev_prev, c_prev = c_prev, NODES * channels
        self.classifier = nn.Linear(c_prev, num_classes)

    @property
    def noise_generator(self) -> torch.Generator | None:
        """Where the operation noise draws its numbers from (S4); on the images' device."""
        return self._noise_generator

    @noise_generator.setter
    def noise_generator(self, generator: torch.Generator | None) -> None:
        self._noise_generator = generator
        for module in self.modules():
            if isinstance(module, Noise):
                module.generator = generator

    def forward(self, images: Tensor, mixing: MixingWeights) -> Tensor:
        """Class logits [batch, classes] of normalised images [batch, 3, height, width]."""
        previous_previous = previous = self.stem(images.contiguous(memory_format=torch.channels_last))
        cell: Any
        for cell in self.cells:
            name = cell.cell_type.name
            output = cell(previous_previous, previous, *mixing.for_cell(name))
            previous_previous, previous = previous, output
        return self.classifier(previous.mean(dim=(2, 3)))

    def genotype(self, mixing: MixingWeights) -> Genotype:
        return genotype(mixing.overall(), self.cell_types)


def sizes_of(state_dict: Mapping[str, Tensor]) -> dict[str, Any]:
    """Space, init_channels and layers of the supernet that this state dict belongs to.

    The original's checkpoints say none of them; the names and shapes do.

    Raises:
        KeyError: the state dict is of no supernet of S1–S5.
    """
    layers = 1 + max(int(name.split(".")[1]) for name in state_dict if name.startswith("cells."))
    reduction = min(reduction_cells(layers))
    spaces = [
        space
        for space in SPACES
        if _operation_names(state_dict, reduction) == _names_in_space(space)["reduce"]
        and (reduction == 0 or _operation_names(state_dict, 0) == _names_in_space(space)["normal"])
    ]
    if not spaces:
        raise KeyError("its operations are of no space")
    return {
        "space": spaces[0],
        "init_channels": state_dict["stem.0.weight"].shape[0] // STEM_MULTIPLIER,
        "layers": layers,
    }


def _operation_names(state_dict: Mapping[str, Tensor], cell: int) -> set[str]:
    """The names of the weights of one cell's operations: they tell which operation an edge has where."""
    prefix = f"cells.{cell}._ops."
    return {name.removeprefix(prefix) for name in state_dict if name.startswith(prefix)}


@lru_cache(maxsize=len(SPACES))
def _names_in_space(space: str) -> dict[str, set[str]]:
    with torch.device("meta"):
        state_dict = SotaSupernet(space, init_channels=2, layers=3).state_dict()
    return {"normal": _operation_names(state_dict, 0), "reduce": _operation_names(state_dict, 1)}
