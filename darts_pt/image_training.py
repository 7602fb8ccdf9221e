"""The training of a supernet on the two halves of an image data set."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from darts_pt.architect import Architect, Batch
from darts_pt.data.batches import in_batches, random_batch_indices, shuffled
from darts_pt.data.data_set import DataSet
from darts_pt.hyperparameters import WeightOptions
from darts_pt.run.device import Generators
from darts_pt.run.errors import ArgumentError
from darts_pt.training import SupernetTraining


class Halves(NamedTuple):
    """Indices [n] (int64, on the device) of the two halves of the training set."""

    train: Tensor
    valid: Tensor


class ImageTraining(SupernetTraining):
    """Batches are drawn by their indices, augmented and normalised.

    Args:
        scheduler: None for tuning at a constant learning rate.
        fast: one batch per epoch and evaluation, for a quick trial.

    Raises:
        ArgumentError: a batch is larger than a half.
    """

    def __init__(
        self,
        architect: Architect,
        data: DataSet,
        halves: Halves,
        generators: Generators,
        options: WeightOptions,
        weight_optimizer: torch.optim.SGD,
        scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
        fast: bool = False,
    ) -> None:
        smallest = min(len(halves.train), len(halves.valid))
        if options.batch_size > smallest:
            raise ArgumentError(
                "batch_size",
                f"expected at most {smallest}, the images in a half of the training set, got {options.batch_size}; or use "
                "another train_portion",
            )
        super().__init__(architect, generators, options, weight_optimizer, scheduler)
        self.data = data
        self.halves = halves
        self.fast = fast
        self.dtype = next(self.supernet.parameters()).dtype

    def batch(self, chosen: Tensor) -> Batch:
        """The training images with these indices, augmented and normalised."""
        return self.data.batch(self.data.train, chosen, self.data.augmentation, self.generators, self.dtype)

    def search_batches(self) -> tuple[int, Iterator[Tensor]]:
        """The number of steps in an epoch of search, and the indices of the remaining batches.

        There are as many steps as in a pass over the train half, but each batch is drawn from all of it, as in the
        original.
        """
        steps = 1 if self.fast else math.ceil(len(self.halves.train) / self.options.batch_size)
        done = self.begin_epoch().steps
        return steps, (self._drawn(self.halves.train) for _ in range(steps - done))

    def tuning_batches(self) -> tuple[int, Iterator[Tensor]]:
        """The number of steps in a tuning epoch, a pass over the train half, and the indices of the remaining batches."""
        progress = self.begin_epoch()
        if progress.order is None:
            progress.order = shuffled(self.halves.train, self.generators["batches"])
        batches = self._in_batches(progress.order)
        return len(batches), iter(batches[progress.steps :])

    def random_train_batch(self) -> Batch:
        return self.batch(self._drawn(self.halves.train))

    def random_valid_batch(self) -> Batch:
        return self.batch(self._drawn(self.halves.valid))

    def tuning_pass(self) -> Iterable[Tensor]:
        return self._in_batches(shuffled(self.halves.train, self.generators["batches"]))

    def valid_batches(self) -> Iterator[Batch]:
        """A pass over the valid half in random order, with the training augmentation, as in the original."""
        return self._pass(self.halves.valid, "valid half")

    def train_batches(self) -> Iterator[Batch]:
        """A pass over the train half, like that over the valid half."""
        return self._pass(self.halves.train, "train half")

    def test_batches(self) -> Iterator[Batch]:
        """A pass over the test set, without augmentation."""
        images = self.data.test
        chunks = self._in_batches(torch.arange(len(images.labels), device=images.labels.device))
        batches = (self.data.batch(images, chunk, None, self.generators, self.dtype) for chunk in chunks)
        return self._checked(batches, "test set", len(chunks))

    def _drawn(self, half: Tensor) -> Tensor:
        return random_batch_indices(half, self.options.batch_size, self.generators["batches"])

    def _pass(self, half: Tensor, title: str) -> Iterator[Batch]:
        chunks = self._in_batches(shuffled(half, self.generators["batches"]))
        return self._checked((self.batch(chunk) for chunk in chunks), title, len(chunks))

    def _in_batches(self, order: Tensor) -> list[Tensor]:
        return in_batches(order, self.options.batch_size)[: 1 if self.fast else None]
