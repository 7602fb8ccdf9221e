"""A user's own images: layouts, every kind of image, and what is wrong with them."""

from __future__ import annotations

import io
import os
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from darts_pt.data import image_folder
from darts_pt.data.augmentation import Augmentation
from darts_pt.data.halves import halves
from darts_pt.data.image_folder import read_image_folder
from darts_pt.data.sources import load
from darts_pt.run.errors import UserError


def image_of(number: int, width: int = 8, height: int = 8, mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def save(path: Path, image: Image.Image, **arguments: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **arguments)
    return path


def fill(root: Path, classes: tuple[str, ...] = ("cat", "dog"), each: int = 5, offset: int = 0, **size: int) -> Path:
    for number, name in enumerate(classes):
        for index in range(each):
            save(root / name / f"{index}.png", image_of(100 * number + index + offset, **size))
    return root


def complaint(folder: Path, image_size: int | None = None) -> str:
    """The one line that the user is told."""
    with pytest.raises(UserError) as raised:
        read_image_folder(folder, image_size)
    message = str(raised.value)
    assert "\n" not in message
    return message


# Layouts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("test_name", ["test", "val"])
def test_folders_of_their_own_for_training_and_test(tmp_path: Path, test_name: str) -> None:
    fill(tmp_path / "train", ("dog", "cat"), 4)
    fill(tmp_path / test_name, ("cat", "dog"), 2, offset=50)
    source = read_image_folder(tmp_path)
    assert source.class_names == ("cat", "dog"), "in alphabetical order"
    assert source.train.labels.tolist() == [0] * 4 + [1] * 4
    assert source.test.labels.tolist() == [0, 0, 1, 1]
    assert source.train.pixels.dtype == torch.uint8
    for index, number in enumerate([100, 101, 102, 103, 0, 1, 2, 3]):
        expected = torch.from_numpy(np.asarray(image_of(number)).copy()).permute(2, 0, 1)
        assert torch.equal(source.train.pixels[index], expected)


def test_a_fifth_of_one_folder_becomes_the_test_set(tmp_path: Path) -> None:
    fill(tmp_path, each=10)
    source, again = read_image_folder(tmp_path), read_image_folder(tmp_path)
    assert torch.bincount(source.train.labels).tolist() == [8, 8]
    assert torch.bincount(source.test.labels).tolist() == [2, 2]
    assert torch.equal(source.test.pixels, again.test.pixels)
    together = torch.cat([source.train.pixels, source.test.pixels])
    assert len({pixels.numpy().tobytes() for pixels in together}) == 20, "every image is in one part"


def test_class_folders_are_searched_at_every_depth_and_other_files_passed_over(tmp_path: Path) -> None:
    fill(tmp_path)
    save(tmp_path / "cat" / "more" / "deep.JPG", image_of(7), format="JPEG")
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / "cat" / ".hidden.png").write_text("not an image")
    (tmp_path / ".git").mkdir()
    (tmp_path / "readme.txt").write_text("not a class")
    source = read_image_folder(tmp_path)
    assert source.class_names == ("cat", "dog")
    assert len(source.train.labels) + len(source.test.labels) == 11


def test_links_that_lead_in_circles_count_once(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "cat" / "again").symlink_to(tmp_path / "cat", target_is_directory=True)
    source = read_image_folder(tmp_path)
    assert len(source.train.labels) + len(source.test.labels) == 10


def test_linked_folders_are_followed(tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere", ("a", "b"))
    (tmp_path / "set").mkdir()
    for name in ("a", "b"):
        (tmp_path / "set" / name).symlink_to(tmp_path / "elsewhere" / name, target_is_directory=True)
    assert len(read_image_folder(tmp_path / "set").train.labels) == 8


def test_a_folder_as_a_data_set(tmp_path: Path) -> None:
    fill(tmp_path, each=10, width=16, height=24)
    dataset = load("folder", data=tmp_path)
    assert dataset.sorted_by_class
    assert (dataset.classes, dataset.class_names) == (2, ("cat", "dog"))
    assert dataset.train.pixels.shape == (16, 3, 24, 16)
    assert dataset.augmentation == Augmentation(crop_padding=2, flip=True), "an eighth of the shorter side"
    assert dataset.mean == pytest.approx((0.5,) * 3, abs=0.05)
    train, valid = halves(dataset, 0.5, seed=0)
    for half in (train, valid):
        assert torch.bincount(dataset.train.labels[half]).tolist() == [4, 4]


# Images ----------------------------------------------------------------------------------------------------------


def test_images_are_resized_by_their_shorter_side_and_cropped_in_the_centre(tmp_path: Path) -> None:
    picture = Image.new("RGB", (60, 20), (255, 0, 0))
    picture.paste((0, 0, 255), (20, 0, 40, 20))  # the middle third is blue
    for name in ("a", "b"):
        for index in range(5):
            save(tmp_path / name / f"{index}.png", picture)
    source = read_image_folder(tmp_path, 10)
    assert source.train.pixels.shape == (8, 3, 10, 10)
    inside = source.train.pixels[0, :, :, 2:8]
    assert torch.equal(inside, torch.tensor([0, 0, 255], dtype=torch.uint8).view(3, 1, 1).expand_as(inside))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "RGB"])
def test_images_of_every_mode_become_three_channels(tmp_path: Path, mode: str) -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    if mode == "I;16":
        picture = Image.fromarray(grey.astype(np.uint16) * 256)
    else:
        picture = (
            Image.fromarray(grey).convert(mode) if mode == "P" else Image.fromarray(grey).convert("RGB").convert(mode)
        )
    suffix = "tif" if mode == "CMYK" else "png"
    for name in ("a", "b"):
        for index in range(5):
            save(tmp_path / name / f"{index}.{suffix}", picture)
    pixels = read_image_folder(tmp_path).train.pixels[0]
    assert pixels.shape == (3, 8, 8)
    if mode != "1":
        assert (pixels.int() - torch.from_numpy(grey).int()).abs().max() <= 3


def test_jpegs_of_any_size_are_read_at_the_size_asked_for(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for index in range(5):
            picture = Image.new("RGB", (200 + 50 * index, 300), (30, 60, 90))
            save(tmp_path / name / f"{index}.jpg", picture)
    pixels = read_image_folder(tmp_path, 16).train.pixels
    assert pixels.shape == (8, 3, 16, 16)
    assert (pixels.int() - torch.tensor([30, 60, 90]).view(3, 1, 1)).abs().max() <= 3


def test_many_files_keep_their_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_folder, "FILES_PER_TASK", 3)
    fill(tmp_path, ("a", "b", "c"), each=10)
    source = read_image_folder(tmp_path)
    expected = Counter()
    for number in range(3):
        for index in range(10):
            expected[np.asarray(image_of(100 * number + index)).tobytes(), number] += 1
    found = Counter()
    for pixels, labels in ((source.train.pixels, source.train.labels), (source.test.pixels, source.test.labels)):
        for image, label in zip(pixels.permute(0, 2, 3, 1).contiguous(), labels, strict=True):
            found[image.numpy().tobytes(), int(label)] += 1
    assert found == expected


# What is wrong ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of whole images, into which a test puts others."""
    return fill(tmp_path_factory.mktemp("images"), width=32, height=32)


BEGINNINGS = (
    b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"P6 8 8 255\n", b"BM", b"RIFF\x10\x00\x00\x00WEBPVP8 ",
    b"II*\x00\x08\x00\x00\x00\xff\xff", b"GIF89a",
)  # fmt: skip
"""How the formats of images begin."""


def cut(suffix: str, share: float) -> bytes:
    """The first part of an image."""
    stream = io.BytesIO()
    image_of(1, 32, 32).save(stream, Image.registered_extensions()[f".{suffix}"])
    return stream.getvalue()[: int(share * len(stream.getvalue()))]


@pytest.mark.hostile
@given(
    st.builds(bytes.__add__, st.sampled_from(BEGINNINGS), st.binary(max_size=60))
    | st.builds(cut, st.sampled_from(["png", "jpeg", "bmp", "tiff", "webp"]), st.floats(0, 0.9)),
    st.sampled_from([None, 8, 32]),
)
def test_broken_images_are_named(whole: Path, content: bytes, image_size: int | None) -> None:
    path = whole / "cat" / "broken.png"
    path.write_bytes(content)
    told = complaint(whole, image_size)
    path.unlink()
    assert "cat/broken.png" in told
    assert image_size is None or "cat/broken.png cannot be read as an image" in told
    assert ("it is empty" in told) == (not content)


def test_images_of_several_sizes_need_a_common_one(tmp_path: Path) -> None:
    fill(tmp_path)
    save(tmp_path / "dog" / "wide.png", image_of(1, 9, 8))
    told = complaint(tmp_path)
    assert "dog/wide.png is 9x8 pixels, the first image 8x8" in told
    assert told.startswith("image_size: needed")
    assert len(read_image_folder(tmp_path, 8).train.labels) == 8


def test_sizes_without_sense_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, width=3, height=3)
    assert "is only 3x3 pixels" in complaint(tmp_path)
    assert "image_size: expected at least 4" in complaint(tmp_path, 3)
    assert "this machine has" in complaint(tmp_path, 1_000_000)


def test_a_class_without_training_images_is_refused(tmp_path: Path) -> None:
    """A stratified fifth of one image is that image or none."""
    fill(tmp_path, ("a", "b"), each=9)
    for index, name in enumerate(("c", "d", "e", "f")):
        save(tmp_path / name / "only.png", image_of(500 + index))
    told = complaint(tmp_path)
    assert "has only 1 image" in told


def test_a_pipe_is_not_an_image(tmp_path: Path) -> None:
    """Opening it would wait for ever."""
    fill(tmp_path)
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    told: list[str] = []
    thread = threading.Thread(target=lambda: told.append(complaint(tmp_path)), daemon=True)
    thread.start()
    thread.join(20)
    assert told
    assert "cat/pipe.png" in told[0]


def test_a_dangling_link_is_named(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "cat" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert "cat/gone.png" in complaint(tmp_path)


def test_nothing_is_changed_by_reading(tmp_path: Path) -> None:
    fill(tmp_path)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in tmp_path.rglob("*")}
    read_image_folder(tmp_path)
    (tmp_path / "cat" / "0.png").write_bytes(b"x")
    complaint(tmp_path)
    changed = {path for path in tmp_path.rglob("*") if before[path] != (path.stat().st_mtime_ns, path.stat().st_size)}
    assert changed == {tmp_path / "cat" / "0.png"}
