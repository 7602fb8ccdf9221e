"""Reading the built-in data sets from the files in which they are published, as uint8 tensors on the CPU."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from darts_pt.data.augmentation import Augmentation
from darts_pt.data.data_set import DataSet, Images, Source, channel_statistics
from darts_pt.data.halves import stratified_order
from darts_pt.data.image_folder import read_image_folder
from darts_pt.data.safe_pickle import load_pickle
from darts_pt.run.errors import UserError

CIFAR10 = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"
CIFAR100 = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85"
SVHN_TRAIN = "http://ufldl.stanford.edu/housenumbers/train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373"
SVHN_TEST = "http://ufldl.stanford.edu/housenumbers/test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3"
IMAGENET16_URL = "https://image-net.org/download-images.php"
IMAGENET16_FILES = (*(f"train_data_batch_{part}" for part in range(1, 11)), "val_data")
DIGITS_TRAIN = 1197
"""Of the 1,797 digits, so many are for training; the other 600 are the test set."""
DOWNLOAD_TIMEOUT = 30.0
"""Seconds without an answer after which a server counts as unreachable."""

DATA_ROOT = Path(__file__).resolve().parents[2] / "data"
"""Where the data sets are unless told otherwise."""

logger = logging.getLogger(__name__)


def read_cifar10(root: Path) -> Source:
    """CIFAR-10 from `root`/cifar-10-batches-py, downloaded into it if need be."""
    names = [*(f"data_batch_{part}" for part in range(1, 6)), "test_batch"]
    paths = _downloaded("cifar10", root, "cifar-10-batches-py", names, *CIFAR10)
    batches = [_pickled_images(path, side=32, label_key="labels", classes=10) for path in paths]
    return _source(batches, _class_names(paths[0].with_name("batches.meta"), "label_names", 10))


def read_cifar100(root: Path) -> Source:
    """CIFAR-100 (its 100 fine classes) from `root`/cifar-100-python, downloaded into it if need be."""
    paths = _downloaded("cifar100", root, "cifar-100-python", ["train", "test"], *CIFAR100)
    batches = [_pickled_images(path, side=32, label_key="fine_labels", classes=100) for path in paths]
    return _source(batches, _class_names(paths[0].with_name("meta"), "fine_label_names", 100))


def read_svhn(root: Path) -> Source:
    """SVHN (cropped digits, without the extra images) from `root`/{train,test}_32x32.mat, downloaded if need be."""
    parts = []
    for url, md5 in (SVHN_TRAIN, SVHN_TEST):
        path = root / url.rsplit("/", 1)[1]
        if not path.is_file():
            _download("svhn", root, url, md5)
        parts.append(_matlab_images(path, url))
    return _source(parts, tuple(str(digit) for digit in range(10)))


def read_imagenet16_120(root: Path) -> Source:
    """The first 120 classes of ImageNet at 16×16 pixels, from `root`/ImageNet16: ten training files and `val_data`."""
    folder = next((root / name for name in ("ImageNet16", "imagenet16") if (root / name).is_dir()), root / "ImageNet16")
    missing = [name for name in IMAGENET16_FILES if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"imagenet16-120: {folder} lacks {', '.join(missing)}; sign in at {IMAGENET16_URL}, download the 16x16 "
            "training and validation images of 'Downsampled image data' and unpack both there (no published checksum)"
        )
    batches = [
        _pickled_images(folder / name, side=16, label_key="labels", classes=1000, first_label=1)
        for name in IMAGENET16_FILES
    ]
    kept = [(pixels[labels < 120], labels[labels < 120]) for pixels, labels in batches]
    return _source(kept, tuple(str(label) for label in range(1, 121)))


def read_digits() -> Source:
    """The 1,797 handwritten digits (8×8, grey) inside scikit-learn's wheel: 1,197 to train on, 600 to test.

    The split is stratified and the same for every run. The training images come in an order of which every beginning
    holds all classes alike, so that the halves by index are balanced.
    """
    # scikit-learn's import takes seconds, and all that is wanted is one small file of it.
    package = importlib.util.find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise UserError("digits is read from scikit-learn, which is not installed: run 'pip install scikit-learn'")
    path = Path(package.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    try:
        with gzip.open(path, "rt") as file:
            table = np.loadtxt(file, delimiter=",")
        grey = torch.from_numpy(np.rint(table[:, :64] * 255 / 16).astype(np.uint8)).view(-1, 1, 8, 8)
    except (OSError, EOFError, ValueError, RuntimeError) as error:
        raise UserError(f"{path} is not readable ({error}): install scikit-learn again") from error
    labels = torch.from_numpy(table[:, 64].astype(np.int64))
    order = stratified_order(labels, torch.Generator().manual_seed(0))
    pixels, labels = grey.expand(-1, 3, -1, -1)[order], labels[order]
    parts = [(pixels[:DIGITS_TRAIN], labels[:DIGITS_TRAIN]), (pixels[DIGITS_TRAIN:], labels[DIGITS_TRAIN:])]
    return _source(parts, tuple(str(digit) for digit in range(10)))


def _source(parts: Sequence[tuple[Tensor, Tensor]], class_names: tuple[str, ...]) -> Source:
    """The last part is the test set, all before it are the training set."""
    train = Images(*(torch.cat(tensors) for tensors in zip(*parts[:-1], strict=True)))
    return Source(train, Images(*parts[-1]), class_names)


def _downloaded(name: str, root: Path, folder: str, files: Sequence[str], url: str, md5: str) -> list[Path]:
    """The paths of a data set's files in `root`/`folder`, after a download if any is missing."""
    paths = [root / folder / file for file in files]
    if not all(path.is_file() for path in paths):
        _download(name, root, url, md5)
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise UserError(f"{name}: {root / folder} lacks {', '.join(missing)} after unpacking {url}")
    return paths


def _download(name: str, root: Path, url: str, md5: str) -> None:
    """Fetch a file into `root`, check it, and unpack it if it is an archive."""
    target = root / url.rsplit("/", 1)[1]
    was_there = target.is_file()
    logger.info("%s: %s %s", name, "checking" if was_there else "downloading", target if was_there else url)
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        from torchvision.datasets.utils import download_and_extract_archive, download_url

        fetch = download_and_extract_archive if target.suffix == ".gz" else download_url
        fetch(url, str(root), filename=target.name, md5=md5)
    except Exception as error:  # network, disk, checksum and archive errors of several libraries: all end the same way
        state = f"it is not in {root}"
        if target.is_file():
            whole = hashlib.md5(target.read_bytes(), usedforsecurity=False).hexdigest() == md5
            state = f"{target} is whole but could not be unpacked" if whole else f"{target} is truncated or corrupt"
        raise UserError(
            f"{name}: {state} and getting it failed ({_reason(error)}); fetch {url} on a machine with internet "
            f"access, check that its md5 is {md5}, put it at {target} and run the command again"
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)


def _pickled_images(path: Path, side: int, label_key: str, classes: int, first_label: int = 0) -> tuple[Tensor, Tensor]:
    """Pixels uint8 [N, 3, side, side] and labels int64 [N] (from 0) of one pickled batch file of CIFAR's kind."""
    content = load_pickle(path)
    try:
        pixels = torch.from_numpy(np.ascontiguousarray(content["data"]))
        labels = torch.as_tensor(content[label_key], dtype=torch.int64) - first_label
        fits = pixels.dtype == torch.uint8 and labels.ndim == 1 and pixels.shape == (len(labels), 3 * side * side)
        fits = fits and (len(labels) == 0 or (int(labels.min()) >= 0 and int(labels.max()) < classes))
    except Exception:  # a pickle may hold anything at all
        fits, pixels, labels = False, torch.empty(0), torch.empty(0)
    if not fits:
        raise UserError(
            f"{path} does not hold {side}x{side} images with '{label_key}' from {first_label} to "
            f"{classes - 1 + first_label}: delete it and get the data set again"
        )
    return pixels.view(-1, 3, side, side), labels


def _class_names(path: Path, key: str, classes: int) -> tuple[str, ...]:
    """The class names in a data set's `meta` file, or numbers where that file is missing."""
    if not path.is_file():
        return tuple(str(label) for label in range(classes))
    content = load_pickle(path)
    names = content.get(key) if isinstance(content, dict) else None
    if not isinstance(names, list) or len(names) != classes:
        raise UserError(f"{path} does not hold {classes} '{key}': delete it and get the data set again")
    return tuple(str(name) for name in names)


def _matlab_images(path: Path, url: str) -> tuple[Tensor, Tensor]:
    """Pixels uint8 [N, 3, 32, 32] and labels int64 [N] of one of SVHN's files, where the digit 0 has the label 10."""
    import scipy.io

    try:
        content = scipy.io.loadmat(path, variable_names=["X", "y"])
        pixels, labels = content["X"], content["y"].reshape(-1).astype(np.int64)
        if pixels.dtype != np.uint8 or pixels.shape != (32, 32, 3, len(labels)):
            raise ValueError(f"its images are {pixels.dtype} {pixels.shape}")
        if not ((labels >= 0) & (labels <= 10)).all():
            raise ValueError("its labels are not from 1 to 10")
    except Exception as error:  # scipy's reader meets a truncated file with errors of many kinds
        raise UserError(
            f"{path} is not a readable copy of {url} ({_reason(error)}): delete it and run the command again"
        ) from error
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(3, 2, 0, 1))), torch.from_numpy(labels % 10)


def _reason(error: Exception) -> str:
    """An error of a library in one short line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


@dataclass(frozen=True)
class _BuiltIn:
    """How a published data set is read, normalised (None: as measured) and augmented."""

    read: Callable[[Path], Source]
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    augmentation: Augmentation


_BUILT_IN = {
    "cifar10": _BuiltIn(
        read_cifar10,
        (0.49139968, 0.48215827, 0.44653124),
        (0.24703233, 0.24348505, 0.26158768),
        Augmentation(crop_padding=4, flip=True),
    ),
    "cifar100": _BuiltIn(
        read_cifar100,
        (0.5071, 0.4865, 0.4409),
        (0.2673, 0.2564, 0.2762),
        Augmentation(crop_padding=4, flip=True),
    ),
    "svhn": _BuiltIn(
        read_svhn,
        (0.4377, 0.4438, 0.4728),
        (0.1980, 0.2010, 0.1970),
        Augmentation(crop_padding=4, flip=True),  # mirrored digits are odd, but that is how the original trains
    ),
    "imagenet16-120": _BuiltIn(
        read_imagenet16_120,
        (122.68 / 255, 116.66 / 255, 104.01 / 255),
        (63.22 / 255, 61.26 / 255, 65.09 / 255),
        Augmentation(crop_padding=2, flip=True),
    ),
    # At 8 pixels a shift by one is as much as by four at 32; a mirrored digit is no digit, or another one.
    "digits": _BuiltIn(lambda root: read_digits(), None, None, Augmentation(crop_padding=1, flip=False)),
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
        source = read_image_folder(Path(folder), image_size, seed)
        # An eighth of the shorter side, as 4 pixels are of CIFAR's.
        recipe = _BuiltIn(lambda root: source, None, None, Augmentation(min(source.train.pixels.shape[2:]) // 8, True))
    else:
        if image_size is not None:
            raise UserError(f"--image_size goes with --dataset folder only: the images of {name} have their own size")
        recipe = _BUILT_IN[name]
        source = recipe.read(Path(root))
    mean, std = recipe.mean, recipe.std
    if mean is None or std is None:
        mean, std = channel_statistics(source.train.pixels)
    return DataSet(
        name=name,
        classes=len(source.class_names),
        train=source.train.to(device),
        test=source.test.to(device),
        mean=mean,
        std=std,
        augmentation=recipe.augmentation,
        class_names=source.class_names,
        sorted_by_class=name == "folder",
    )
