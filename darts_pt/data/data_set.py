"""A data set as uint8 tensors on the device, and the batches that a network gets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from darts_pt.data.augmentation import Augmentation, augment, cut_out
from darts_pt.data.loaders import MicroBatch
from darts_pt.run.device import Generators
from darts_pt.run.processes import Ranks, Share


@dataclass(frozen=True, eq=False)
class Images:
    """Pixels uint8 [N, 3, height, width] and labels int64 [N], both on one device."""

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, indices: slice | Tensor) -> Images:
        return Images(self.pixels[indices], self.labels[indices])

    def to(self, device: torch.device | str) -> Images:
        return Images(self.pixels.to(device), self.labels.to(device))


class Source(NamedTuple):
    """A data set before it is put on the device: images on the CPU, and the class names in the order of labels."""

    train: Images
    test: Images
    class_names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class DataSet:
    """A data set on the device.

    Attributes:
        name: its name in benchmark tables.
        classes: the number of classes; labels are 0 … classes - 1.
        mean, std: per channel, of pixels scaled to [0, 1].
        augmentation: the training augmentation.
        sorted_by_class: the images are not in random order, so the halves must be drawn at random.
    """

    name: str
    classes: int
    train: Images
    test: Images
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentation: Augmentation
    class_names: tuple[str, ...] = ()
    sorted_by_class: bool = False

    def batch(
        self,
        images: Images,
        indices: Tensor,
        augmentation: Augmentation | None,
        generators: Generators,
        dtype: torch.dtype = torch.float32,
        share: Share | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The images (of `train` or `test`) at `indices`, as the network gets them.

        Args:
            indices: int64 [batch], on the images' device.
            augmentation: drawn from the stream "augmentation"; None for none.
            share: return only this part of the batch; random numbers are drawn for the whole batch.

        Returns:
            normalised images [batch, 3, height, width] of `dtype`, and labels int64 [batch].
        """
        indices = indices if share is None else indices[share.place]
        # index_select copies whole images; indexing with [] is ten times slower on the CPU.
        pixels, labels = images.pixels.index_select(0, indices), images.labels.index_select(0, indices)
        if augmentation is None:
            return normalise(pixels, self.mean, self.std, dtype), labels
        generator = generators["augmentation"]
        inputs = normalise(augment(pixels, augmentation, generator, share), self.mean, self.std, dtype)
        return cut_out(inputs, augmentation.cutout, generator, share), labels

    def train_batches(
        self, batches: Sequence[Tensor], epoch: int, ranks: Ranks, generators: Generators, dtype: torch.dtype
    ) -> Iterator[MicroBatch]:
        """See :class:`darts_pt.data.loaders.Loader`."""
        for indices in batches:
            share = ranks.share(len(indices))
            yield MicroBatch(*self.batch(self.train, indices, self.augmentation, generators, dtype, share), share)

    def test_batches(
        self, batches: Sequence[Tensor], ranks: Ranks, generators: Generators, dtype: torch.dtype
    ) -> Iterator[MicroBatch]:
        """See :class:`darts_pt.data.loaders.Loader`."""
        for indices in batches:
            share = ranks.share(len(indices))
            yield MicroBatch(*self.batch(self.test, indices, None, generators, dtype, share), share)


def normalise(
    pixels: Tensor, mean: tuple[float, ...], std: tuple[float, ...], dtype: torch.dtype = torch.float32
) -> Tensor:
    """(pixels / 255 - mean) / std per channel, of `dtype`; pixels uint8 [B, 3, H, W]."""
    scale, shift = _scale_and_shift(mean, std, dtype, pixels.device)
    return pixels.to(dtype).mul_(scale).add_(shift)


@lru_cache(maxsize=16)
def _scale_and_shift(
    mean: tuple[float, ...], std: tuple[float, ...], dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Normalisation as x · scale + shift, cached on the device: sending it with every batch would stall a GPU."""
    deviation = torch.tensor(std, dtype=torch.float64).view(-1, 1, 1)
    scale, shift = 1 / (255 * deviation), -torch.tensor(mean, dtype=torch.float64).view(-1, 1, 1) / deviation
    return scale.to(device, dtype), shift.to(device, dtype)


def channel_statistics(pixels: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of uint8 pixels [N, 3, H, W] scaled to [0, 1], from counts of values."""
    values = torch.arange(256, dtype=torch.float64) / 255
    means, deviations = [], []
    for channel in range(pixels.shape[1]):
        share = torch.bincount(pixels[:, channel].reshape(-1), minlength=256).to(torch.float64)
        share /= share.sum()
        mean = (share * values).sum()
        means.append(float(mean))
        # A constant channel is divided by 1.
        deviations.append(float((share * (values - mean).square()).sum().sqrt()) or 1.0)
    return tuple(means), tuple(deviations)
