"""A user's own images in class-named folders, decoded once into one uint8 tensor."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from darts_pt.data.data_set import Images, Source
from darts_pt.data.halves import stratified_order
from darts_pt.run.errors import ArgumentError, UserError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Suffixes of image files; other files in a class folder are ignored."""
TRAIN_PORTION = 0.8
"""Share of the training set where the folder has no test set."""
SMALLEST_SIDE, MOST_PIXELS = 4, 50_000_000
FILES_PER_TASK = 256


class ImageFiles(NamedTuple):
    """Images before decoding: the class names, paths sorted by class and name, and labels (int64)."""

    class_names: tuple[str, ...]
    paths: list[str]
    labels: Tensor


def read_image_folder(folder: Path, image_size: int | None = None) -> Source:
    """Read images in the layout of torchvision's ImageFolder: a folder per class, classes in alphabetical order.

    The layout is `folder`/train/CLASS/* with `folder`/test/CLASS/* (or val), or only `folder`/CLASS/*, of which a
    stratified fifth becomes the test set. Class folders are searched at every depth; names with a leading dot and files
    without an image's suffix are ignored. Grey images get three equal channels, transparency is dropped.

    Args:
        image_size: the side in pixels to which every image is resized (shorter side) and cropped (centre). None keeps
            the images, which must then all have the same size.

    Raises:
        UserError: a folder or file is missing, empty, damaged, too large, or of another size.
        ArgumentError: the size is too small, too large, or missing.
    """
    folder = existing_folder(folder, "one that holds train/CLASS/ and test/CLASS/")
    check_size(image_size)
    if _subfolders(folder / "train"):
        train, test = list_train_and_test(folder, ("test", "val"))
        pixels, cut = _decode([*train.paths, *test.paths], image_size), len(train.paths)
        return Source(Images(pixels[:cut], train.labels), Images(pixels[cut:], test.labels), train.class_names)
    names, paths, labels = list_images(folder)
    if not set(names).isdisjoint(("test", "val")):
        raise UserError(f"{folder} has a test folder but no train/CLASS/ folders: add them")
    rare = int(torch.bincount(labels).argmin())
    if (labels == rare).sum() < 2:
        raise UserError(f"the class folder {folder / names[rare]} has only 1 image: add some to train and to test on")
    images = Images(_decode(paths, image_size), labels)
    # Not by the run's seed: the test set must stay unseen from search to evaluation.
    order = stratified_order(labels, torch.Generator().manual_seed(0))
    cut = int(TRAIN_PORTION * len(order))
    # Both parts stay sorted by class, as if they were in separate folders.
    return Source(images[order[:cut].sort().values], images[order[cut:].sort().values], names)


def check_size(image_size: int | None) -> None:
    """Raises ArgumentError if images would be too small."""
    if image_size is not None and image_size < SMALLEST_SIDE:
        raise ArgumentError("image_size", f"expected at least {SMALLEST_SIDE} pixels, got {image_size}")


def fit(image: Image, side: int) -> np.ndarray:
    """The image with its shorter side resized to `side` and the rest cropped: uint8 [side, side, 3]."""
    from PIL import ImageOps
    from PIL.Image import Resampling

    return np.asarray(ImageOps.fit(in_colour(image), (side, side), Resampling.BICUBIC))


def existing_folder(folder: Path, expected: str) -> Path:
    """The folder with ~ expanded; raises UserError if it is not a folder."""
    folder = Path(os.path.expanduser(folder))  # Path.expanduser would raise at an unknown ~name.
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: expected {expected}")
    return folder


def list_train_and_test(folder: Path, test_names: Sequence[str]) -> tuple[ImageFiles, ImageFiles]:
    """The images in `folder`/train and in the test folder, the first of `test_names` that exists.

    Raises:
        UserError: a folder or the images of a class are missing, or the two have different classes.
    """
    test_folder = next((folder / name for name in test_names if (folder / name).is_dir()), None)
    if test_folder is None:
        raise UserError(
            f"{folder} has no folder {' or '.join(test_names)}: add one with the same class folders as train"
        )
    train, test = list_images(folder / "train"), list_images(test_folder)
    if train.class_names != test.class_names:
        name = min(set(train.class_names) ^ set(test.class_names))
        lacking = test_folder if name in train.class_names else folder / "train"
        raise UserError(f"{lacking} lacks the class '{name}': train and test must have the same class folders")
    return train, test


def list_images(folder: Path) -> ImageFiles:
    """The images in the class folders of `folder`.

    Raises:
        UserError: there are fewer than two classes, or one without images.
    """
    names = tuple(_subfolders(folder))
    if len(names) < 2:
        found = f"only the class folder '{names[0]}'" if names else "no class folders"
        raise UserError(f"{folder} holds {found}: expected a folder of images for each of at least two classes")
    found = [_image_paths(folder / name) for name in names]
    for name, paths in zip(names, found, strict=True):
        if not paths:
            raise UserError(
                f"the class folder {folder / name} holds no images ({' '.join(SUFFIXES)}): fill or remove it"
            )
    labels = torch.repeat_interleave(torch.arange(len(names)), torch.tensor([len(paths) for paths in found]))
    return ImageFiles(names, [path for paths in found for path in paths], labels)


def _subfolders(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def _image_paths(folder: Path) -> list[str]:
    """The images at every depth of a class folder, sorted; follows links, but enters no folder twice."""
    found, entered = [], set()
    for path, subfolders, members in os.walk(folder, followlinks=True):
        entered.add(os.path.realpath(path))
        subfolders[:] = [name for name in subfolders if os.path.realpath(os.path.join(path, name)) not in entered]
        names = (name for name in members if name.lower().endswith(SUFFIXES) and not name.startswith("."))
        found += [os.path.join(path, name) for name in names]
    return sorted(found)


def _decode(paths: Sequence[str], image_size: int | None) -> Tensor:
    """Decode all files to uint8 [N, 3, height, width], in threads: decoders release Python's lock."""
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        warnings.simplefilter("ignore")  # PIL's notes on palettes and sizes.
        height = width = image_size
        if height is None or width is None:
            height, width = _read(paths[0], None, None).shape[:2]
            if min(width, height) < SMALLEST_SIDE:
                raise UserError(f"{paths[0]} is only {width}x{height} pixels: expected at least {SMALLEST_SIDE} a side")
        _check_memory(len(paths) * 3 * width * height)
        pixels = np.empty((len(paths), height, width, 3), dtype=np.uint8)

        def decode(start: int) -> None:
            for index in range(start, min(start + FILES_PER_TASK, len(paths))):
                pixels[index] = _read(paths[index], (width, height), image_size)

        list(pool.map(decode, range(0, len(paths), FILES_PER_TASK)))
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def _check_memory(needed: int) -> None:
    """Raises ArgumentError if the pixels, `needed` bytes, do not fit into this machine's memory."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    # Twice, since the decoded images are turned from height × width × channel into channel × height × width.
    if 2 * needed > memory:
        raise ArgumentError(
            "image_size",
            f"the images would take 2 × {needed / 2**30:.1f} GiB as pixels and this machine has "
            f"{memory / 2**30:.1f} GiB: give a smaller size",
        )


def _read(path: str, size: tuple[int, int] | None, image_size: int | None) -> np.ndarray:
    """Decode an image to uint8 [height, width, 3]; `size` (width, height) is the one expected, None for any."""
    from PIL import Image

    if not os.path.isfile(path):  # Opening a pipe would wait for ever.
        raise UserError(f"{path} is not a regular file: fix or remove it")
    try:
        with Image.open(path) as image:
            if image.width * image.height > MOST_PIXELS:
                raise UserError(f"{path} is huge ({image.width}x{image.height} pixels): make it smaller or remove it")
            if image_size is not None:
                # A JPEG is decoded at a fraction of its size, which saves most of the work.
                image.draft("RGB", (2 * image_size, 2 * image_size))
                return fit(image, image_size)
            if size is not None and image.size != size:
                raise ArgumentError(
                    "image_size",
                    f"needed where images differ: {path} is {image.width}x{image.height} pixels, the first image "
                    f"{size[0]}x{size[1]}",
                )
            return np.asarray(in_colour(image))
    except UserError:
        raise
    except Exception as error:  # Decoders fail in many ways.
        reason = "it is empty" if os.path.getsize(path) == 0 else " ".join(str(error).split())
        raise UserError(f"{path} cannot be read as an image ({reason}): fix or remove it") from error


def in_colour(image: Image) -> Image:
    """The image in RGB with 8 bits per channel."""
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I"):  # 16 bits per pixel, which convert() would clip to white.
        from PIL import Image as images

        image = images.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    return image.convert("RGB")
