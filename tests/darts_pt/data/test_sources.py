"""The built-in data sets, from small files in the real formats; files that are missing, broken or hostile."""

from __future__ import annotations

import os
import pickle
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch

from darts_pt.data import sources as data
from darts_pt.data.data_set import DataSet, Images
from darts_pt.data.sources import CIFAR10, SVHN_TEST, SVHN_TRAIN
from darts_pt.run.errors import UserError


def random_pixels(count: int, side: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, side, side), dtype=np.uint8)


def pickled(path: Path, content: Any, protocol: int = 2) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=protocol))


def write_cifar10(root: Path, each: int = 4) -> tuple[np.ndarray, list[int]]:
    """The five training batches and the test batch; all their images and labels in that order."""
    pixels, labels = random_pixels(6 * each, 32, 0), [number % 10 for number in range(6 * each)]
    names = [*(f"data_batch_{part}" for part in range(1, 6)), "test_batch"]
    for part, name in enumerate(names):
        own = slice(part * each, (part + 1) * each)
        content = {
            "batch_label": name,
            "labels": labels[own],
            "data": pixels[own].reshape(each, 3072),
            "filenames": [f"{number}.png" for number in range(each)],
        }
        pickled(root / "cifar-10-batches-py" / name, content)
    words = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    pickled(root / "cifar-10-batches-py" / "batches.meta", {"label_names": words, "num_vis": 3072})
    return pixels, labels


def write_cifar100(root: Path) -> tuple[np.ndarray, list[int]]:
    pixels, labels = random_pixels(30, 32, 1), [(7 * number) % 100 for number in range(30)]
    for name, own in (("train", slice(0, 20)), ("test", slice(20, 30))):
        content = {"fine_labels": labels[own], "coarse_labels": [0] * 20, "data": pixels[own].reshape(-1, 3072)}
        pickled(root / "cifar-100-python" / name, content)
    pickled(root / "cifar-100-python" / "meta", {"fine_label_names": [f"fine {number}" for number in range(100)]})
    return pixels, labels


def write_svhn(root: Path) -> tuple[np.ndarray, np.ndarray]:
    """MATLAB files with images [32, 32, 3, N] and labels 1 … 10, of which 10 is the digit 0."""
    pixels, labels = random_pixels(24, 32, 2), np.arange(24) % 10 + 1
    for name, own in (("train", slice(0, 16)), ("test", slice(16, 24))):
        content = {"X": pixels[own].transpose(2, 3, 1, 0), "y": labels[own].reshape(-1, 1).astype(np.uint8)}
        scipy.io.savemat(root / f"{name}_32x32.mat", content, do_compression=True)
    return pixels, labels % 10


def write_imagenet16(root: Path, each: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Ten training files and the validation file, labels from 1; half of the images are of classes beyond 120."""
    pixels = random_pixels(11 * each, 16, 3)
    labels = np.random.default_rng(4).integers(1, 241, 11 * each)
    for part, name in enumerate([*(f"train_data_batch_{part}" for part in range(1, 11)), "val_data"]):
        own = slice(part * each, (part + 1) * each)
        content = {"data": pixels[own].reshape(each, 768), "labels": labels[own].tolist(), "mean": np.zeros(768)}
        pickled(root / "ImageNet16" / name, content)
    return pixels, labels


def same(images: Images, pixels: Any, labels: Any) -> bool:
    return torch.equal(images.pixels, torch.as_tensor(pixels)) and torch.equal(images.labels, torch.as_tensor(labels))


# The formats -----------------------------------------------------------------------------------------------------


def test_cifar10(tmp_path: Path) -> None:
    pixels, labels = write_cifar10(tmp_path)
    dataset = data.load("cifar10", tmp_path)
    assert same(dataset.train, pixels[:20], labels[:20]), "the five batches one after the other"
    assert same(dataset.test, pixels[20:], labels[20:])
    assert dataset.classes == 10
    assert dataset.class_names[3] == "cat"
    assert not dataset.sorted_by_class


def test_cifar10_from_its_pickles_of_python_2(tmp_path: Path) -> None:
    pixels, labels = write_cifar10(tmp_path)
    for path in (tmp_path / "cifar-10-batches-py").iterdir():
        content = pickle.loads(path.read_bytes())
        path.write_bytes(pickle.dumps(content, protocol=0))
    assert same(data.load("cifar10", tmp_path).train, pixels[:20], labels[:20])


def test_cifar100_has_its_fine_classes(tmp_path: Path) -> None:
    pixels, labels = write_cifar100(tmp_path)
    dataset = data.load("cifar100", tmp_path)
    assert same(dataset.train, pixels[:20], labels[:20])
    assert same(dataset.test, pixels[20:], labels[20:])
    assert dataset.classes == 100
    assert dataset.class_names[99] == "fine 99"


def test_svhn_calls_the_digit_0_by_0(tmp_path: Path) -> None:
    pixels, labels = write_svhn(tmp_path)
    dataset = data.load("svhn", tmp_path)
    assert same(dataset.train, pixels[:16], labels[:16])
    assert same(dataset.test, pixels[16:], labels[16:])
    assert dataset.classes == 10


@pytest.mark.parametrize("folder", ["ImageNet16", "imagenet16"])
def test_imagenet16_keeps_the_first_120_classes(tmp_path: Path, folder: str) -> None:
    pixels, labels = write_imagenet16(tmp_path)
    (tmp_path / "ImageNet16").rename(tmp_path / folder)
    dataset = data.load("imagenet16-120", tmp_path)
    kept = labels <= 120
    assert 0 < kept[:60].sum() < 60
    assert same(dataset.train, pixels[:60][kept[:60]], labels[:60][kept[:60]] - 1)
    assert same(dataset.test, pixels[60:][kept[60:]], labels[60:][kept[60:]] - 1)
    assert dataset.classes == 120
    assert dataset.train.pixels.shape[2:] == (16, 16)


# What is missing -------------------------------------------------------------------------------------------------


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were asked for."""
    asked: list[str] = []

    def refuse(request: Any, *_: Any, **__: Any) -> None:
        asked.append(request if isinstance(request, str) else request.full_url)
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    return asked


@pytest.mark.parametrize(
    ("name", "url", "md5", "target"),
    [
        ("cifar10", *CIFAR10, "cifar-10-python.tar.gz"),
        ("svhn", *SVHN_TRAIN, "train_32x32.mat"),
    ],
)
def test_a_failed_download_says_what_to_fetch_and_where_to_put_it(
    tmp_path: Path, no_network: list[str], name: str, url: str, md5: str, target: str
) -> None:
    with pytest.raises(UserError) as raised:
        data.load(name, tmp_path)
    message = str(raised.value)
    assert all(part in message for part in (name, url, md5, str(tmp_path / target), "no route to host"))
    assert "\n" not in message
    assert no_network
    assert all(address.startswith("http") for address in no_network)
    assert not list(tmp_path.iterdir())


def test_only_what_is_missing_is_downloaded(tmp_path: Path, no_network: list[str]) -> None:
    write_svhn(tmp_path)
    (tmp_path / "test_32x32.mat").unlink()
    with pytest.raises(UserError, match=SVHN_TEST[1]):
        data.load("svhn", tmp_path)
    assert set(no_network) == {SVHN_TEST[0]}


def test_a_corrupt_archive_is_named(tmp_path: Path, no_network: list[str]) -> None:
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"half an archive")
    with pytest.raises(UserError, match=r"cifar-10-python.tar.gz is truncated or corrupt"):
        data.load("cifar10", tmp_path)


def test_imagenet16_is_not_downloaded_but_explained(tmp_path: Path) -> None:
    write_imagenet16(tmp_path)
    (tmp_path / "ImageNet16" / "train_data_batch_7").unlink()
    with pytest.raises(UserError, match=r"ImageNet16 lacks train_data_batch_7; sign in at https://image-net.org"):
        data.load("imagenet16-120", tmp_path)


# What is broken --------------------------------------------------------------------------------------------------


class Malicious:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.trace}",)


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("name", "write", "file"),
    [
        ("cifar10", write_cifar10, "cifar-10-batches-py/data_batch_3"),
        ("cifar10", write_cifar10, "cifar-10-batches-py/batches.meta"),
        ("cifar100", write_cifar100, "cifar-100-python/test"),
        ("imagenet16-120", write_imagenet16, "ImageNet16/val_data"),
    ],
)
def test_hostile_pickles_are_not_executed(tmp_path: Path, name: str, write: Any, file: str) -> None:
    write(tmp_path)
    pickled(tmp_path / file, {"data": Malicious(tmp_path / "executed"), "labels": [0]})
    with pytest.raises(UserError, match="cannot be read"):
        data.load(name, tmp_path)
    assert not (tmp_path / "executed").exists()


PIXELS = random_pixels(4, 32, 5).reshape(4, 3072)


@pytest.mark.hostile
@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        None,
        {"data": PIXELS},
        {"labels": [0, 1, 2, 3]},
        {"data": PIXELS, "labels": [0, 1, 2]},
        {"data": PIXELS[:, :3000], "labels": [0, 1, 2, 3]},
        {"data": PIXELS.astype(np.float32), "labels": [0, 1, 2, 3]},
        {"data": PIXELS, "labels": [0, 1, 2, 10]},
        {"data": PIXELS, "labels": [0, 1, 2, -1]},
        {"data": PIXELS, "labels": ["cat"] * 4},
        {"data": PIXELS, "labels": 4},
        {"data": PIXELS, "labels": [[0], [1], [2], [3]]},
        {"data": PIXELS.reshape(4, 3, 32, 32), "labels": [0, 1, 2, 3]},
        {"data": [1, 2, 3], "labels": [0, 1, 2, 3]},
    ],
)
def test_batches_of_the_wrong_kind_are_refused(tmp_path: Path, content: Any) -> None:
    write_cifar10(tmp_path)
    pickled(tmp_path / "cifar-10-batches-py" / "data_batch_2", content)
    with pytest.raises(UserError, match=r"data_batch_2 does not hold 32x32 images with 'labels' from 0 to 9"):
        data.load("cifar10", tmp_path)


@pytest.mark.hostile
@pytest.mark.parametrize("names", [{}, {"label_names": ["cat"]}, ["cat"], {"label_names": 10}])
def test_class_names_of_the_wrong_kind_are_refused(tmp_path: Path, names: Any) -> None:
    write_cifar10(tmp_path)
    pickled(tmp_path / "cifar-10-batches-py" / "batches.meta", names)
    with pytest.raises(UserError, match="does not hold 10 'label_names'"):
        data.load("cifar10", tmp_path)
    (tmp_path / "cifar-10-batches-py" / "batches.meta").unlink()
    assert data.load("cifar10", tmp_path).class_names == tuple("0123456789")


@pytest.mark.hostile
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_truncated_files_are_refused(tmp_path: Path, share: float) -> None:
    write_cifar10(tmp_path)
    write_svhn(tmp_path)
    for name, file in (("cifar10", "cifar-10-batches-py/data_batch_1"), ("svhn", "test_32x32.mat")):
        content = (tmp_path / file).read_bytes()
        (tmp_path / file).write_bytes(content[: int(share * len(content))])
        with pytest.raises(UserError, match=file.split("/")[-1]) as raised:
            data.load(name, tmp_path)
        assert "\n" not in str(raised.value)


@pytest.mark.hostile
@pytest.mark.parametrize(
    "content",
    [
        {"X": np.zeros((32, 32, 3, 4), np.uint8)},
        {"X": np.zeros((32, 32, 3, 4), np.uint8), "y": np.ones((3, 1))},
        {"X": np.zeros((32, 32, 3, 4), np.float64), "y": np.ones((4, 1))},
        {"X": np.zeros((4, 32, 32, 3), np.uint8), "y": np.ones((4, 1))},
        {"X": np.zeros((32, 32, 3, 4), np.uint8), "y": np.full((4, 1), 11)},
        {"X": np.zeros((32, 32, 3, 4), np.uint8), "y": np.full((4, 1), -1)},
    ],
)
def test_matlab_files_of_the_wrong_kind_are_refused(tmp_path: Path, content: Any) -> None:
    write_svhn(tmp_path)
    scipy.io.savemat(tmp_path / "train_32x32.mat", content)
    with pytest.raises(UserError, match=r"train_32x32.mat is not a readable copy of http"):
        data.load("svhn", tmp_path)


# Loading


def test_published_normalisations_are_those_of_the_original() -> None:
    known = data._BUILT_IN
    assert known["cifar10"].mean == (0.49139968, 0.48215827, 0.44653124)
    assert known["cifar10"].std == (0.24703233, 0.24348505, 0.26158768)
    assert known["cifar100"].mean == (0.5071, 0.4865, 0.4409)
    assert known["cifar100"].std == (0.2673, 0.2564, 0.2762)
    assert known["svhn"].mean == (0.4377, 0.4438, 0.4728)
    assert known["svhn"].std == (0.1980, 0.2010, 0.1970)
    assert known["imagenet16-120"].mean == pytest.approx((0.48109804, 0.45749020, 0.40788235))
    assert known["imagenet16-120"].std == pytest.approx((0.24792157, 0.24023529, 0.25525490))
    paddings = {name: builtin.augmentation.crop_padding for name, builtin in known.items()}
    assert paddings == {"cifar10": 4, "cifar100": 4, "svhn": 4, "imagenet16-120": 2, "digits": 1}


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
    again = data.load("digits", seed=5)
    assert torch.equal(again.train.pixels, digits.train.pixels)
    assert torch.equal(again.test.labels, digits.test.labels)


def test_unknown_data_sets_and_stray_options_are_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(UserError, match=r"unknown data set 'mnist': expected one of cifar10, .*folder"):
        data.load("mnist")
    with pytest.raises(UserError, match="--image_size goes with --dataset folder only"):
        data.load("digits", image_size=8)
    with pytest.raises(UserError, match="--dataset folder needs --data DIR"):
        data.load("folder")
