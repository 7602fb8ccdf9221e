"""What evaluation training gets its batches from; each rank gets its share of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from darts_pt.data.augmentation import Augmentation
from darts_pt.data.data_set import DataSet, Images
from darts_pt.run.device import Generators
from darts_pt.run.processes import Ranks, Share


class MicroBatch(NamedTuple):
    """What a rank puts through the network at once: images [n, 3, height, width], labels [n], its share of the whole."""

    images: Tensor
    labels: Tensor
    share: Share


class Loader(Protocol):
    """A training set and a test set.

    Attributes:
        classes: the number of classes; labels are 0 … classes - 1.
        train_count, test_count: the number of images.
    """

    classes: int
    train_count: int
    test_count: int

    def train(
        self, batches: Sequence[Tensor], epoch: int, ranks: Ranks, generators: Generators, dtype: torch.dtype
    ) -> Iterator[MicroBatch]:
        """This rank's share of every batch of training images, augmented.

        Args:
            batches: the indices (int64) of each micro-batch.
            epoch: from 0.
        """
        ...

    def test(
        self, batches: Sequence[Tensor], ranks: Ranks, generators: Generators, dtype: torch.dtype
    ) -> Iterator[MicroBatch]:
        """This rank's share of every batch of test images."""
        ...


class TensorLoader:
    """Loads from a data set that is on the device as a whole."""

    def __init__(self, data: DataSet) -> None:
        self._data = data
        self.classes = data.classes
        self.train_count, self.test_count = len(data.train), len(data.test)

    def train(
        self, batches: Sequence[Tensor], epoch: int, ranks: Ranks, generators: Generators, dtype: torch.dtype
    ) -> Iterator[MicroBatch]:
        return self._load(self._data.train, self._data.augmentation, batches, ranks, generators, dtype)

    def test(
        self, batches: Sequence[Tensor], ranks: Ranks, generators: Generators, dtype: torch.dtype
    ) -> Iterator[MicroBatch]:
        return self._load(self._data.test, None, batches, ranks, generators, dtype)

    def _load(
        self,
        images: Images,
        augmentation: Augmentation | None,
        batches: Sequence[Tensor],
        ranks: Ranks,
        generators: Generators,
        dtype: torch.dtype,
    ) -> Iterator[MicroBatch]:
        for indices in batches:
            share = ranks.share(len(indices))
            yield MicroBatch(*self._data.batch(images, indices, augmentation, generators, dtype, share), share)
