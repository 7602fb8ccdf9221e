"""The batches of evaluation training: from a data set on the device, or from images decoded on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from darts_pt.run.device import Generators
from darts_pt.run.processes import Ranks, Share


class MicroBatch(NamedTuple):
    """The images [n, 3, height, width] and labels [n] of one forward pass of one rank, and their share of the batch."""

    images: Tensor
    labels: Tensor
    share: Share


class Loader(Protocol):
    """A training set and a test set with labels 0 … classes - 1."""

    @property
    def classes(self) -> int: ...

    @property
    def train(self) -> Sized: ...

    @property
    def test(self) -> Sized: ...

    def train_batches(
        self, batches: Sequence[Tensor], epoch: int, ranks: Ranks, generators: Generators, dtype: torch.dtype
    ) -> Iterator[MicroBatch]:
        """This rank's share of every batch of training images, augmented.

        Args:
            batches: the indices (int64) of each micro-batch.
            epoch: from 0.
        """
        ...

    def test_batches(
        self, batches: Sequence[Tensor], ranks: Ranks, generators: Generators, dtype: torch.dtype
    ) -> Iterator[MicroBatch]:
        """This rank's share of every batch of test images."""
        ...
