"""The supernet of S1–S5: a stem, L cells of which two are reduction cells, a linear classifier."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from darts_pt.kernels.mixed import BatchNorm2d, shared_batch_norm
from darts_pt.kernels.sums import NodeSums, scale_vectors
from darts_pt.supernet import ActiveOperations, CellType, MixingWeights, Supernet
from sota.genotypes import Genotype, genotype
from sota.mixed import STACKED_UP_TO, Rectified, convolved, pooled
from sota.operations import FactorizedReduce, Noise, ReLUConvBN, operation
from sota.spaces import CANDIDATES, INPUTS, NODES, cell_types

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
        self.channels = channels
        self.reduction = reduction
        self.candidate_channels = channels
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
        batch, _, height, width = previous.shape
        stacks = batch * self.channels * height * width <= STACKED_UP_TO
        rows = [row.unbind() for row in weights.unbind()]
        sources = plan(self.cell_type, self.reduction, active, stacks)
        scales = self._scales(sources, rows)
        sums, outputs = NodeSums(), []
        for work in sources:
            if work.source == 0:
                node = self.preprocess0(previous_previous)
            elif work.source == 1:
                node = self.preprocess1(previous)
            else:
                node = sums.take(work.source)
                if node is None:
                    empty = previous[:, :1, ::stride, ::stride].expand(-1, self.channels, -1, -1)
                    node = torch.zeros_like(empty, memory_format=torch.channels_last)
                outputs.append(node)
            self._add_maps(sums, node, work, rows, stride if work.source < INPUTS else 1)
            if work.stacks:
                rectified = Rectified(node)
                for stack in work.stacks:
                    self._add_stack(sums, rectified, stack, next(scales))
                del rectified
        return torch.cat(outputs, dim=1)

    def _scales(self, sources: Sequence[SourcePlan], rows: Sequence[Sequence[Tensor]]) -> Iterator[Tensor]:
        """For every stack the mixing weights of its members as the scale of its last batch norm."""
        stacks = [stack for work in sources for stack in work.stacks]
        weights = [rows[edge][index] for stack in stacks for edge, index in stack]
        return iter(scale_vectors(weights, self.channels, [len(stack) for stack in stacks]))

    def _add_maps(
        self, sums: NodeSums, node: Tensor, work: SourcePlan, rows: Sequence[Sequence[Tensor]], stride: int
    ) -> None:
        """The operations that read `node` as it is, to the nodes at their edges' other ends."""
        for edge, index in work.plain:
            sums.add_weighted(self._target(edge), self.candidates[edge][index](node), rows[edge][index])
        for name, places in work.pools:
            maps = pooled(node, name, stride)
            norms = [self.candidates[edge][index][1] for edge, index in places]
            if self.training:  # By batch statistics the batch norms of all edges have one output.
                maps = shared_batch_norm(maps, norms)
            for (edge, index), norm in zip(places, norms, strict=True):
                output = maps if self.training else norm(maps)
                sums.add_weighted(self._target(edge), output, rows[edge][index])

    def _add_stack(self, sums: NodeSums, rectified: Rectified, stack: tuple[Place, ...], scale: Tensor) -> None:
        """One convolution of several edges that leave the node `rectified`, to the nodes at their other ends."""
        stacked, norms = convolved([self.candidates[edge][index] for edge, index in stack], rectified)
        sums.add_normalised([self._target(edge) for edge, _ in stack], stacked, norms, scale)

    def _target(self, edge: int) -> int:
        return self.cell_type.edges[edge].target

    @cached_property
    def candidates(self) -> list[list[Any]]:
        """Edge -> its operations' modules, at hand: looking them up by name takes longer than a small map's ReLU."""
        return [list(mixed._ops) for mixed in self._ops]  # type: ignore[arg-type]


Place = tuple[int, int]
"""(edge, index of one of its operations)."""


@dataclass(frozen=True)
class SourcePlan:
    """What is computed from one node.

    Attributes:
        plain: operations whose outputs are weighted one by one.
        pools: poolings by name: all edges share them.
        stacks: convolutions that end in a batch norm, together those that are computed as one.
    """

    source: int
    plain: tuple[Place, ...]
    pools: tuple[tuple[str, tuple[Place, ...]], ...]
    stacks: tuple[tuple[Place, ...], ...]


@lru_cache(maxsize=4096)
def plan(cell_type: CellType, reduction: bool, active: ActiveOperations, stacks_edges: bool) -> tuple[SourcePlan, ...]:
    """The work of a cell under a pattern of active operations, node by node.

    Args:
        stacks_edges: whether edges that leave one node compute their convolutions together, or each its own.
    """
    plans = []
    for source in range(INPUTS + NODES):
        reduces = reduction and source < INPUTS
        by_name: dict[str, list[Place]] = {}
        for edge, indices in enumerate(active):
            for index in indices if cell_type.edges[edge].source == source else ():
                by_name.setdefault(cell_type.operations[edge][index], []).append((edge, index))
        by_name.pop("none", None)
        pools = {name: tuple(by_name.pop(name)) for name in list(by_name) if name.endswith("_pool_3x3")}
        stackable = [
            tuple(by_name.pop(name))
            for name in list(by_name)
            if name.startswith(("sep_conv_", "dil_conv_")) or (name == "skip_connect" and reduces)
        ]
        stacks = stackable if stacks_edges else [(place,) for places in stackable for place in places]
        plain = tuple(place for places in by_name.values() for place in places)
        plans.append(SourcePlan(source, plain, tuple(pools.items()), tuple(stacks)))
    return tuple(plans)


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

    def generators(self) -> tuple[torch.Generator, ...]:
        return () if self._noise_generator is None else (self._noise_generator,)

    def skip(self, images: Tensor, mixing: MixingWeights) -> None:
        batch, _, height, width = images.shape
        cell: Any
        for cell in self.cells:
            if cell.reduction:
                height, width = -(-height // 2), -(-width // 2)
            # All edges of a cell end in maps of one size, so that it does not matter in which order they draw.
            maps = images.new_empty((0, cell.candidate_channels, height, width))
            for edge, indices in enumerate(mixing.active[cell.cell_type.name]):
                for module in (cell.candidates[edge][index] for index in indices):
                    if isinstance(module, Noise):
                        module.draw(maps, batch)

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
        for space in CANDIDATES
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


@lru_cache
def _names_in_space(space: str) -> dict[str, set[str]]:
    with torch.device("meta"):
        state_dict = SotaSupernet(space, init_channels=2, layers=3).state_dict()
    return {"normal": _operation_names(state_dict, 0), "reduce": _operation_names(state_dict, 1)}
