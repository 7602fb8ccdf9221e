"""NAS-Bench-201-Digits: how its networks are trained (docs/digits-table.md gives the reasons)."""

from __future__ import annotations

import dataclasses
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

from darts_pt.complexity import count_parameters
from darts_pt.data.augmentation import Augmentation
from darts_pt.data.data_set import DataSet, Images
from darts_pt.data.halves import halves
from darts_pt.data.sources import load
from darts_pt.evaluation import NetworkTraining
from darts_pt.hyperparameters import TrainingOptions
from darts_pt.run.device import Generators, dtype_of, seeded, use_precision
from darts_pt.run.loop import train_epoch
from darts_pt.run.saver import Saver
from darts_pt.run.silent import SilentExperiment
from nasbench201.network import NasBench201Network
from nasbench201.table.isomorphism import operations_at

INIT_CHANNELS = 4
CELLS_PER_STAGE = 1
TRAINING = TrainingOptions(
    epochs=6, batch_size=64, learning_rate=0.1, weight_decay=5e-4, nesterov=True, precision="fp64"
)
"""In float64 rounding is too small to change an accuracy, so that all machines get the same table."""

PROTOCOL: dict[str, Any] = {
    "data": "digits; trained on the train half (598 images) without augmentation, valid half 599, test set 600",
    "init_channels": INIT_CHANNELS,
    "cells_per_stage": CELLS_PER_STAGE,
    "optimizer": "SGD, Nesterov, cosine to 0 by epoch",
    **{
        name: value
        for name, value in dataclasses.asdict(TRAINING).items()
        if name in ("epochs", "batch_size", "learning_rate", "momentum", "weight_decay", "precision")
    },
}
"""The protocol as plain data, for the table's facts."""

RESULTS = ("train_accuracy", "valid_accuracy", "valid_loss", "test_accuracy", "test_loss", "seconds", "parameters")


@cache
def _digits() -> tuple[DataSet, DataSet]:
    """The train half with the test set, and with the valid half in its place."""
    full = load("digits")
    train, valid = (
        Images(full.train.pixels[half], full.train.labels[half]) for half in halves(full, train_portion=0.5, seed=0)
    )
    data = dataclasses.replace(full, train=train, augmentation=Augmentation(crop_padding=0, flip=False))
    return data, dataclasses.replace(data, test=valid)


def train_entry(number: int, seed: int) -> list[float]:
    """Train the architecture of that number from scratch; returns :data:`RESULTS` in order."""
    use_precision(TRAINING.precision)
    data, validation = _digits()
    generators = Generators(seed, "cpu")
    with seeded(generators["weights"]):
        network = NasBench201Network(operations_at(number), INIT_CHANNELS, CELLS_PER_STAGE, num_classes=10)
    training = NetworkTraining(network.to(dtype_of(TRAINING.precision)), data, generators, TRAINING)
    # A network takes half a second: there is nothing to log or to save on the way.
    saver = Saver(training, SilentExperiment(Path()), "", report_freq=sys.maxsize)
    start = time.perf_counter()
    for _ in range(TRAINING.epochs):
        train = train_epoch(training, *training.batches(), saver, "")
        training.end_epoch()
    seconds = time.perf_counter() - start
    test = training.test()
    training.data = validation
    valid = training.test()
    return [train.accuracy, *valid[:2], *test[:2], seconds, count_parameters(network)]
