"""From options to a supernet, its data and its experiment, for search, selection and training from scratch."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from darts_pt.architect import Architect
from darts_pt.commands.options import RunOptions, SupernetOptions, not_none
from darts_pt.commands.own_options import settings_of
from darts_pt.commands.resume import Start
from darts_pt.data.class_names import check_classes
from darts_pt.data.data_set import DataSet
from darts_pt.data.halves import halves
from darts_pt.data.sources import load
from darts_pt.hyperparameters import Precision
from darts_pt.image_training import Halves, ImageTraining
from darts_pt.kernels.passes import replayed
from darts_pt.methods import METHODS
from darts_pt.run import checkpoint as checkpoints
from darts_pt.run.config import size_in_words
from darts_pt.run.device import Generators, dtype_of, seeded, use_precision
from darts_pt.run.errors import ArgumentError, listed
from darts_pt.run.experiment import Experiment
from darts_pt.run.processes import Ranks
from darts_pt.run.provenance import describe_device
from darts_pt.run.saver import Saveable, Saver
from darts_pt.run.silent import SilentExperiment
from darts_pt.space import SearchSpace
from darts_pt.supernet import initial_alpha
from darts_pt.training import sgd

CUTOUT_IMAGE = 32
"""Side of images for which --cutout_length holds; in proportion for others, or 16 pixels would wipe out digits."""


def supernet_training(
    space: SearchSpace[Any, Any], options: SupernetOptions, data: DataSet, generators: Generators, halves_seed: int
) -> ImageTraining:
    """A training of a fresh supernet of the space."""
    precision: Precision = not_none(options.precision)
    use_precision(precision)
    method = METHODS[not_none(options.method)]
    settings = settings_of(options, method)
    for_supernet = {option.name: settings[option.name] for option in method.options if option.for_supernet}
    missing = for_supernet.keys() - inspect.signature(space.supernet).parameters.keys()
    if missing:
        raise ArgumentError(
            "method", f"{space.title} cannot build supernets for {method.name}: it has no {listed(missing)}"
        )
    with seeded(generators["weights"]):
        supernet = space.supernet(options, data.classes, generators, **for_supernet)
    supernet.to(generators.device, dtype_of(precision))
    supernet.precision = precision
    if options.cuda_graph:
        supernet.run_pass = replayed(supernet, generators.device, method.not_replayable)
    alpha = initial_alpha(supernet.cell_types, generators["alpha"], generators.device, dtype_of(precision))
    architect: Architect = method.load()(supernet, alpha, options, settings, generators)
    return ImageTraining(
        architect,
        data,
        Halves(*halves(data, not_none(options.train_portion), halves_seed)),
        generators,
        options,
        sgd(supernet, options),
        fast=options.fast,
    )


def data_on(options: RunOptions, device: torch.device) -> DataSet:
    """Load the data set of the options, with their augmentation."""
    data = load(options.dataset, options.data_root, device, options.image_size, options.data)
    if options.cutout:
        side = max(1, round(options.cutout_length * data.train.pixels.shape[-1] / CUTOUT_IMAGE))
        augmentation = dataclasses.replace(data.augmentation, cutout=side)
        data = dataclasses.replace(data, augmentation=augmentation)
    if options.table_dataset:
        check_classes(data.class_names, options.table_dataset)
        data = dataclasses.replace(data, name=options.table_dataset)
    return data


def open_experiment(
    ranks: Ranks, folder: Path, options: Any, device: torch.device, start: Start, log_file: Path | None = None
) -> Experiment:
    """Open the experiment on the first rank; a silent one on the others."""
    resume, overwrite = bool(start.path), start.overwrite
    opened = ranks.on_first(
        lambda: Experiment(folder, options, device=device, resume=resume, overwrite=overwrite, log_file=log_file)
    )
    return opened or SilentExperiment(folder)


def saver_of(
    training: Saveable, experiment: Experiment, options: Any, resume_option: str, needed: Collection[int] = ()
) -> Saver:
    """The saver of a run; also sets the training's `on_nan`. `needed`: epochs whose checkpoints are always kept."""
    training.guard.on_nan = options.on_nan
    return Saver(
        training,
        experiment,
        resume_option,
        minutes=options.ckpt_minutes,
        interval=not_none(options.ckpt_interval),
        keep=options.keep,
        needed=needed,
        report_freq=options.report_freq,
    )


def begin(
    experiment: Experiment,
    checkpoint: dict[str, Any],
    device: torch.device,
    options: Any,
    run: str,
    images: int,
    epochs: int,
) -> None:
    """Start the log; a resumed run drops the metrics recorded after its checkpoint.

    Args:
        run: what kind of run it is, such as "DARTS in NAS-Bench-201".
        images: that an epoch trains on.
    """
    batches = 1 if options.fast else math.ceil(images / options.batch_size)
    trained = "nothing to train"
    if epochs:
        trained = f"{_plural(epochs, 'epoch')} of {_plural(batches, 'batch', 'es')} of {options.batch_size}"
    threads = f", {_plural(torch.get_num_threads(), 'thread')}" if device.type == "cpu" else ""
    experiment.log.info(
        "%s on %s: %s; %s; %s%s",
        run, options.dataset, size_in_words(vars(options)), trained, describe_device(device), threads,
    )  # fmt: skip
    if checkpoint:
        if "metrics_size" in checkpoint:  # The original's checkpoints lack it.
            experiment.rewind(int(checkpoints.number_in(checkpoint, "metrics_size", experiment.folder)))
        experiment.log.info("resumed after epoch %d", checkpoint["epoch"])
    if options.fast:
        experiment.log.info("a trial with --fast: what comes of it is not a result")
    experiment.log.info("files: %s", experiment.folder)


def _plural(count: int, name: str, ending: str = "s") -> str:
    return f"{count} {name}{ending if count != 1 else ''}"
