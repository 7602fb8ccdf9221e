"""Crops, flips and cutout."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from darts_pt.data.augmentation import Augmentation, augment, cut_out
from darts_pt.run.errors import ArgumentError


def random_images(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 3, height, width), generator=generator, dtype=torch.uint8)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def variants(image: Tensor, augmentation: Augmentation) -> dict[tuple[int, int, bool], Tensor]:
    """Everything that one image [3, H, W] may become, made image by image: padded, cropped at a place, mirrored."""
    padding, (height, width) = augmentation.crop_padding, image.shape[1:]
    padded = torch.zeros(3, height + 2 * padding, width + 2 * padding, dtype=torch.uint8)
    padded[:, padding : padding + height, padding : padding + width] = image
    made = {}
    for top in range(2 * padding + 1):
        for left in range(2 * padding + 1):
            crop = padded[:, top : top + height, left : left + width]
            made[top, left, False] = crop
            if augmentation.flip:
                made[top, left, True] = torch.stack([crop[:, :, width - 1 - column] for column in range(width)], dim=2)
    return made


@pytest.mark.parametrize("padding", [0, 1, 4])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("size", [(8, 8), (5, 9)])
def test_every_image_becomes_one_of_its_variants(padding: int, flip: bool, size: tuple[int, int]) -> None:
    augmentation = Augmentation(padding, flip)
    images = random_images(12, *size)
    augmented = augment(images, augmentation, generator())
    assert augmented.shape == images.shape
    assert augmented.dtype == torch.uint8
    for before, after in zip(images, augmented, strict=True):
        assert any(torch.equal(after, variant) for variant in variants(before, augmentation).values())


def test_crops_and_flips_are_uniform_and_independent_between_images() -> None:
    augmentation = Augmentation(1, True)
    image = random_images(1, 4, 4)
    augmented = augment(image.expand(4000, -1, -1, -1), augmentation, generator())
    known = {variant.numpy().tobytes(): place for place, variant in variants(image[0], augmentation).items()}
    counts = Counter(known[after.numpy().tobytes()] for after in augmented)
    assert len(counts) == 18, "nine places, each mirrored or not"
    expected, deviation = 4000 / 18, (4000 * (1 / 18) * (17 / 18)) ** 0.5
    assert all(abs(count - expected) < 5 * deviation for count in counts.values())


def test_augmentation_comes_from_its_generator_and_leaves_the_images_alone() -> None:
    images, augmentation = random_images(6, 8, 8), Augmentation(2, True)
    before = images.clone()
    first, second, other = (augment(images, augmentation, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(images, before)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@given(side=st.integers(1, 12), seed=st.integers(0, 50), height=st.integers(4, 9), width=st.integers(4, 9))
def test_cutout_is_a_square_of_zeros_around_some_pixel(side: int, seed: int, height: int, width: int) -> None:
    images = torch.ones(3, 3, height, width)
    holed = cut_out(images, side, generator(seed))
    for image in holed:
        hole = image == 0
        assert torch.equal(hole[0], hole[1])
        assert torch.equal(hole[0], hole[2])
        squares = []
        for row in range(height):
            for column in range(width):
                square = torch.zeros(height, width, dtype=torch.bool)
                top, left = row - side // 2, column - side // 2
                square[max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)] = True
                squares.append(square)
        assert any(torch.equal(hole[0], square) for square in squares)
        assert hole.any(), "its centre is a pixel of the image"


def test_cutouts_centres_are_uniform() -> None:
    holes = cut_out(torch.ones(6000, 1, 3, 5), 1, generator()) == 0
    assert (holes.sum(dim=(1, 2, 3)) == 1).all()
    counts = holes.sum(dim=0).double()
    assert ((counts - 400).abs() < 5 * (6000 * (1 / 15) * (14 / 15)) ** 0.5).all()


def test_no_cutout_changes_nothing() -> None:
    assert torch.equal(cut_out(torch.ones(2, 3, 4, 4), 0, generator()), torch.ones(2, 3, 4, 4))


@pytest.mark.parametrize(
    "values", [{"crop_padding": -1, "flip": True}, {"crop_padding": 0, "flip": True, "cutout": -2}]
)
def test_negative_augmentation_is_refused(values: dict[str, int]) -> None:
    with pytest.raises(ArgumentError):
        Augmentation(**values)  # type: ignore[arg-type]
