"""What feeds the training of a derived network: batches of augmented images, each rank its share of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from darts_pt.data.data_set import DataSet
from darts_pt.run.device import Generators
from darts_pt.run.processes import Ranks, Share


class Part(NamedTuple):
    """One forward pass's images [n, 3, height, width] and labels [n]: a rank's share of a batch, or of a part of it."""

    images: Tensor
    labels: Tensor
    share: Share


class Feed(Protocol):
    """A training set and a test set.

    Attributes:
        classes: the number of classes; labels are 0 … classes - 1.
        train_count, test_count: the number of images.
    """

    @property
    def classes(self) -> int: ...

    @property
    def train_count(self) -> int: ...

    @property
    def test_count(self) -> int: ...

    def train(
        self, steps: Sequence[Sequence[Tensor]], epoch: int, ranks: Ranks, generators: Generators, dtype: torch.dtype
    ) -> Iterator[list[Part]]:
        """This rank's share of the training images of every step, augmented.

        Args:
            steps: for every step, the indices (int64, on the CPU) of each of its forward passes.
            epoch: which one it is, from 0.
        """
        ...

    def test(
        self, passes: Sequence[Tensor], ranks: Ranks, generators: Generators, dtype: torch.dtype
    ) -> Iterator[Part]:
        """This rank's share of the test images of every forward pass."""
        ...


class TensorFeed:
    """A data set that lies on the device as a whole."""

    def __init__(self, data: DataSet) -> None:
        self.data = data
        self.device = data.train.labels.device

    @property
    def classes(self) -> int:
        return self.data.classes

    @property
    def train_count(self) -> int:
        return len(self.data.train)

    @property
    def test_count(self) -> int:
        return len(self.data.test)

    def train(
        self, steps: Sequence[Sequence[Tensor]], epoch: int, ranks: Ranks, generators: Generators, dtype: torch.dtype
    ) -> Iterator[list[Part]]:
        data = self.data
        for step in steps:
            shares = [ranks.share(len(indices)) for indices in step]
            yield [
                Part(*data.batch(data.train, indices, data.augmentation, generators, dtype, share), share)
                for indices, share in zip(step, shares, strict=True)
            ]

    def test(
        self, passes: Sequence[Tensor], ranks: Ranks, generators: Generators, dtype: torch.dtype
    ) -> Iterator[Part]:
        for indices in passes:
            share = ranks.share(len(indices))
            yield Part(*self.data.batch(self.data.test, indices, None, generators, dtype, share), share)
