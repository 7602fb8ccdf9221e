"""Training a derived network from scratch: from options to a summary."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from darts_pt.commands.options import TrainOptions, not_none, with_preset
from darts_pt.commands.resume import find_start
from darts_pt.commands.supernets import begin, data_on, open_experiment, saver_of
from darts_pt.complexity import count_multiply_adds, count_parameters
from darts_pt.data.loaders import Loader
from darts_pt.evaluation import CHECKPOINT_KEYS, EvaluationNetwork, NetworkTraining, train_network
from darts_pt.hyperparameters import TrainingOptions
from darts_pt.run.config import as_json, options_of
from darts_pt.run.device import Generators, dtype_of, pick_device, seeded
from darts_pt.run.errors import UserError
from darts_pt.run.files import atomic_write
from darts_pt.run.processes import Ranks, joined
from darts_pt.run.results import SUMMARY_FILE, find_genotype
from darts_pt.run.saver import Saver
from darts_pt.space import SearchSpace


def training_options(options: TrainOptions, **space: Any) -> TrainingOptions:
    """The training's arguments from the command's options; `space` holds those that the space sets."""
    names = {field.name for field in dataclasses.fields(TrainingOptions)} & vars(options).keys() - space.keys()
    return TrainingOptions(**{name: getattr(options, name) for name in names}, **space)


def network_size(network: EvaluationNetwork, height: int, width: int) -> dict[str, int]:
    """The network's size in the summary of its training."""
    multiply_adds = count_multiply_adds(network, height, width)
    return {"parameters": count_parameters(network), "multiply_adds": multiply_adds}


def train(space: SearchSpace[Any, Any], options: Any) -> dict[str, Any]:
    """Train the architecture that the options name, and return the summary."""
    folder, architecture = not_none(space.training_folder(options)), space.architecture(options)
    described = space.description(options, architecture) | trial_note(options, space.family)
    options = dataclasses.replace(with_preset(options, space.preset(options)), arch=architecture)
    return run_training(
        options,
        training_options(options, **space.recipe(options)),
        folder,
        lambda data: space.network(options, architecture, data.classes),
        lambda model, data: described | network_size(model, *data.train.pixels.shape[2:]),
    )


def trial_note(options: Any, family: str) -> dict[str, str]:
    """A note in the summary if the architecture comes from a trial; else empty."""
    experiments = options.experiments / family
    chosen = find_genotype(options.arch, [experiments / options.dataset, experiments, *experiments.glob("*/"), Path()])
    is_trial = chosen is not None and options_of(chosen.path.parent).get("fast")
    return {"note": "the architecture comes from a trial with --fast: its accuracy is not a result"} if is_trial else {}


def run_training(
    options: TrainOptions,
    how: TrainingOptions,
    folder: Path,
    network: Callable[[Any], EvaluationNetwork],
    describe: Callable[[EvaluationNetwork, Any], dict[str, Any]],
    read: Callable[[Any, torch.device], Loader] = data_on,
) -> dict[str, Any]:
    """Train a derived network, in one process or in those that torchrun has started; write and return the summary.

    Args:
        how: the arguments of the training.
        folder: the experiment's folder.
        network: makes the network for the loader.
        describe: the summary's entries on the network, which is on the CPU (architecture, parameters, …).
        read: makes the loader from the options and the device.
    """
    device = pick_device(options.gpu)
    with joined(device) as ranks:
        check_shares(how, ranks)
        data = ranks.together(lambda: read(options, device))
        generators = Generators(options.seed, device)
        with seeded(generators["weights"]):
            model = network(data)
        model.draw_from(Generators(0, "cpu"))  # The description must not consume random numbers of the training.
        described = describe(model, data)
        model.to(device, dtype_of(options.precision))
        training = NetworkTraining(model, data, generators, how, options.fast, ranks)
        epoch = options.resume_epoch if options.resume_epoch != 0 else None
        start = ranks.from_first(lambda: find_start(folder, options, epoch, "resume_epoch", CHECKPOINT_KEYS))
        if start.path:
            training.restore(start.checkpoint, start.path)
        with (
            open_experiment(ranks, folder, options, device, start) as experiment,
            saver_of(training, experiment, options, "--resume_epoch") as saver,
        ):
            begin(experiment, start.checkpoint, device, options, "training from scratch", len(data.train), how.epochs)
            return _train(training, saver, described)


def _train(training: NetworkTraining, saver: Saver, described: dict[str, Any]) -> dict[str, Any]:
    experiment = saver.experiment
    if training.ranks.count > 1:
        experiment.log.info("%d processes", training.ranks.count)
    for name, value in described.items():
        experiment.log.info("%s: %s", name, value)
    summary = described | train_network(training, saver)
    if training.ranks.is_first:
        atomic_write(experiment.folder / SUMMARY_FILE, json.dumps(as_json(summary), indent=2) + "\n")
    experiment.log.info("test accuracy %.2f %% (best %.2f %%)", summary["test_accuracy"], summary["best_test_accuracy"])
    experiment.log.info("files: %s", experiment.folder)
    return summary


def check_shares(how: TrainingOptions, ranks: Ranks) -> None:
    """Raises UserError unless the batch divides equally among the forward passes of all ranks."""
    parts = ranks.count * how.accumulate
    if how.batch_size % parts:
        who = f"{ranks.count} processes" + (f" with --accumulate {how.accumulate}" if how.accumulate > 1 else "")
        who = who if ranks.count > 1 else f"--accumulate {how.accumulate}"
        raise UserError(f"--batch_size {how.batch_size} cannot be divided by {who}: expected a multiple of {parts}")
