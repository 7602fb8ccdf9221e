"""ImageNet for evaluation training: an image folder too large for memory, decoded by worker processes during training.

An image's augmentation depends on the seed, the epoch and the image alone, not on the process that decodes it or on the
step where a run resumes.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from darts_pt.data.image_folder import ImageFiles, existing_folder, in_colour, list_train_and_test
from darts_pt.data.loaders import MicroBatch
from darts_pt.run.device import Generators, stream_seed
from darts_pt.run.errors import UserError
from darts_pt.run.processes import Ranks

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's usual ones, per channel, for pixels in [0, 1]."""
RESIZE = 256 / 224
"""Shorter side of resized test images, relative to the centre crop."""
JITTER = (0.4, 0.4, 0.4, 0.2)
"""Largest changes of brightness, contrast, saturation and hue in training, after DARTS."""


class ImageNetLoader:
    """Images in `folder`/train/CLASS/* and `folder`/val/CLASS/*.

    Args:
        image_size: side in pixels of the network's input.
        workers: processes that decode images for this rank; 0 decodes in the rank itself.

    Raises:
        UserError: a folder or the images of a class are missing, or train and val have different classes.
    """

    def __init__(self, folder: Path, image_size: int, workers: int, seed: int, device: torch.device) -> None:
        where = (
            "ImageNet's images in train/CLASS/ and val/CLASS/, which you get with an account at https://image-net.org"
        )
        train, test = list_train_and_test(existing_folder(folder, where), ("val",))
        from torchvision.transforms import v2

        finish = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
        augment = v2.Compose(
            [
                v2.RandomResizedCrop(image_size, antialias=True),
                v2.RandomHorizontalFlip(),
                v2.ColorJitter(*JITTER),
                *finish,
            ]
        )
        cut = v2.Compose([v2.Resize(round(RESIZE * image_size), antialias=True), v2.CenterCrop(image_size), *finish])
        self.train, self.test = Decoded(train, augment, seed), Decoded(test, cut, seed)
        self.class_names, self.classes = train.class_names, len(train.class_names)
        self._image_size = image_size
        self._workers = workers
        self._device = device

    def train_batches(
        self, batches: Sequence[Tensor], epoch: int, ranks: Ranks, generators: Generators, dtype: torch.dtype
    ) -> Iterator[MicroBatch]:
        return self._decode(self.train, batches, epoch, ranks, dtype)

    def test_batches(
        self, batches: Sequence[Tensor], ranks: Ranks, generators: Generators, dtype: torch.dtype
    ) -> Iterator[MicroBatch]:
        return self._decode(self.test, batches, 0, ranks, dtype)

    def _decode(
        self, images: Decoded, batches: Sequence[Tensor], epoch: int, ranks: Ranks, dtype: torch.dtype
    ) -> Iterator[MicroBatch]:
        """This rank's share of every batch, in order; workers decode some batches ahead."""
        shares = [ranks.share(len(indices)) for indices in batches]
        mine = [
            [(epoch, index) for index in indices[share.place].tolist()]
            for indices, share in zip(batches, shares, strict=True)
        ]
        loader = DataLoader(
            images,
            batch_sampler=mine,  # type: ignore[arg-type]
            num_workers=min(self._workers, len(mine)),
            collate_fn=partial(_collate, self._image_size),
            pin_memory=self._device.type == "cuda",
            worker_init_fn=_start_worker,
            generator=torch.Generator(),  # Without it the loader draws from the global generator.
        )
        for batch, share in zip(loader, shares, strict=True):
            if isinstance(batch, str):
                raise UserError(batch)
            pixels, labels = batch
            yield MicroBatch(pixels.to(self._device, dtype, non_blocking=True), labels.to(self._device), share)


class Decoded(Dataset):
    """Images by (epoch, index), decoded and augmented on access.

    Args:
        transform: image -> normalised tensor [3, size, size]; draws from torch's global generator.
    """

    def __init__(self, files: ImageFiles, transform: Any, seed: int) -> None:
        # Worker processes share one array of bytes; a list would be copied into each.
        self._paths = np.array([os.fsencode(path) for path in files.paths])
        self._labels = files.labels
        self._transform = transform
        self._seed = seed

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, place: tuple[int, int]) -> tuple[Tensor, int] | str:
        """The image and its label, or the error message: an exception in a worker would come with its traceback."""
        from PIL import Image

        epoch, index = place
        path = os.fsdecode(self._paths[index])
        try:
            with Image.open(path) as image:
                picture = in_colour(image)
                picture.load()
        except Exception as error:  # decoders fail in many ways
            return f"{path} cannot be read as an image ({' '.join(str(error).split())}): fix or remove it"
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(stream_seed(self._seed, f"image {epoch}/{index}"))
            return self._transform(picture), int(self._labels[index])


def _collate(size: int, items: list[tuple[Tensor, int] | str]) -> tuple[Tensor, Tensor] | str:
    """Images [n, 3, size, size] and labels [n], where n may be 0; or the first error message."""
    images, labels = [torch.empty(0, 3, size, size)], []
    for item in items:
        if isinstance(item, str):
            return item
        images.append(item[0].unsqueeze(0))
        labels.append(item[1])
    return torch.cat(images), torch.tensor(labels, dtype=torch.int64)


def _start_worker(number: int) -> None:
    # The run handles signals, and ends its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
