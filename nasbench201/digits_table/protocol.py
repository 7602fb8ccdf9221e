"""NAS-Bench-201-Digits: how its networks are trained (docs/digits-table.md says why so)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from darts_pt.data.augmentation import Augmentation
from darts_pt.data.data_set import DataSet, Images
from darts_pt.data.halves import halves
from darts_pt.data.sources import load
from darts_pt.evaluation import TrainingOptions
from darts_pt.run.device import Generators, dtype_of, seeded
from nasbench201.network import NasBench201Network
from nasbench201.table.isomorphism import operations_at

INIT_CHANNELS = 4
CELLS_PER_STAGE = 1
SEEDS = (0, 1, 2)
TRAINING = TrainingOptions(
    epochs=6, batch_size=64, learning_rate=0.1, weight_decay=5e-4, nesterov=True, precision="fp64"
)
"""In float64 a difference in rounding stays far below a decision: every entry comes back, however it is computed."""

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


def digits() -> tuple[DataSet, Images]:
    """The data to train on and to test on, and the valid half."""
    full = load("digits")
    train, valid = (
        Images(full.train.pixels[half], full.train.labels[half]) for half in halves(full, train_portion=0.5, seed=0)
    )
    plain = Augmentation(crop_padding=0, flip=False)
    return dataclasses.replace(full, train=train, augmentation=plain), valid


def initial_network(number: int, generators: Generators) -> NasBench201Network:
    """The network of an architecture (by its number) with the initial weights of the generators' seed, in float64."""
    with seeded(generators["weights"]):
        network = NasBench201Network(operations_at(number), INIT_CHANNELS, CELLS_PER_STAGE, num_classes=10)
    return network.to(dtype_of(TRAINING.precision))


def initial_networks(numbers: Sequence[int], seed: int) -> tuple[list[NasBench201Network], list[Generators]]:
    """Networks and generators for a SideBySideTraining, one of each per architecture."""
    generators = [Generators(seed, "cpu") for _ in numbers]
    return [initial_network(*pair) for pair in zip(numbers, generators, strict=True)], generators
