"""ImageNet for evaluation training: an image folder too large for the memory, decoded by worker processes as it goes.

Every image's augmentation follows from the seed, the epoch and the image alone, whichever process decodes it and
wherever in an epoch a run resumes.
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

from darts_pt.data.image_folder import in_colour, list_images
from darts_pt.data.loaders import MicroBatch
from darts_pt.run.device import Generators, stream_seed
from darts_pt.run.errors import UserError
from darts_pt.run.processes import Ranks

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Per channel, of pixels scaled to [0, 1]: the usual ones of ImageNet."""
RESIZE = 256 / 224
"""Test images are resized to so many times the size that is then cut out of their middle."""
JITTER = (0.4, 0.4, 0.4, 0.2)
"""Largest changes of brightness, contrast, saturation and hue in training, after DARTS."""


class ImageNetLoader:
    """Images in `folder`/train/CLASS/* and `folder`/val/CLASS/*.

    Args:
        image_size: side in pixels of what the network sees.
        workers: processes that decode images for this rank; 0 decodes in the rank itself.

    Raises:
        UserError: a folder or the images of a class are missing, or train and val have other classes.
    """

    def __init__(self, folder: Path, image_size: int, workers: int, seed: int, device: torch.device) -> None:
        folder = Path(os.path.expanduser(folder))
        if not folder.is_dir():
            raise UserError(
                f"--data {folder} is not a folder: expected ImageNet's images in train/CLASS/ and val/CLASS/ (data that "
                "no program may download: see https://image-net.org)"
            )
        for part in ("train", "val"):
            if not (folder / part).is_dir():
                raise UserError(f"{folder} has no folder {part}: expected images in {part}/CLASS/")
        self.class_names, train, train_labels = list_images(folder / "train")
        test_names, test, test_labels = list_images(folder / "val")
        if self.class_names != test_names:
            name = sorted(set(self.class_names) ^ set(test_names))[0]
            lacking = folder / ("val" if name in self.class_names else "train")
            raise UserError(
                f"{folder} has {len(self.class_names)} classes in train and {len(test_names)} in val, and {lacking} lacks "
                f"'{name}': expected the same class folders in both"
            )
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
        self._train = Decoded(train, train_labels, augment, seed)
        self._test = Decoded(test, test_labels, cut, seed)
        self.classes, self.train_count, self.test_count = len(self.class_names), len(train), len(test)
        self._image_size = image_size
        self._workers = workers
        self._device = device

    def train(
        self, batches: Sequence[Tensor], epoch: int, ranks: Ranks, generators: Generators, dtype: torch.dtype
    ) -> Iterator[MicroBatch]:
        return self._decode(self._train, batches, epoch, ranks, dtype)

    def test(
        self, batches: Sequence[Tensor], ranks: Ranks, generators: Generators, dtype: torch.dtype
    ) -> Iterator[MicroBatch]:
        return self._decode(self._test, batches, 0, ranks, dtype)

    def _decode(
        self, images: Decoded, batches: Sequence[Tensor], epoch: int, ranks: Ranks, dtype: torch.dtype
    ) -> Iterator[MicroBatch]:
        """This rank's share of every batch, in order; workers are some batches ahead."""
        shares = [ranks.share(len(indices)) for indices in batches]
        mine = [
            [(epoch, index) for index in indices[share.place].tolist()]
            for indices, share in zip(batches, shares, strict=True)
        ]
        loader = DataLoader(
            images,
            batch_sampler=mine,  # type: ignore[arg-type]
            num_workers=min(self._workers, len(mine)),
            collate_fn=partial(_collated, self._image_size),
            pin_memory=self._device.type == "cuda",
            worker_init_fn=_start_worker,
            generator=torch.Generator(),  # of no influence, but without it the global one is drawn from
        )
        for batch, share in zip(loader, shares, strict=True):
            if isinstance(batch, str):
                raise UserError(batch)
            pixels, labels = batch
            yield MicroBatch(pixels.to(self._device, dtype, non_blocking=True), labels.to(self._device), share)


class Decoded(Dataset):
    """Images decoded and augmented one by one, as (epoch, index) asks for them.

    Args:
        files: paths; kept as one array of bytes, which worker processes share, where a list would be copied into each.
        transform: from an image to a normalised tensor [3, size, size]; draws from torch's global generator.
    """

    def __init__(self, files: Sequence[str], labels: Tensor, transform: Any, seed: int) -> None:
        self._files = np.array([os.fsencode(file) for file in files])
        self._labels = labels
        self._transform = transform
        self._seed = seed

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, place: tuple[int, int]) -> tuple[Tensor, int] | str:
        """The image and its label; or what is wrong with the file."""
        from PIL import Image

        epoch, index = place
        path = os.fsdecode(self._files[index])
        try:
            with Image.open(path) as image:
                picture = in_colour(image)
                picture.load()
        except Exception as error:  # decoders fail in many ways
            return f"{path} cannot be read as an image ({' '.join(str(error).split())}): mend or remove it"
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(stream_seed(self._seed, f"image {epoch}/{index}"))
            return self._transform(picture), int(self._labels[index])


def _collated(size: int, items: list[tuple[Tensor, int] | str]) -> tuple[Tensor, Tensor] | str:
    """Images [n, 3, size, size] and labels [n], of which there may be none; or the first complaint."""
    complaint = next((item for item in items if isinstance(item, str)), None)
    if complaint is not None:
        return complaint
    pairs = [item for item in items if not isinstance(item, str)]
    images = [image for image, _ in pairs]
    return torch.stack(images) if images else torch.empty(0, 3, size, size), torch.tensor(
        [label for _, label in pairs], dtype=torch.int64
    )


def _start_worker(number: int) -> None:
    """Signals are for the run, which ends its workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
