"""The data sets by name, from small files in the real formats; files that are missing, damaged or hostile."""

from __future__ import annotations

import hashlib
import pickle
import re
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.io
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.datasets import CIFAR10, CIFAR100, SVHN

from darts_pt.data import sources
from darts_pt.data.data_set import DataSet, Images
from darts_pt.data.sources import IMAGENET16_MD5, load
from darts_pt.run.errors import UserError
from tests.helpers.hostile import PICKLES


def random_pixels(count: int, side: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, side, side), dtype=np.uint8)


CIFAR_PIXELS, CIFAR10_LABELS = random_pixels(24, 32, 0), np.arange(24) % 10
CIFAR100_LABELS = np.arange(24) * 7 % 100
SVHN_PIXELS, SVHN_LABELS = random_pixels(24, 32, 2), np.arange(24) % 10 + 1
IMAGENET16_PIXELS = random_pixels(66, 16, 3)
IMAGENET16_LABELS = np.random.default_rng(4).integers(1, 241, 66)


def write_pickle(path: Path, content: Any) -> str:
    """Returns the md5 of the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=2))
    return md5_of(path)


def md5_of(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def write_cifar(root: Path, kind: Any, key: str, labels: np.ndarray, patch: pytest.MonkeyPatch) -> None:
    """The first 20 images over the training files, the other 4 in the test file."""
    folder = root / kind.base_folder
    for listed, places in (("train_list", np.arange(20)), ("test_list", np.arange(20, 24))):
        names = [name for name, _ in getattr(kind, listed)]
        sums = []
        for name, own in zip(names, np.split(places, len(names)), strict=True):
            content = {key: labels[own].tolist(), "data": CIFAR_PIXELS[own].reshape(len(own), 3072)}
            sums.append([name, write_pickle(folder / name, content)])
        patch.setattr(kind, listed, sums)
    words = {kind.meta["key"]: [f"class {number}" for number in range(10 if kind is CIFAR10 else 100)]}
    patch.setattr(kind, "meta", {**kind.meta, "md5": write_pickle(folder / kind.meta["filename"], words)})


def write_svhn(root: Path, patch: pytest.MonkeyPatch) -> None:
    """MATLAB files with images [32, 32, 3, N] and labels 1 … 10, of which 10 is the digit 0."""
    splits = {}
    for split, own in (("train", slice(0, 16)), ("test", slice(16, 24))):
        content = {"X": SVHN_PIXELS[own].transpose(2, 3, 1, 0), "y": SVHN_LABELS[own].reshape(-1, 1).astype(np.uint8)}
        url, name, _ = SVHN.split_list[split]
        scipy.io.savemat(root / name, content, do_compression=True)
        splits[split] = [url, name, md5_of(root / name)]
    patch.setattr(SVHN, "split_list", splits)


def write_imagenet16(root: Path, patch: pytest.MonkeyPatch) -> None:
    """Ten training files and the validation file, labels from 1; half of the images are of classes beyond 120."""
    for name, own in zip(IMAGENET16_MD5, np.split(np.arange(66), 11), strict=True):
        content = {
            "data": IMAGENET16_PIXELS[own].reshape(6, 768),
            "labels": IMAGENET16_LABELS[own].tolist(),
            "mean": np.zeros(768),
        }
        patch.setitem(IMAGENET16_MD5, name, write_pickle(root / "ImageNet16" / name, content))


class Published(NamedTuple):
    """A folder with small data sets that pass for the published ones."""

    root: Path
    asked: list[str]
    """The addresses from which a download was tried; nothing answers."""


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    root, asked = tmp_path_factory.mktemp("data"), []

    def refuse(request: Any, *_: Any, **__: Any) -> None:
        asked.append(request if isinstance(request, str) else request.full_url)
        raise urllib.error.URLError("no route to host")

    with pytest.MonkeyPatch.context() as patch:
        write_cifar(root, CIFAR10, "labels", CIFAR10_LABELS, patch)
        write_cifar(root, CIFAR100, "fine_labels", CIFAR100_LABELS, patch)
        write_svhn(root, patch)
        write_imagenet16(root, patch)
        patch.setattr(urllib.request, "urlopen", refuse)
        yield Published(root, asked)


def same(images: Images, pixels: Any, labels: Any) -> bool:
    return torch.equal(images.pixels, torch.as_tensor(pixels)) and torch.equal(images.labels, torch.as_tensor(labels))


# The formats -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "labels"), [("cifar10", CIFAR10_LABELS), ("cifar100", CIFAR100_LABELS)])
def test_cifar(published: Published, name: str, labels: np.ndarray) -> None:
    data = load(name, published.root)
    assert same(data.train, CIFAR_PIXELS[:20], labels[:20]), "the batches one after the other"
    assert same(data.test, CIFAR_PIXELS[20:], labels[20:])
    assert (data.classes, len(data.class_names)) == ((10, 10) if name == "cifar10" else (100, 100))
    assert data.class_names[3] == "class 3"
    assert data.train.pixels.is_contiguous()
    assert not data.sorted_by_class


def test_svhn_calls_the_digit_0_by_0(published: Published) -> None:
    data = load("svhn", published.root)
    assert same(data.train, SVHN_PIXELS[:16], SVHN_LABELS[:16] % 10)
    assert same(data.test, SVHN_PIXELS[16:], SVHN_LABELS[16:] % 10)
    assert data.classes == 10
    assert data.train.pixels.is_contiguous()


@pytest.mark.parametrize("folder", ["ImageNet16", "imagenet16"])
def test_imagenet16_keeps_the_first_120_classes(published: Published, tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).symlink_to(published.root / "ImageNet16")
    data = load("imagenet16-120", tmp_path)
    kept = IMAGENET16_LABELS <= 120
    assert 0 < kept[:60].sum() < 60
    for images, own in ((data.train, np.arange(66) < 60), (data.test, np.arange(66) >= 60)):
        assert same(images, IMAGENET16_PIXELS[kept & own], IMAGENET16_LABELS[kept & own] - 1)
    assert (data.classes, data.train.pixels.shape[2:]) == (120, (16, 16))


# What is missing or damaged --------------------------------------------------------------------------------------

ARCHIVES = {
    "cifar10": (CIFAR10.url, CIFAR10.tgz_md5),
    "cifar100": (CIFAR100.url, CIFAR100.tgz_md5),
    "svhn": (SVHN.split_list["train"][0], None),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_failed_download_says_what_to_fetch_and_where_to_put_it(
    published: Published, tmp_path: Path, name: str
) -> None:
    published.asked.clear()
    with pytest.raises(UserError) as raised:
        load(name, tmp_path)
    url, md5 = ARCHIVES[name]
    target = tmp_path / url.rsplit("/", 1)[1]
    expected = (f"{name}: ", url, md5 or SVHN.split_list["train"][2], f"put it at {target}", "no route to host")
    assert all(part in str(raised.value) for part in expected)
    assert "\n" not in str(raised.value)
    assert published.asked
    assert all(address.startswith("http") for address in published.asked)
    assert not list(tmp_path.iterdir())


def test_only_what_is_missing_is_downloaded(published: Published, tmp_path: Path) -> None:
    (tmp_path / "train_32x32.mat").symlink_to(published.root / "train_32x32.mat")
    published.asked.clear()
    url, _, md5 = SVHN.split_list["test"]
    with pytest.raises(UserError, match=md5):
        load("svhn", tmp_path)
    assert set(published.asked) == {url}


def test_imagenet16_is_not_downloaded_but_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"lacks train_data_batch_1, .*, val_data; sign in at https://image-net.org"):
        load("imagenet16-120", tmp_path)


def test_an_archive_put_there_by_hand_replaces_damaged_files(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cifar-100-python"
    archive = shutil.make_archive(str(tmp_path / "cifar-100-python"), "gztar", published.root, folder.name)
    monkeypatch.setattr(CIFAR100, "tgz_md5", md5_of(Path(archive)))
    for damaged in ("train", "meta"):
        load("cifar100", tmp_path)
        (folder / damaged).write_bytes(b"")
    assert len(load("cifar100", tmp_path).train) == 20


FILES = {
    "cifar-10-batches-py/data_batch_3": ("cifar10", CIFAR10.url),
    "cifar-10-batches-py/test_batch": ("cifar10", CIFAR10.url),
    "cifar-10-batches-py/batches.meta": ("cifar10", CIFAR10.url),
    "cifar-100-python/train": ("cifar100", CIFAR100.url),
    "test_32x32.mat": ("svhn", SVHN.split_list["test"][0]),
    "ImageNet16/train_data_batch_7": ("imagenet16-120", "train_data_batch_7 is damaged"),
    "ImageNet16/val_data": ("imagenet16-120", "val_data is damaged"),
}


def refused_with(published: Published, file: str, content: bytes) -> None:
    """The file with that content is refused in one line that says what to do."""
    name, expected = FILES[file]
    path = published.root / file
    whole = path.read_bytes()
    path.write_bytes(content)
    try:
        with pytest.raises(UserError, match=re.escape(expected)) as raised:
            load(name, published.root)
    finally:
        path.write_bytes(whole)
    assert "\n" not in str(raised.value)


@pytest.mark.hostile
@given(st.sampled_from(sorted(FILES)), st.sampled_from(["cut", "flip", *PICKLES]), st.floats(0, 1, exclude_max=True))
def test_a_damaged_or_harmful_file_is_refused(published: Published, file: str, damage: str, share: float) -> None:
    whole = (published.root / file).read_bytes()
    place = int(share * len(whole))
    rest = bytes([whole[place] ^ 1]) + whole[place + 1 :] if damage == "flip" else b""
    refused_with(published, file, PICKLES.get(damage, whole[:place] + rest))
    assert not Path("harmed").exists()


# Loading ---------------------------------------------------------------------------------------------------------


def test_published_normalisations_are_those_of_the_original() -> None:
    known = sources._BUILT_IN
    assert known["cifar10"].mean == (0.49139968, 0.48215827, 0.44653124)
    assert known["cifar10"].std == (0.24703233, 0.24348505, 0.26158768)
    assert known["cifar100"].mean == (0.5071, 0.4865, 0.4409)
    assert known["cifar100"].std == (0.2673, 0.2564, 0.2762)
    assert known["svhn"].mean == (0.4377, 0.4438, 0.4728)
    assert known["svhn"].std == (0.1980, 0.2010, 0.1970)
    assert known["imagenet16-120"].mean == pytest.approx((0.48109804, 0.45749020, 0.40788235))
    assert known["imagenet16-120"].std == pytest.approx((0.24792157, 0.24023529, 0.25525490))


def test_crops_move_by_an_eighth_of_the_side_and_digits_are_not_mirrored(published: Published) -> None:
    names = ("cifar10", "cifar100", "svhn", "imagenet16-120", "digits")
    found = {name: load(name, published.root).augmentation for name in names}
    assert {name: known.crop_padding for name, known in found.items()} == dict(zip(names, (4, 4, 4, 2, 1), strict=True))
    assert [name for name, known in found.items() if not known.flip] == ["digits"]


def test_digits_are_scikit_learns(digits: DataSet) -> None:
    assert (len(digits.train), len(digits.test), digits.classes) == (1197, 600, 10)
    assert digits.train.pixels.shape == (1197, 3, 8, 8)
    pixels = torch.cat([digits.train.pixels, digits.test.pixels])
    labels = torch.cat([digits.train.labels, digits.test.labels])
    assert torch.equal(pixels[:, 0], pixels[:, 1])
    assert torch.equal(pixels[:, 0], pixels[:, 2])
    # What load_digits() gives: 16 shades of grey with this sum, and these counts of the ten digits.
    assert (pixels[:, 0].double() * 16 / 255).round().sum().item() == 561718
    assert torch.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert len({image.numpy().tobytes() for image in pixels}) == 1797


def test_digits_are_stratified_in_every_part(digits: DataSet) -> None:
    share = torch.bincount(torch.cat([digits.train.labels, digits.test.labels])) / 1797
    for labels in (digits.train.labels, digits.test.labels, digits.train.labels[:598], digits.train.labels[598:]):
        assert (torch.bincount(labels) - share * len(labels)).abs().max() <= 1.5


def test_digits_are_always_the_same(digits: DataSet) -> None:
    again = load("digits")
    assert torch.equal(again.train.pixels, digits.train.pixels)
    assert torch.equal(again.test.labels, digits.test.labels)


def test_unknown_data_sets_and_stray_options_are_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(UserError, match=r"dataset: expected one of cifar10, .*folder, got 'mnist'"):
        load("mnist")
    with pytest.raises(UserError, match="image_size: expected at least 4 pixels, got 3"):
        load("digits", image_size=3)
    with pytest.raises(UserError, match="data: needed for 'folder'"):
        load("folder")
