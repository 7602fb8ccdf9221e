"""A supernet of a few hundred weights, in two shapes, on which the method's loops run in milliseconds."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from darts_pt.architect import Architect
from darts_pt.data.data_set import DataSet
from darts_pt.data.halves import halves
from darts_pt.hyperparameters import Criterion, WeightOptions
from darts_pt.image_training import Halves, ImageTraining
from darts_pt.kernels.mixed import BatchNorm2d
from darts_pt.run.device import Generators, seeded
from darts_pt.run.epoch import StepResult
from darts_pt.selection import Criteria
from darts_pt.supernet import ActiveOperations, CellType, Edge, MixingWeights, Supernet, initial_alpha
from darts_pt.training import cosine, sgd

EVERY_EDGE = (
    CellType("cell", (Edge(0, 1), Edge(0, 2), Edge(1, 2)), (("none", "skip_connect", "conv"),) * 3, inputs_kept=None),
)
"""One cell type whose nodes keep all their edges, like NAS-Bench-201."""

_TWO_INPUTS = tuple(Edge(source, node) for node in (2, 3, 4) for source in range(node))
TWO_EDGES_EACH = tuple(
    CellType(name, _TWO_INPUTS, (("none", "skip_connect", "conv"),) * len(_TWO_INPUTS), inputs_kept=2)
    for name in ("normal", "reduce")
)
"""Two cell types with two inputs whose nodes keep two edges, like S1–S5; nodes 3 and 4 have some to drop."""


class ToyCell(nn.Module):
    def __init__(self, cell_type: CellType, channels: int) -> None:
        super().__init__()
        self.type = cell_type
        self.convolutions = nn.ModuleList(
            nn.Sequential(nn.ReLU(), nn.Conv2d(channels, channels, 1, bias=False), BatchNorm2d(channels, affine=False))
            for _ in cell_type.edges
        )

    def forward(
        self, inputs: Tensor, weights: Tensor, active: ActiveOperations, edge_weights: Tensor | None = None
    ) -> Tensor:
        if edge_weights is not None:
            weights = weights * edge_weights[:, None]
        sources = {edge.source for edge in self.type.edges} - {edge.target for edge in self.type.edges}
        nodes = dict.fromkeys(sources, inputs)
        for node, edges in self.type.incoming.items():
            total = torch.zeros_like(inputs)
            for edge in edges:
                source = nodes[self.type.edges[edge].source]
                for operation in active[edge]:
                    name = self.type.operations[edge][operation]
                    if name != "none":
                        output = source if name == "skip_connect" else self.convolutions[edge](source)
                        total = total + weights[edge, operation] * output
            nodes[node] = total
        return nodes[max(nodes)]


class ToySupernet(Supernet):
    """Stem to half the resolution, one cell of each type, linear classifier; for images of 8×8 pixels."""

    def __init__(self, cell_types: tuple[CellType, ...] = EVERY_EDGE, channels: int = 4, classes: int = 10) -> None:
        super().__init__()
        self.cell_types = cell_types
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 3, stride=2, padding=1, bias=False), BatchNorm2d(channels))
        self.cells = nn.ModuleList(ToyCell(cell, channels) for cell in cell_types)
        self.classifier = nn.Linear(16 * channels, classes)

    def forward(self, images: Tensor, mixing: MixingWeights) -> Tensor:
        hidden = self.stem(images)
        for cell_type, cell in zip(self.cell_types, self.cells, strict=True):
            hidden = cell(hidden, *mixing.for_cell(cell_type.name))
        return self.classifier(hidden.flatten(1))

    def genotype(self, mixing: MixingWeights) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(mixing.values[cell.name].argmax(dim=1).tolist()) for cell in self.cell_types)


def toy_architect(
    cell_types: tuple[CellType, ...] = EVERY_EDGE, method: type[Architect] = Architect, seed: int = 0
) -> Architect:
    """A toy supernet with its alpha, from named streams of `seed` as the commands do it."""
    generators = Generators(seed, "cpu")
    with seeded(generators["weights"]):
        supernet = ToySupernet(cell_types)
    return method(supernet, initial_alpha(cell_types, generators["alpha"]), generators=generators)


def toy_training(
    data: DataSet,
    cell_types: tuple[CellType, ...] = EVERY_EDGE,
    method: type[Architect] = Architect,
    seed: int = 0,
    epochs: int | None = 4,
    batch_size: int = 16,
    fast: bool = False,
) -> ImageTraining:
    """A toy supernet ready for a search of `epochs` epochs, or, with None, for tuning at a constant learning rate."""
    architect = toy_architect(cell_types, method, seed)
    options = WeightOptions(batch_size=batch_size)
    optimizer = sgd(architect.supernet, options)
    return ImageTraining(
        architect,
        data,
        Halves(*halves(data, 0.5, seed)),
        architect.generators,
        options,
        optimizer,
        cosine(optimizer, options, epochs) if epochs is not None else None,
        fast,
    )


def search_steps(training: ImageTraining) -> Iterator[StepResult | None]:
    """The steps of an epoch of search; with recorded passes each result is good until the next."""
    return map(training.step, training.search_batches()[1])


def train_epoch(training: ImageTraining) -> list[StepResult | None]:
    """All steps of an epoch of search."""
    return list(search_steps(training))


def criteria(cell_types: tuple[CellType, ...] = EVERY_EDGE, criterion: Criterion = "acc", **more: bool) -> Criteria:
    """One criterion for all."""
    names = {cell.name: criterion for cell in cell_types}
    return Criteria(names, names, **more)
