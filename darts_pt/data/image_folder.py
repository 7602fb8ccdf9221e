"""Reading a user's own images from class-named folders, decoded once into one uint8 tensor."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from darts_pt.data.data_set import Images, Source
from darts_pt.data.halves import stratified_order
from darts_pt.run.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""File names that count as images; other files in a class folder are passed over."""
TRAIN_PORTION = 0.8
"""What is for training where the folder has no test set of its own."""
SMALLEST_SIDE, MOST_PIXELS = 4, 50_000_000
FILES_PER_TASK = 256


def read_image_folder(folder: Path, image_size: int | None = None, seed: int = 0) -> Source:
    """Images in torchvision's ImageFolder layout: a folder per class, classes numbered in alphabetical order.

    The layout is `folder`/train/CLASS/* with `folder`/test/CLASS/* (or val), or only `folder`/CLASS/*, of which then a
    stratified fifth becomes the test set. Class folders are searched at every depth; names with a leading dot and
    files without an image's suffix are passed over. Grey images get three equal channels, transparency is dropped.

    Args:
        image_size: the side in pixels to which every image is resized (shorter side) and cropped (centre). None takes
            the images as they are; they must then all have one size.
        seed: of the fifth that becomes the test set. It should be the same in search, selection and evaluation.

    Raises:
        UserError: naming the folder or file that is missing, empty, broken, too large, or of another size.
    """
    folder = Path(os.path.expanduser(folder))  # unlike Path.expanduser, it leaves an unknown ~name as it is
    if not folder.is_dir():
        raise UserError(f"--data {folder} is not a folder: expected one that holds train/CLASS/ and test/CLASS/")
    if image_size is not None and image_size < SMALLEST_SIDE:
        raise UserError(f"an image size of {image_size} is too small: expected at least {SMALLEST_SIDE} pixels")
    if not _subfolders(folder / "train"):
        names, files, labels = list_images(folder)
        if not set(names).isdisjoint(("test", "val")):
            raise UserError(f"{folder} has a test folder but no train/CLASS/ folders: add them")
        rare = int(torch.bincount(labels).argmin())
        if (labels == rare).sum() < 2:
            raise UserError(
                f"the class folder {folder / names[rare]} has only 1 image: add some to train and to test on"
            )
        images = Images(_decode(files, _common_size(files[0], image_size), image_size), labels)
        order = stratified_order(labels, torch.Generator().manual_seed(seed))
        cut = int(TRAIN_PORTION * len(order))
        # Both parts stay sorted by class, as they would be in folders of their own.
        train, test = order[:cut].sort().values, order[cut:].sort().values
        return Source(images[train], images[test], names)

    test_folder = next((folder / name for name in ("test", "val") if (folder / name).is_dir()), None)
    if test_folder is None:
        raise UserError(f"{folder} has train/ but neither test/ nor val/: add one with the same class folders")
    names, files, labels = list_images(folder / "train")
    test_names, test_files, test_labels = list_images(test_folder)
    if names != test_names:
        name = sorted(set(names) ^ set(test_names))[0]
        lacking = test_folder if name in names else folder / "train"
        raise UserError(f"{lacking} lacks the class '{name}': train and test must have the same class folders")
    size = _common_size(files[0], image_size)
    train, test = (
        Images(_decode(paths, size, image_size), of) for paths, of in ((files, labels), (test_files, test_labels))
    )
    return Source(train, test, names)


def _subfolders(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def list_images(folder: Path) -> tuple[tuple[str, ...], list[str], Tensor]:
    """Class names, image paths sorted by class and name, and their labels (int64)."""
    names = tuple(_subfolders(folder))
    if len(names) < 2:
        found = f"only the class folder '{names[0]}'" if names else "no class folders"
        raise UserError(f"{folder} holds {found}: expected a folder of images for each of at least two classes")
    files: list[str] = []
    counts: list[int] = []
    for name in names:
        found = _image_files(folder / name)
        if not found:
            raise UserError(
                f"the class folder {folder / name} holds no images ({' '.join(SUFFIXES)}): fill or remove it"
            )
        files += sorted(found)
        counts.append(len(found))
    return names, files, torch.repeat_interleave(torch.arange(len(names)), torch.tensor(counts))


def _image_files(folder: Path) -> list[str]:
    """The images at every depth of a class folder; links are followed, but no folder is entered twice."""
    found, entered = [], set()
    for path, subfolders, members in os.walk(folder, followlinks=True):
        entered.add(os.path.realpath(path))
        subfolders[:] = [name for name in subfolders if os.path.realpath(os.path.join(path, name)) not in entered]
        found += [
            os.path.join(path, file) for file in members if file.lower().endswith(SUFFIXES) and not file.startswith(".")
        ]
    return found


def _common_size(first: str, image_size: int | None) -> tuple[int, int]:
    """Width and height that all images must have in the end."""
    if image_size is not None:
        return image_size, image_size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        width, height = _read(first, None, None).shape[1::-1]
    if min(width, height) < SMALLEST_SIDE:
        raise UserError(f"{first} is only {width}x{height} pixels: expected at least {SMALLEST_SIDE} a side")
    return width, height


def _decode(files: Sequence[str], size: tuple[int, int], image_size: int | None) -> Tensor:
    """All files as uint8 [N, 3, height, width]; decoded in threads, since decoders let go of Python's lock."""
    width, height = size
    _check_memory(len(files) * 3 * width * height)
    pixels = np.empty((len(files), height, width, 3), dtype=np.uint8)

    def decode(start: int) -> None:
        for index in range(start, min(start + FILES_PER_TASK, len(files))):
            pixels[index] = _read(files[index], size, image_size)

    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        warnings.simplefilter("ignore")  # PIL's notes on palettes and sizes; what matters raises below
        tasks = [pool.submit(decode, start) for start in range(0, len(files), FILES_PER_TASK)]
        try:
            for task in tasks:
                task.result()
        finally:
            pool.shutdown(cancel_futures=True)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def _check_memory(needed: int) -> None:
    """Refuse what cannot fit before the machine comes to a halt over it."""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        # Twice, since the decoded images are turned from height × width × channel into channel × height × width.
        if 2 * needed > memory:
            raise UserError(
                f"the images would take 2 × {needed / 2**30:.1f} GiB as pixels and this machine has "
                f"{memory / 2**30:.1f} GiB: give a smaller --image_size"
            )


def _read(path: str, size: tuple[int, int] | None, image_size: int | None) -> np.ndarray:
    """One image as uint8 [height, width, 3], of the given size (width, height) where that is not None."""
    from PIL import Image, ImageOps

    if not os.path.isfile(path):  # Opening a pipe would wait for ever.
        raise UserError(f"{path} is no file: mend or remove it")
    try:
        with Image.open(path) as image:
            if image.width * image.height > MOST_PIXELS:
                raise UserError(f"{path} is huge ({image.width}x{image.height} pixels): make it smaller or remove it")
            if image_size is not None:
                # A JPEG can be decoded at a fraction of its size, which spares most of the work.
                image.draft("RGB", (2 * image_size, 2 * image_size))
                colour = ImageOps.fit(in_colour(image), (image_size, image_size), Image.Resampling.BICUBIC)
                return np.asarray(colour)
            if size is not None and image.size != size:
                raise UserError(
                    f"{path} is {image.width}x{image.height} pixels, the first image {size[0]}x{size[1]}: make all "
                    "images one size, or give --image_size to have them resized"
                )
            return np.asarray(in_colour(image))
    except UserError:
        raise
    except Exception as error:  # decoders fail in many ways
        reason = "it is empty" if os.path.getsize(path) == 0 else " ".join(str(error).split())
        raise UserError(f"{path} cannot be read as an image ({reason}): mend or remove it") from error


def in_colour(image: Image) -> Image:
    """The image in RGB with 8 bits a channel."""
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I"):  # 16 bits a pixel, which convert() would clip to white
        from PIL import Image as images

        image = images.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    return image.convert("RGB")
