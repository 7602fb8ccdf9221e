"""Training a derived network from scratch: from options to a summary."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from darts_pt import checkpoint as checkpoints
from darts_pt.commands.common import begin, device_and_data, saver_of
from darts_pt.data import DataSet
from darts_pt.device import Generators, dtype_of, seeded
from darts_pt.evaluation import (
    CHECKPOINT_KEYS,
    EvaluationNetwork,
    NetworkTraining,
    TrainingOptions,
    train_network,
)
from darts_pt.experiment import Experiment, as_json
from darts_pt.files import atomic_write
from darts_pt.resume import check_metrics, check_same_options
from darts_pt.run_options import TrainOptions, given


def training_options(options: TrainOptions, **space: Any) -> TrainingOptions:
    """How a derived network is trained, from the command line; `space` adds what a space fixes or offers besides."""
    return TrainingOptions(
        epochs=given(options.epochs),
        batch_size=given(options.batch_size),
        learning_rate=given(options.learning_rate),
        momentum=options.momentum,
        weight_decay=given(options.weight_decay),
        grad_clip=given(options.grad_clip),
        precision=options.precision,
        **space,
    )


def run_training(
    options: TrainOptions,
    how: TrainingOptions,
    folder: Path,
    network: Callable[[DataSet], EvaluationNetwork],
    describe: Callable[[EvaluationNetwork, DataSet], dict[str, Any]],
) -> dict[str, Any]:
    """Train a derived network; the summary is returned and written to summary.json.

    Args:
        network: makes the network for a data set.
        describe: what else the summary should say of it (architecture, parameters, …).
    """
    device, data = device_and_data(options)
    generators = Generators(options.seed, device)
    with seeded(generators["weights"]):
        model = network(data)
    training = NetworkTraining(model.to(device, dtype_of(options.precision)), data, generators, how, options.fast)
    resumes = options.resume_epoch != 0
    checkpoint: dict[str, Any] = {}
    if resumes:
        check_same_options(folder, dataclasses.asdict(options))
        path, checkpoint = checkpoints.load(folder, options.resume_epoch, required=CHECKPOINT_KEYS)
        training.restore(checkpoint, path)
        check_metrics(folder, checkpoint)
    with (
        Experiment(folder, options, device=device, resume=resumes, overwrite=options.overwrite) as experiment,
        saver_of(training, experiment, options, "--resume_epoch") as saver,
    ):
        begin(experiment, checkpoint, device)
        described = describe(model, data)
        for name, value in described.items():
            experiment.log.info("%s: %s", name, value)
        summary = described | train_network(
            training, experiment, saver, given(options.ckpt_interval), options.report_freq
        )
        atomic_write(folder / "summary.json", json.dumps(as_json(summary), indent=2) + "\n")
        experiment.log.info(
            "test accuracy %.2f %% (best %.2f %%)", summary["test_accuracy"], summary["best_test_accuracy"]
        )
        experiment.log.info("files: %s", folder)
        return summary
