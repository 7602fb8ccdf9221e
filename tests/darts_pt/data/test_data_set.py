"""Normalisation and batches as a network takes them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from darts_pt.data.augmentation import Augmentation, augment, cut_out
from darts_pt.data.data_set import DataSet, channel_statistics, normalise
from darts_pt.data.sources import load
from darts_pt.run.device import Generators


def random_images(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 3, height, width), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normalisation_is_of_pixels_between_0_and_1(dtype: torch.dtype) -> None:
    images, mean, std = random_images(4, 8, 8), (0.4, 0.5, 0.1), (0.2, 0.3, 0.25)
    normalised = normalise(images, mean, std, dtype)
    assert normalised.dtype == dtype
    for channel in range(3):
        expected = (images[:, channel].double() / 255 - mean[channel]) / std[channel]
        assert torch.allclose(normalised[:, channel].double(), expected, atol=1e-6 if dtype == torch.float32 else 1e-14)


def test_measured_statistics_are_exact() -> None:
    images = random_images(7, 6, 5)
    mean, std = channel_statistics(images)
    scaled = images.double() / 255
    assert mean == pytest.approx(scaled.mean(dim=(0, 2, 3)).tolist(), rel=1e-12)
    assert std == pytest.approx(scaled.std(dim=(0, 2, 3), unbiased=False).tolist(), rel=1e-12)
    assert channel_statistics(torch.full((2, 3, 4, 4), 51, dtype=torch.uint8)) == ((0.2, 0.2, 0.2), (1.0, 1.0, 1.0))


def test_a_batch_is_the_images_asked_for(digits: DataSet) -> None:
    indices = torch.tensor([5, 0, 7, 5])
    images, labels = digits.batch(digits.test, indices, None, Generators(0, "cpu"))
    assert torch.equal(labels, digits.test.labels[indices])
    assert torch.equal(images, normalise(digits.test.pixels[indices], digits.mean, digits.std))
    assert images.dtype == torch.float32


def test_a_training_batch_is_augmented_and_its_holes_are_0_after_normalisation(digits: DataSet) -> None:
    indices, augmentation = torch.arange(16), dataclasses.replace(digits.augmentation, cutout=4)
    images, labels = digits.batch(digits.train, indices, augmentation, Generators(0, "cpu"), torch.float64)
    stream = Generators(0, "cpu")["augmentation"]
    expected = augment(digits.train.pixels[:16], augmentation, stream)
    expected = cut_out(normalise(expected, digits.mean, digits.std, torch.float64), 4, stream)
    assert torch.equal(images, expected)
    assert torch.equal(labels, digits.train.labels[:16])
    assert (images == 0).flatten(1).sum(dim=1).ge(3 * 4).all()


def test_a_data_set_is_resized_as_its_images_in_a_folder_are(digits: DataSet, tmp_path: Path) -> None:
    small = load("digits", image_size=5)
    assert (small.train.pixels.shape[1:], small.augmentation.crop_padding) == ((3, 5, 5), 0)
    for part in ("train", "test"):
        for place in range(40):
            folder = tmp_path / part / f"{place % 2}"
            folder.mkdir(parents=True, exist_ok=True)
            pixels = getattr(digits, part).pixels[place].permute(1, 2, 0).numpy()
            Image.fromarray(pixels).save(folder / f"{place:02}.png")
    as_files = load("folder", data=tmp_path, image_size=5)
    order = [*range(0, 40, 2), *range(1, 40, 2)]  # Sorted by class.
    assert torch.equal(as_files.train.pixels, small.train.pixels[order])
    assert torch.equal(as_files.test.pixels, small.test.pixels[order])


def test_the_data_set_is_not_changed_by_its_batches(digits: DataSet) -> None:
    before = digits.train.pixels.clone()
    augmentation = Augmentation(2, True, cutout=4)
    images, _ = digits.batch(digits.train, torch.arange(100), augmentation, Generators(0, "cpu"))
    images.zero_()
    assert torch.equal(digits.train.pixels, before)
