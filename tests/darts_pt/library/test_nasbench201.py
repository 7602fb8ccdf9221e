"""NAS-Bench-201 written with MixedOperation takes the steps, scores and decisions of the space's own supernet."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import darts_pt
from darts_pt.architect import Architect
from darts_pt.data.data_set import DataSet
from darts_pt.data.halves import halves
from darts_pt.hyperparameters import WeightOptions
from darts_pt.image_training import Halves, ImageTraining
from darts_pt.library.supernet import ModelSupernet
from darts_pt.methods import METHODS
from darts_pt.run.device import Generators, seeded
from darts_pt.run.experiment import Experiment
from darts_pt.run.saver import Saver
from darts_pt.search_loop import search
from darts_pt.selection import Criteria, select
from darts_pt.selections import SELECTIONS
from darts_pt.supernet import MixingWeights, initial_alpha
from darts_pt.training import TUNING_FRACTION, cosine, sgd
from nasbench201.architecture import OPERATIONS
from nasbench201.partial import PartialCell
from nasbench201.supernet import NasBench201Supernet
from tests.helpers.library.mixed_nasbench201 import candidates, nasbench201

SEED, BATCH, EPOCHS = 3, 16, 2


class InOrder(ImageTraining):
    """The space's training on batches that come in the data set's order, as a list gives them."""

    def search_batches(self) -> tuple[int, Iterator[Tensor]]:
        return self.tuning_batches()

    def tuning_batches(self) -> tuple[int, Iterator[Tensor]]:
        self.begin_epoch()
        return 3, iter(self.halves.train.split(BATCH))

    def tuning_pass(self) -> Any:
        return self.halves.train.split(BATCH)

    def random_valid_batch(self) -> Any:
        self.order = getattr(self, "order", cycle(self.halves.valid.split(BATCH)))
        return self.batch(next(self.order))

    def valid_batches(self) -> Iterator[Any]:
        return map(self.batch, self.halves.valid.split(BATCH))


@pytest.fixture
def data(few_digits: DataSet) -> DataSet:
    """Without augmentation, which a list of batches has not either."""
    return dataclasses.replace(few_digits, augmentation=None)  # type: ignore[arg-type]


def theirs(data: DataSet, method: str, rate: float = 1.0) -> InOrder:
    generators = Generators(SEED, "cpu")
    with seeded(generators["weights"]):
        supernet = NasBench201Supernet(4, 1, 10).double()
    alpha = initial_alpha(supernet.cell_types, generators["alpha"], "cpu", torch.float64)
    architect: Architect = METHODS[method].load()(supernet, alpha, generators=generators)
    options = WeightOptions(batch_size=BATCH)
    optimizer = sgd(supernet, options, rate * options.learning_rate)
    split = Halves(*halves(data, 0.5, 0))
    return InOrder(architect, data, split, generators, options, optimizer, cosine(optimizer, options, EPOCHS))


def losses(experiment: Experiment) -> list[float]:
    epochs = [line["values"] for line in experiment.records() if line["kind"] == "epoch"]
    return [epoch[f"{half}_loss"] for epoch in epochs for half in ("train", "valid")]


def same(ours: torch.nn.Module, training: ImageTraining, result: darts_pt.Result) -> None:
    tensors = ours.state_dict().values(), training.supernet.state_dict().values()
    for mine, other in zip(*tensors, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-9)
    alpha = torch.tensor([[row[name] for name in OPERATIONS] for row in result.alpha.values()], dtype=torch.float64)
    torch.testing.assert_close(alpha, training.architect.alpha["cell"].detach(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("method", "selection", "criterion"),
    [("darts", "pt", "loss"), ("blank", "pt", "acc"), ("sdarts-rs", "oneshot", "loss")],
)
def test_the_same_steps_scores_and_decisions(
    data: DataSet, tmp_path: Path, method: str, selection: str, criterion: Any
) -> None:
    training = theirs(data, method)
    ours = nasbench201(4, 1, 10).double()
    with torch.no_grad():
        for mine, other in zip(ours.state_dict().values(), training.supernet.state_dict().values(), strict=True):
            mine.copy_(other)
    train, valid = ([training.batch(part) for part in half.split(BATCH)] for half in training.halves)

    with (
        Experiment(tmp_path / "search", {}, tensorboard=False, quiet=True) as experiment,
        Saver(training, experiment, "") as saver,
    ):
        search(training, saver, EPOCHS)
        expected = losses(experiment)
    searched = darts_pt.search(ours, train, valid, EPOCHS, method=method, seed=SEED, quiet=True)
    found = [epoch[f"{half}_loss"] for epoch in searched.history for half in ("train", "valid")]
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)
    same(ours, training, searched)

    tuned = theirs(data, method, TUNING_FRACTION)
    tuned.scheduler = None
    tuned.restore_supernet(training.to_checkpoint(), tmp_path)
    rule = SELECTIONS[selection].load()
    with (
        Experiment(tmp_path / "selection", {}, tensorboard=False, quiet=True) as experiment,
        Saver(tuned, experiment, "") as saver,
    ):
        criteria = Criteria({"cell": criterion}, {})
        select(tuned, rule(tuned, criteria, SELECTIONS[selection].defaults), saver, interval=1)
        events = [line["values"] for line in experiment.records() if line["kind"] == "operation_event"]
        expected = losses(experiment)
    selected = darts_pt.select(
        ours, train, valid, selection=selection, interval=1, criterion=criterion, seed=SEED, quiet=True
    )
    found = [epoch[f"{half}_loss"] for epoch in selected.history for half in ("train", "valid")]
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert [event.kept for event in selected.events] == [event["kept"] for event in events]
    assert len(events) == 6
    for mine, other in zip(selected.events, events, strict=True):
        for quantity in ("accuracy", "loss"):
            scores = [mine.rounds[0][name][quantity] for name in OPERATIONS]
            assert scores == pytest.approx(other[quantity], rel=1e-9, abs=1e-9)
    same(ours, tuned, selected)
    kept = tuned.decisions.operations["cell"]
    assert list(selected.decisions.values()) == [OPERATIONS[kept[edge]] for edge in range(6)]


def test_partial_channels_compute_what_the_cell_of_pc_darts_does() -> None:
    class Nodes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.nodes = nn.ModuleList(
                darts_pt.MixedInputs(
                    [darts_pt.MixedOperation(candidates(3), partial_channels=2) for _ in range(node)], keep=node
                )
                for node in (1, 2, 3)
            )

        def forward(self, x: Tensor) -> Tensor:
            nodes = [x]
            for node in self.nodes:
                nodes.append(node(*nodes))
            return nodes[-1]

    generator = torch.Generator().manual_seed(SEED)
    theirs, ours = PartialCell(6, 2).double(), ModelSupernet(Nodes().double(), torch.nn.functional.cross_entropy)
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    x, rows = (torch.rand(*shape, generator=generator, dtype=torch.float64) for shape in ((2, 6, 5, 5), (6, 5)))
    edges = torch.rand(6, generator=generator, dtype=torch.float64)
    names, active = [cell.name for cell in ours.cell_types], (tuple(range(5)),) * 6
    mixing = MixingWeights(
        dict(zip(names, rows.split([1, 2, 3]), strict=True)),
        {name: active[:count] for name, count in zip(names, (1, 2, 3), strict=True)},
        dict(zip(names, edges.split([1, 2, 3]), strict=True)),
    )
    torch.testing.assert_close(ours(x, mixing), theirs(x, rows, active, edges), rtol=1e-9, atol=1e-9)
