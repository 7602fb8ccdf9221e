"""Data sets as uint8 tensors on the device; batches are drawn, augmented and normalised there as tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from darts_pt.data import sources as data_sources
from darts_pt.data.sources import Source, stratified_order
from darts_pt.run.device import Generators, stream_seed
from darts_pt.run.errors import UserError
from darts_pt.run.processes import Share

DATA_ROOT = Path(__file__).resolve().parents[2] / "data"
"""Where the data sets lie unless told otherwise."""


@dataclass(frozen=True)
class Augmentation:
    """How training images are varied.

    Attributes:
        crop_padding: pixels of black added on every side before a random crop of the original size; 0 for no crop.
        flip: whether every second image, on average, is mirrored left to right.
        cutout: side in pixels of a square hole at a random place; 0 for none (DeVries & Taylor, 2017).
    """

    crop_padding: int
    flip: bool
    cutout: int = 0

    def __post_init__(self) -> None:
        if self.crop_padding < 0 or self.cutout < 0:
            raise UserError(f"crop padding {self.crop_padding} and cutout {self.cutout}: expected 0 or more pixels")


@dataclass(frozen=True, eq=False)
class Images:
    """Pixels uint8 [N, 3, height, width] and labels int64 [N], both on one device."""

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class DataSet:
    """A data set on the device.

    Attributes:
        classes: the number of classes; labels are 0 … classes - 1.
        mean, std: per channel, of pixels scaled to [0, 1].
        augmentation: the training augmentation that belongs to the data set, without cutout.
        sorted_by_class: whether halves must be drawn, since the images' order is not random.
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
        """The images (of `train` or `test`) at `indices`, ready for the network.

        Args:
            indices: int64 [batch], on the images' device.
            augmentation: None for none; else drawn from the stream "augmentation".
            share: only these images of the batch; what is drawn is drawn for all of it, so that ranks together see what
                one process sees.

        Returns:
            normalised images [batch, 3, height, width] of `dtype`, and labels int64 [batch].
        """
        indices = indices if share is None else indices[share.place]
        # index_select copies whole images at once; indexing with [] is ten times slower on the CPU.
        pixels, labels = images.pixels.index_select(0, indices), images.labels.index_select(0, indices)
        if augmentation is None:
            return normalise(pixels, self.mean, self.std, dtype), labels
        generator = generators["augmentation"]
        inputs = normalise(augment(pixels, augmentation, generator, share), self.mean, self.std, dtype)
        return cut_out(inputs, augmentation.cutout, generator, share), labels


def augment(
    pixels: Tensor, augmentation: Augmentation, generator: torch.Generator, share: Share | None = None
) -> Tensor:
    """Random crop with zero padding and random flip, image by image; uint8 [B, 3, H, W] in and out.

    Cutout is not applied here: its holes are 0 *after* normalisation (:func:`cut_out`).

    Args:
        share: the images are those of a batch; it is drawn for the whole batch.
    """
    padding, flip = augmentation.crop_padding, augmentation.flip
    if padding == 0 and not flip:
        return pixels
    batch, channels, height, width = pixels.shape
    device = pixels.device
    rows = torch.arange(height, device=device).expand(batch, height)
    columns = torch.arange(width, device=device).expand(batch, width)
    drawn, mine = (batch, slice(None)) if share is None else (share.total, share.place)
    if flip:
        mirrored = torch.rand(drawn, 1, generator=generator, device=device)[mine] < 0.5
        columns = torch.where(mirrored, width - 1 - columns, columns)
    if padding:
        offsets = torch.randint(2 * padding + 1, (2, drawn, 1), generator=generator, device=device)[:, mine]
        rows, columns = rows + offsets[0], columns + offsets[1]
        pixels = functional.pad(pixels, (padding, padding, padding, padding))
    # Crop and flip at once: one gather per image, over its pixels in a row.
    source = rows.unsqueeze(2) * pixels.shape[3] + columns.unsqueeze(1)
    flat = pixels.flatten(2).gather(2, source.view(batch, 1, -1).expand(-1, channels, -1))
    return flat.view(batch, channels, height, width)


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
    """Normalisation as x · scale + shift, kept on the device: sending them with every batch would stall a GPU."""
    deviation = torch.tensor(std, dtype=torch.float64).view(-1, 1, 1)
    scale, shift = 1 / (255 * deviation), -torch.tensor(mean, dtype=torch.float64).view(-1, 1, 1) / deviation
    return scale.to(device, dtype), shift.to(device, dtype)


def cut_out(images: Tensor, side: int, generator: torch.Generator, share: Share | None = None) -> Tensor:
    """Fill a square hole of `side` pixels in every image with 0, in place; images are normalised [B, 3, H, W].

    The hole's centre is uniform over the pixels, so a hole at the border is partly outside, as in DARTS. With `share`, the
    images are those of a batch, and it is drawn for the whole batch.
    """
    if side == 0:
        return images
    batch, _, height, width = images.shape
    device = images.device
    drawn, mine = (batch, slice(None)) if share is None else (share.total, share.place)
    top = torch.randint(height, (drawn, 1), generator=generator, device=device)[mine] - side // 2
    left = torch.randint(width, (drawn, 1), generator=generator, device=device)[mine] - side // 2
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    in_rows, in_columns = (rows >= top) & (rows < top + side), (columns >= left) & (columns < left + side)
    return images.masked_fill_((in_rows.unsqueeze(2) & in_columns.unsqueeze(1)).unsqueeze(1), 0)


def halves(dataset: DataSet, train_portion: float, seed: int) -> tuple[Tensor, Tensor]:
    """Indices (int64, on the device) of the training images in the train half and in the valid half.

    The train half is the first floor(train_portion · N) images in the data set's own order, as in the original. A
    data set that is sorted by class is split by a stratified draw from `seed` instead; its halves are ascending.

    Raises:
        UserError: for a portion outside (0, 1), an empty half, or a half that lacks a class.
    """
    if not 0 < train_portion < 1:
        raise UserError(f"train_portion {train_portion} leaves an empty half: expected a number between 0 and 1")
    labels = dataset.train.labels.cpu()
    count = len(labels)
    cut = int(train_portion * count)
    if cut == 0:
        raise UserError(f"train_portion {train_portion} of {count} images leaves the train half empty: raise it")
    order = torch.arange(count)
    if dataset.sorted_by_class:
        order = stratified_order(labels, torch.Generator().manual_seed(stream_seed(seed, "halves")))
    train, valid = order[:cut].sort().values, order[cut:].sort().values
    for half, name in ((train, "train"), (valid, "valid")):
        present = torch.bincount(labels[half], minlength=dataset.classes) > 0
        absent = (torch.bincount(labels, minlength=dataset.classes) > 0) & ~present
        if absent.any():
            which = int(absent.nonzero()[0])
            label = dataset.class_names[which] if dataset.class_names else which
            raise UserError(
                f"with train_portion {train_portion} the {name} half ({len(half)} of {count} images) has no image of "
                f"the class '{label}': add images of it, or choose a train_portion closer to 0.5"
            )
    return train.to(dataset.train.labels.device), valid.to(dataset.train.labels.device)


def random_batch_indices(half: Tensor, batch_size: int, generator: torch.Generator) -> Tensor:
    """`batch_size` distinct indices out of `half`, uniform and drawn anew each time: an epoch is no pass.

    Raises:
        UserError: if the batch is larger than the half.
    """
    _check_batch_size(half, batch_size)
    order = torch.randperm(len(half), generator=generator, device=generator.device)
    return half.index_select(0, order[:batch_size].to(half.device))


def passes(half: Tensor, batch_size: int, generator: torch.Generator | None) -> Iterator[Tensor]:
    """One pass over `half` in chunks of `batch_size`; the last one may be smaller.

    The order is random, or the given one where there is no generator. A single image that would be left over joins the
    chunk before it: batch norm has no statistics of one image where maps are one pixel.

    Raises:
        UserError: at once, if the batch is larger than the half.
    """
    _check_batch_size(half, batch_size)
    return iter(in_batches(half if generator is None else shuffled(half, generator), batch_size))


def shuffled(half: Tensor, generator: torch.Generator) -> Tensor:
    """The indices of `half` in random order."""
    return half[torch.randperm(len(half), generator=generator, device=generator.device).to(half.device)]


def in_batches(order: Tensor, batch_size: int) -> list[Tensor]:
    """The indices in chunks of `batch_size`; the last may be smaller, but a single image joins the chunk before."""
    chunks = list(order.split(batch_size))
    if len(chunks) > 1 and len(chunks[-1]) == 1 < batch_size:
        chunks[-2:] = [torch.cat(chunks[-2:])]
    return chunks


def _check_batch_size(half: Tensor, batch_size: int) -> None:
    if not 1 <= batch_size <= len(half):
        raise UserError(f"a batch of {batch_size} does not fit: expected 1 to {len(half)}, the images to draw from")


@dataclass(frozen=True)
class _BuiltIn:
    """How a published data set is read, normalised (None: as measured) and augmented."""

    read: Callable[[Path], Source]
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    augmentation: Augmentation


_BUILT_IN = {
    "cifar10": _BuiltIn(
        data_sources.read_cifar10,
        (0.49139968, 0.48215827, 0.44653124),
        (0.24703233, 0.24348505, 0.26158768),
        Augmentation(crop_padding=4, flip=True),
    ),
    "cifar100": _BuiltIn(
        data_sources.read_cifar100,
        (0.5071, 0.4865, 0.4409),
        (0.2673, 0.2564, 0.2762),
        Augmentation(crop_padding=4, flip=True),
    ),
    "svhn": _BuiltIn(
        data_sources.read_svhn,
        (0.4377, 0.4438, 0.4728),
        (0.1980, 0.2010, 0.1970),
        Augmentation(crop_padding=4, flip=True),  # mirrored digits are odd, but that is how the original trains
    ),
    "imagenet16-120": _BuiltIn(
        data_sources.read_imagenet16_120,
        (122.68 / 255, 116.66 / 255, 104.01 / 255),
        (63.22 / 255, 61.26 / 255, 65.09 / 255),
        Augmentation(crop_padding=2, flip=True),
    ),
    # At 8 pixels a shift by one is as much as by four at 32; a mirrored digit is no digit, or another one.
    "digits": _BuiltIn(lambda root: data_sources.read_digits(), None, None, Augmentation(crop_padding=1, flip=False)),
}
DATA_SETS = (*_BUILT_IN, "folder")
"""The names that :func:`load` knows."""


def load(
    name: str,
    root: Path | str = DATA_ROOT,
    device: torch.device | str = "cpu",
    image_size: int | None = None,
    folder: Path | str | None = None,
    seed: int = 0,
) -> DataSet:
    """Read a data set and put it on the device.

    Args:
        name: one of :data:`DATA_SETS`.
        root: where the built-in data sets lie, or are downloaded to.
        image_size: for 'folder' only: the side to which its images are resized; None takes them as they are.
        folder: for 'folder' only: where the images are (see :mod:`darts_pt.data.image_folder`).
        seed: for 'folder' only: of the test set that is set aside where the folder has none. Give all commands of an
            experiment the same one, not the run's seed: the test set must stay unseen from search to evaluation.

    Raises:
        UserError: for an unknown name, and for data that is missing, broken or of the wrong shape.
    """
    if name not in DATA_SETS:
        raise UserError(f"unknown data set '{name}': expected one of {', '.join(DATA_SETS)}")
    if name == "folder":
        if folder is None:
            raise UserError("--dataset folder needs --data DIR, a folder with train/CLASS/ and test/CLASS/ in it")
        from darts_pt.data.image_folder import read_image_folder

        source = read_image_folder(Path(folder), image_size, seed)
        # An eighth of the shorter side, as 4 pixels are of CIFAR's.
        recipe = _BuiltIn(lambda root: source, None, None, Augmentation(min(source.train_pixels.shape[2:]) // 8, True))
    else:
        if image_size is not None:
            raise UserError(f"--image_size goes with --dataset folder only: the images of {name} have their own size")
        recipe = _BUILT_IN[name]
        source = recipe.read(Path(root))
    mean, std = recipe.mean, recipe.std
    if mean is None or std is None:
        mean, std = channel_statistics(source.train_pixels)
    return DataSet(
        name=name,
        classes=len(source.class_names),
        train=Images(source.train_pixels.to(device), source.train_labels.to(device)),
        test=Images(source.test_pixels.to(device), source.test_labels.to(device)),
        mean=mean,
        std=std,
        augmentation=recipe.augmentation,
        class_names=source.class_names,
        sorted_by_class=name == "folder",
    )


def channel_statistics(pixels: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of uint8 pixels [N, 3, H, W] scaled to [0, 1]; exact, by counting."""
    values = torch.arange(256, dtype=torch.float64) / 255
    means, deviations = [], []
    for channel in range(pixels.shape[1]):
        share = torch.bincount(pixels[:, channel].reshape(-1), minlength=256).to(torch.float64)
        share /= share.sum()
        mean = (share * values).sum()
        means.append(float(mean))
        # A channel that never changes has no scale of its own; 1 leaves it finite.
        deviations.append(float((share * (values - mean).square()).sum().sqrt()) or 1.0)
    return tuple(means), tuple(deviations)
