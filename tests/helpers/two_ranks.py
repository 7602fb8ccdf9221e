"""Things that one process and two must agree on, as functions of the ranks; and running them in two processes."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from darts_pt.architect import Architect
from darts_pt.data.data_set import DataSet, Images
from darts_pt.data.halves import halves
from darts_pt.data.sources import load
from darts_pt.evaluation import CHECKPOINT_KEYS, NetworkTraining, train_network
from darts_pt.hyperparameters import TrainingOptions, WeightOptions
from darts_pt.image_training import Halves, ImageTraining
from darts_pt.kernels.synchronised import synchronise
from darts_pt.run import checkpoint as checkpoints
from darts_pt.run.device import Generators, seeded
from darts_pt.run.errors import Stopped, UserError
from darts_pt.run.experiment import Experiment
from darts_pt.run.processes import SINGLE_PROCESS, Ranks
from darts_pt.run.saver import Saver
from darts_pt.run.silent import SilentExperiment
from darts_pt.selection import select, select_at_once
from darts_pt.selections.oneshot import DiscretisationRule
from darts_pt.selections.pt import PerturbationRule, score, without_each_operation
from darts_pt.selections.zero_cost_pt import ZeroCostRule, nwot
from darts_pt.supernet import Decisions, initial_alpha
from darts_pt.training import sgd
from tests.helpers.toy import EVERY_EDGE, TWO_EDGES_EACH, criteria, toy_training

Scenario = Callable[[Ranks, Path], Any]


@cache
def few_digits() -> DataSet:
    digits = load("digits")
    train, test = (
        Images(images.pixels[:count], images.labels[:count])
        for images, count in ((digits.train, 96), (digits.test, 41))
    )
    augmentation = dataclasses.replace(digits.augmentation, flip=True, cutout=2)
    return dataclasses.replace(digits, train=train, test=test, augmentation=augmentation)


# Evaluation training ---------------------------------------------------------------------------------------------

OPTIONS = TrainingOptions(
    epochs=2,
    batch_size=44,
    learning_rate=0.05,
    grad_clip=1.0,
    auxiliary_weight=0.4,
    drop_path_prob=0.3,
    label_smoothing=0.1,
    top5=True,
)
"""96 images are 44, 44 and 8: of which two ranks with two forward passes take 11 at a time, and then 2."""


def training_of(ranks: Ranks, options: TrainingOptions = OPTIONS) -> NetworkTraining:
    """A network with everything that is drawn at random: drop-path, operation noise, crop, flip and cutout; in float64."""
    from sota.genotypes import published
    from sota.network import SotaNetwork

    genotype = published("darts_pt_s5_0")
    genotype = genotype._replace(normal=(("noise", 0), *genotype.normal[1:]))
    generators = Generators(3, "cpu")
    with seeded(generators["weights"]):
        network = SotaNetwork(genotype, 4, 3, 10, auxiliary=True).double()
    return NetworkTraining(network, few_digits(), generators, options, ranks=ranks)


def train(ranks: Ranks, folder: Path, training: NetworkTraining) -> dict[str, Any]:
    """Train to the end; what there is to compare."""
    make = lambda: Experiment(folder, {}, tensorboard=False)  # noqa: E731
    with (
        ranks.on_first(make) or SilentExperiment(folder) as experiment,
        Saver(training, experiment, "--resume_epoch", report_freq=2) as saver,
    ):
        summary = train_network(training, saver)
    weights = {name: tensor.clone() for name, tensor in training.network.state_dict().items()}
    del summary["seconds"]
    return {"summary": summary, "weights": weights, "generators": training.generators.state()}


def evaluation(ranks: Ranks, folder: Path) -> Any:
    return train(ranks, folder, training_of(ranks))


def accumulated(ranks: Ranks, folder: Path) -> Any:
    return train(ranks, folder, training_of(ranks, dataclasses.replace(OPTIONS, accumulate=2, schedule="linear")))


def unused(ranks: Ranks, folder: Path) -> Any:
    """A cell with an operation that leads nowhere: it gets no gradient, and must not decay."""
    from nasbench201.network import NasBench201Network

    operations = ("nor_conv_3x3", "none", "none", "nor_conv_1x1", "none", "none")
    generators = Generators(3, "cpu")
    with seeded(generators["weights"]):
        network = NasBench201Network(operations, 4, 1, 10).double()
    return train(ranks, folder, NetworkTraining(network, few_digits(), generators, OPTIONS, ranks=ranks))


def stopped(ranks: Ranks, folder: Path) -> Any:
    """The second rank alone is told to stop, in the middle of an epoch; all stop there, and go on to the same end."""
    training = training_of(ranks)
    steps = 0

    def count_steps(step: Any) -> Any:
        def counted(*arguments: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == 5 and ranks.rank == ranks.count - 1:
                os.kill(os.getpid(), signal.SIGTERM)
            return step(*arguments)

        return counted

    training.step = count_steps(training.step)  # type: ignore[method-assign]
    try:
        train(ranks, folder, training)
    except Stopped as stop:
        where = [training.epoch, training.progress.steps if training.progress else 0, str(stop).count("SIGTERM")]
    else:
        return "it did not stop"
    again = training_of(ranks)
    path, checkpoint = ranks.from_first(lambda: checkpoints.load(folder, -1, required=CHECKPOINT_KEYS))
    again.restore(checkpoint, path)
    return where, train(ranks, folder / "again", again)


def batch_norm(ranks: Ranks, folder: Path) -> Any:
    """Outputs, gradients and running statistics, where the second of two ranks has no image."""
    inputs = torch.randn(5, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 100.0
    mine = inputs if ranks.is_first else inputs[:0]
    mine.requires_grad_()
    layers = nn.Sequential(nn.BatchNorm2d(3), nn.Sequential(nn.BatchNorm2d(3, affine=False))).double()
    if ranks.count > 1:
        synchronise(layers, torch.device("cpu"))
    output: Tensor = layers(mine)
    output.pow(3).sum().backward()
    gradients = [parameter.grad for parameter in layers.parameters()]
    for gradient in gradients:
        assert gradient is not None
        ranks.sum(gradient)
    state = {name: tensor.clone() for name, tensor in layers.state_dict().items()}
    return [output.detach(), mine.grad, gradients, state, layers.eval()(inputs).detach()]


# Selection -------------------------------------------------------------------------------------------------------


def selection(ranks: Ranks, folder: Path) -> Any:
    """PT with tuning, of every edge and node: decisions, all that was recorded, weights and random streams."""
    training = toy_training(few_digits(), TWO_EDGES_EACH, epochs=None, batch_size=20)
    training.ranks = ranks
    rule = PerturbationRule(
        batches=training.valid_batches, criteria=criteria(training.supernet.cell_types, "loss"), ranks=ranks
    )
    make = lambda: Experiment(folder, {}, tensorboard=False)  # noqa: E731
    with (
        ranks.on_first(make) or SilentExperiment(folder) as experiment,
        Saver(training, experiment, "--resume_epoch") as saver,
    ):
        select(training, rule, saver, 1)
    return {
        "decisions": training.decisions.to_dict(),
        "weights": training.supernet.state_dict(),
        "generators": training.generators.state(),
        "metrics": (folder / "metrics.jsonl").read_bytes() if ranks.is_first else None,
    }


def other_selections(ranks: Ranks, folder: Path) -> Any:
    """Discretisation with and without tuning, and zero-cost scores."""
    training = toy_training(few_digits(), EVERY_EDGE, epochs=None, batch_size=20)
    training.ranks = ranks
    cell = training.supernet.cell_types[0]
    results: list[Any] = []
    for epochs in (0, 1):
        rule = DiscretisationRule(
            batches=training.valid_batches, criteria=criteria(), ranks=ranks, training=training, epochs=epochs
        )
        results.append(rule.operation(training.architect, Decisions(), cell, 2))
    images, _ = next(iter(training.valid_batches()))
    zero_cost = ZeroCostRule(lambda supernet, mixing: nwot(supernet, mixing, images), ranks)
    make = lambda: Experiment(folder, {}, tensorboard=False)  # noqa: E731
    with (
        ranks.on_first(make) or SilentExperiment(folder) as experiment,
        Saver(training, experiment, "--resume_epoch") as saver,
    ):
        select_at_once(training, zero_cost, saver)
    return results, training.decisions.to_dict(), training.generators.state()


def noise(ranks: Ranks, folder: Path) -> Any:
    """Scores in S4, whose operation noise draws numbers inside the network, by whole and by partial channels."""
    from functools import partial

    from sota.cells.cell import Cell
    from sota.cells.partial import PartialCell
    from sota.supernet import SotaSupernet

    results = []
    for cell in (Cell, partial(PartialCell, one_in=2)):
        data = few_digits()
        generators = Generators(5, "cpu")
        with seeded(generators["weights"]):
            supernet = SotaSupernet("s4", 4, 3, 10, cell)
        supernet.noise_generator = generators["noise"]
        architect = Architect(supernet, initial_alpha(supernet.cell_types, generators["alpha"]), generators=generators)
        options = WeightOptions(batch_size=20)
        split = Halves(*halves(data, 0.5, 0))
        training = ImageTraining(architect, data, split, generators, options, sgd(supernet, options))
        mixing = architect.mixing(Decisions())
        if cell is not Cell:
            edges = {kind.name: torch.ones(len(kind.edges)) for kind in supernet.cell_types}
            mixing = dataclasses.replace(mixing, edge_weights=edges)
        results.append(
            score(supernet, without_each_operation(mixing, supernet.cell_types[-1], 6), training.valid_batches, ranks)
        )
        results.append(generators.state())
    return results


# Agreement -------------------------------------------------------------------------------------------------------


def complaints(ranks: Ranks, folder: Path) -> Any:
    """All ranks say what one of them finds wrong."""

    def find_fault(rank: int) -> int:
        if ranks.rank == min(rank, ranks.count - 1):
            raise UserError(f"rank {rank} has no such file")
        return 1

    found = []
    for ask in (lambda: ranks.together(lambda: find_fault(1)), lambda: ranks.from_first(lambda: find_fault(0))):
        try:
            ask()
        except UserError as error:
            found.append(str(error))
    return found, ranks.together(lambda: 7), ranks.from_first(lambda: ("plain", torch.ones(2)))


SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (
        evaluation, accumulated, unused, stopped, batch_norm, selection, other_selections, noise, complaints,
    )
}  # fmt: skip


def alone(folder: Path) -> dict[str, Any]:
    """The results of every scenario in one process."""
    return {name: scenario(SINGLE_PROCESS, folder / name) for name, scenario in SCENARIOS.items()}


def work(rank: int, folder: Path) -> None:
    """The work of one of two processes; its results go into a file."""
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank), LOCAL_WORLD_SIZE="2")
    os.environ.update(MASTER_ADDR="localhost", MASTER_PORT="0")
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2, timeout=timedelta(minutes=5)
    )
    ranks = Ranks(rank, 2)
    results = {name: scenario(ranks, folder / name) for name, scenario in SCENARIOS.items()}
    torch.save(results, folder / f"rank{rank}.pt")
    torch.distributed.destroy_process_group()


def by_two(folder: Path) -> list[dict[str, Any]]:
    """The results of every scenario on each of two ranks."""
    torch.multiprocessing.spawn(work, (folder,), nprocs=2)
    return [torch.load(folder / f"rank{rank}.pt", weights_only=False) for rank in range(2)]
