"""The supernet of S1–S5: a stem, L cells of which two are reduction cells, a linear classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from darts_pt.kernels.mixed import BatchNorm2d
from darts_pt.supernet import CellType, MixingWeights, Supernet
from sota.cells.cell import Cell
from sota.cells.plan import Mixture
from sota.genotypes import Genotype, genotype
from sota.operations import Noise
from sota.spaces import CANDIDATES, NODES, cell_types

STEM_MULTIPLIER = 3


def reduction_cells(layers: int) -> set[int]:
    """The cells that halve the resolution and double the channels: at a third and at two thirds of the depth."""
    return {layers // 3, 2 * layers // 3}


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
        output = previous_previous = self.stem(images.contiguous(memory_format=torch.channels_last))
        cell: Any
        arguments = {cell_type.name: self._arguments(mixing, cell_type) for cell_type in self.cell_types}
        for cell in self.cells:
            previous = torch.relu_(output)  # Once for both cells that read it.
            output = cell(previous_previous, previous, *arguments[cell.cell_type.name])
            previous_previous = previous
        return self.classifier(output.mean(dim=(2, 3)))

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
