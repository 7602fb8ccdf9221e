"""Read the data sets: CIFAR-10 and -100, SVHN, ImageNet16-120, digits, and a user's own images."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import logging
import pickle
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from darts_pt.data.augmentation import Augmentation
from darts_pt.data.data_set import DataSet, Images, Source, channel_statistics
from darts_pt.data.halves import stratified_order
from darts_pt.data.image_folder import check_size, fit, read_image_folder
from darts_pt.run.errors import ArgumentError, UserError

DATA_ROOT = Path(__file__).resolve().parents[2] / "data"
"""Default folder of the data sets."""
DOWNLOAD_TIMEOUT = 30.0
"""Seconds to wait for an answer of a server."""
DIGITS_TRAIN = 1197
"""Training images among the 1,797 digits; the other 600 are the test set."""
IMAGENET16_URL = "https://image-net.org/download-images.php"
IMAGENET16_MD5 = {
    "train_data_batch_1": "27846dcaa50de8e21a7d1a35f30f0e91",
    "train_data_batch_2": "c7254a054e0e795c69120a5727050e3f",
    "train_data_batch_3": "4333d3df2e5ffb114b05d2ffc19b1e87",
    "train_data_batch_4": "1620cdf193304f4a92677b695d70d10f",
    "train_data_batch_5": "348b3c2fdbb3940c4e9e834affd3b18d",
    "train_data_batch_6": "6e765307c242a1b3d7d5ef9139b48945",
    "train_data_batch_7": "564926d8cbf8fc4818ba23d2faac7564",
    "train_data_batch_8": "f4755871f718ccb653440b9dd0ebac66",
    "train_data_batch_9": "bb6dd660c38c58552125b1a92f86b5d4",
    "train_data_batch_10": "8f03f34ac4b42271a294f91bf480f29b",
    "val_data": "3410e3017fdaefba8d5073aaa65e4bd6",
}
"""The files with which NAS-Bench-201 was made; its code checks the same MD5 sums."""

logger = logging.getLogger(__name__)


def load(
    name: str,
    root: Path | str = DATA_ROOT,
    device: torch.device | str = "cpu",
    image_size: int | None = None,
    data: Path | str | None = None,
) -> DataSet:
    """Read a data set and put it on the device.

    Args:
        name: one of :data:`DATA_SETS`.
        root: folder of the built-in data sets, also for downloads.
        image_size: the side to which all images are resized, as those of a folder are; None keeps their size.
        data: for 'folder' only: the folder of images (see :mod:`darts_pt.data.image_folder`).

    Raises:
        ArgumentError: the name is unknown, or arguments contradict each other.
        UserError: the data are missing or damaged.
    """
    if name not in DATA_SETS:
        raise ArgumentError("dataset", f"expected one of {', '.join(DATA_SETS)}, got '{name}'")
    if name == "folder":
        if data is None:
            raise ArgumentError("data", "needed for 'folder': a folder that holds train/CLASS/ and test/CLASS/")
        source = read_image_folder(Path(data), image_size)
        known = _BuiltIn(lambda root: source)
    else:
        check_size(image_size)
        known = _BUILT_IN[name]
        source = known.read(Path(root))
        if image_size is not None:
            source = source._replace(train=_resized(source.train, image_size), test=_resized(source.test, image_size))
    # The crop's padding is 4 pixels on CIFAR's 32, and as much in proportion on other images.
    augmentation = Augmentation(crop_padding=min(source.train.pixels.shape[2:]) // 8, flip=known.flip)
    mean, std = known.mean, known.std
    if mean is None or std is None:
        mean, std = channel_statistics(source.train.pixels)
    return DataSet(
        name=name,
        classes=len(source.class_names),
        train=source.train.to(device),
        test=source.test.to(device),
        mean=mean,
        std=std,
        augmentation=augmentation,
        class_names=source.class_names,
        sorted_by_class=name == "folder",
    )


def _resized(images: Images, side: int) -> Images:
    from PIL import Image

    pixels = np.stack([fit(Image.fromarray(pixels), side) for pixels in images.pixels.permute(0, 2, 3, 1).numpy()])
    return Images(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), images.labels)


def read_cifar(name: str, root: Path) -> Source:
    """CIFAR-10, or CIFAR-100 with its 100 fine classes, downloaded into `root` if necessary."""
    from torchvision import datasets

    kind = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    train, test = (
        _from_torchvision(name, kind, root, kind.url, kind.tgz_md5, train=is_train) for is_train in (True, False)
    )
    sets = [
        Images(torch.from_numpy(part.data.transpose(0, 3, 1, 2)), torch.tensor(part.targets)) for part in (train, test)
    ]
    return Source(sets[0], sets[1], tuple(train.classes))


def read_svhn(root: Path) -> Source:
    """SVHN (cropped digits, without the extra images), downloaded into `root` if necessary."""
    from torchvision.datasets import SVHN

    sets = []
    for split in ("train", "test"):
        url, _, md5 = SVHN.split_list[split]
        part = _from_torchvision("svhn", SVHN, root, url, md5, split=split)
        sets.append(Images(torch.from_numpy(part.data.copy(order="C")), torch.from_numpy(part.labels)))
    return Source(sets[0], sets[1], tuple(map(str, range(10))))


def _from_torchvision(name: str, kind: Callable[..., Any], root: Path, url: str, md5: str, **split: Any) -> Any:
    """A data set of torchvision, which checks the MD5 of its files; missing or damaged ones are downloaded."""
    from torchvision.datasets.utils import download_and_extract_archive, download_url

    try:
        return kind(root, **split)
    except (OSError, RuntimeError):  # A file is missing or damaged.
        logger.info("%s: no complete copy in %s, downloading %s", name, root, url)
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        fetch = download_and_extract_archive if url.endswith(".gz") else download_url
        fetch(url, str(root), md5=md5)
        return kind(root, **split)
    except Exception as error:  # Network, disk, checksum and archive errors of several libraries.
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"{name}: {root} has no complete copy, and the download failed ({reason}); fetch {url} on a machine with "
            f"internet access, check that its MD5 is {md5}, put it at {root / Path(url).name} and run the command again, "
            "or use digits, which needs no download"
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)


def read_imagenet16_120(root: Path) -> Source:
    """The first 120 classes of ImageNet at 16×16 pixels, from `root`/ImageNet16: ten training files and `val_data`."""
    folder = next((root / name for name in ("ImageNet16", "imagenet16") if (root / name).is_dir()), root / "ImageNet16")
    advice = (
        f"sign in at {IMAGENET16_URL}, download the 16x16 training and validation images of 'Downsampled image data' and "
        "unpack both there"
    )
    missing = [name for name in IMAGENET16_MD5 if not (folder / name).is_file()]
    if missing:
        raise UserError(f"imagenet16-120: {folder} lacks {', '.join(missing)}; {advice}")
    parts = []
    for name, md5 in IMAGENET16_MD5.items():
        content = (folder / name).read_bytes()
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
            raise UserError(f"imagenet16-120: {folder / name} is damaged, its MD5 is not {md5}; {advice}")
        # Unpickling can run any code; the checksum shows that this is the published file.
        batch = pickle.loads(content, encoding="latin1")
        labels = torch.tensor(batch["labels"]) - 1
        kept = labels < 120
        parts.append((torch.from_numpy(batch["data"])[kept].view(-1, 3, 16, 16), labels[kept]))
    train = Images(*(torch.cat(tensors) for tensors in zip(*parts[:-1], strict=True)))
    return Source(train, Images(*parts[-1]), tuple(str(label) for label in range(1, 121)))


def read_digits() -> Source:
    """The 1,797 handwritten digits (8×8, grey) inside scikit-learn's wheel: 1,197 to train on, 600 to test.

    The split is stratified and the same in every run, and so are halves by index.
    """
    # scikit-learn takes seconds to import; only one small file of it is needed.
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
    images = Images(grey.expand(-1, 3, -1, -1), labels)[order]
    return Source(images[:DIGITS_TRAIN], images[DIGITS_TRAIN:], tuple(map(str, range(10))))


@dataclass(frozen=True)
class _BuiltIn:
    """How a published data set is read, normalised (None: by its own statistics) and flipped."""

    read: Callable[[Path], Source]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    flip: bool = True


_BUILT_IN = {
    "cifar10": _BuiltIn(
        lambda root: read_cifar("cifar10", root),
        (0.49139968, 0.48215827, 0.44653124),
        (0.24703233, 0.24348505, 0.26158768),
    ),
    "cifar100": _BuiltIn(lambda root: read_cifar("cifar100", root), (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    # Mirrored digits are odd, but the original trains so.
    "svhn": _BuiltIn(read_svhn, (0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
    "imagenet16-120": _BuiltIn(
        read_imagenet16_120, (122.68 / 255, 116.66 / 255, 104.01 / 255), (63.22 / 255, 61.26 / 255, 65.09 / 255)
    ),
    # A mirrored digit is not a digit, or a different one.
    "digits": _BuiltIn(lambda root: read_digits(), flip=False),
}
DATA_SETS = (*_BUILT_IN, "folder")
"""The names that :func:`load` knows."""
