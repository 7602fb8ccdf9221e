"""The supernet of S1–S5: a stem, L cells of which two are reduction cells, a linear classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from darts_pt.kernels.bank import Statistics
from darts_pt.kernels.mixed import BatchNorm2d
from darts_pt.kernels.sums import Term, add_terms
from darts_pt.supernet import CellType, MixingWeights, Supernet
from sota.cell_plan import Banks, Group, Mixture, layout
from sota.genotypes import Genotype, genotype
from sota.mixed import STACKED_UP_TO, Rectified, convolved, pooled, reduced
from sota.operations import FactorizedReduce, Noise, ReLUConvBN, operation
from sota.spaces import CANDIDATES, INPUTS, NODES, cell_types

STEM_MULTIPLIER = 3


def reduction_cells(layers: int) -> set[int]:
    """The cells that halve the resolution and double the channels: at a third and at two thirds of the depth."""
    return {layers // 3, 2 * layers // 3}


NO_STATISTICS = Statistics(None, None, None, True, 0.0, 0.0)


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

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Cell:
        """Another device or type: the tensors were replaced."""
        super()._apply(fn, recurse)
        if "banks" in self.__dict__:
            self.banks.store()
        return self

    def forward(self, previous_previous: Tensor, previous: Tensor, mixture: Mixture) -> Tensor:
        """The four nodes [batch, 4 · C, H, W] of the outputs of the two cells before."""
        stride = 2 if self.reduction else 1
        batch, _, height, width = previous.shape
        work = mixture.plan(self.reduction, batch * self.channels * height * width <= STACKED_UP_TO)
        norms, kernels = self.banks.norms, self.banks.kernels
        statistics = norms.statistics() if norms else NO_STATISTICS
        parts = iter(kernels.parts(work.kernels) if kernels else ())
        scales, nodes, later = mixture.scales(work, self.channels), [], None
        for source, here in enumerate(work.sources):
            if source == 0:
                node = self.preprocess0(previous_previous)
            elif source < INPUTS:
                node = self.preprocess1(previous)
            else:
                node, later = _first(later, previous, stride, self.channels)
                nodes.append(node)
            rectified = Rectified(node) if any(group.is_stack for group in here.groups) else None
            terms: list[Term] = []
            weights = mixture.weights(work)[source]
            for group in here.groups:
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
                    later = add_terms(later, terms, weights[:used], here.targets)
                    terms, weights = [], weights[used:]
            del rectified
            if terms:
                later = add_terms(later, terms, weights, here.targets)
            del terms
        if norms is not None:
            norms.called(statistics, work.norms)
        return torch.cat(nodes, dim=1)

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
        modules = [self.candidates[edge][index] for edge, index in group.places]
        return statistics.normalise(reduced(modules, rectified.maps), scale, group.norms[0])

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


def _first(later: Tensor | None, like: Tensor, stride: int, channels: int) -> tuple[Tensor, Tensor | None]:
    """The next node [batch, C, H, W] of what the later nodes have, and what remains for those after it."""
    if later is None:
        empty = like[:, :1, ::stride, ::stride].expand(-1, channels, -1, -1)
        return torch.zeros_like(empty, memory_format=torch.channels_last), None
    first, rest = later.split([1, later.shape[3] - 1], dim=3) if later.shape[3] > 1 else (later, None)
    return first.squeeze(3).contiguous().permute(0, 3, 1, 2), rest


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
        arguments = {cell_type.name: self._arguments(mixing, cell_type) for cell_type in self.cell_types}
        for cell in self.cells:
            name = cell.cell_type.name
            output = cell(previous_previous, previous, *arguments[name])
            previous_previous, previous = previous, output
        return self.classifier(previous.mean(dim=(2, 3)))

    @staticmethod
    def _arguments(mixing: MixingWeights, cell_type: CellType) -> tuple[Any, ...]:
        """The mixing weights as cells of this type take them: prepared once for all, but for PC-DARTS."""
        values, active, *edge_weights = mixing.for_cell(cell_type.name)
        return (values, active, *edge_weights) if edge_weights else (Mixture(cell_type, values, active),)

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
