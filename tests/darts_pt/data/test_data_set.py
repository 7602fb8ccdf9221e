"""Batches as tensors: augmentation, normalisation, halves, and the order in which images are drawn."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from darts_pt.data import data_set as data
from darts_pt.data.data_set import (
    Augmentation,
    DataSet,
    Images,
    augment,
    channel_statistics,
    cut_out,
    halves,
    normalise,
    passes,
    random_batch_indices,
)
from darts_pt.run.device import Generators
from darts_pt.run.errors import UserError


def random_images(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 3, height, width), generator=generator, dtype=torch.uint8)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Augmentation ----------------------------------------------------------------------------------------------------


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
    with pytest.raises(UserError):
        Augmentation(**values)  # type: ignore[arg-type]


# Normalisation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normalisation_is_of_pixels_between_0_and_1(dtype: torch.dtype) -> None:
    images, mean, std = random_images(4, 8, 8), (0.4, 0.5, 0.1), (0.2, 0.3, 0.25)
    normalised = normalise(images, mean, std, dtype)
    assert normalised.dtype == dtype
    for channel in range(3):
        expected = (images[:, channel].double() / 255 - mean[channel]) / std[channel]
        assert torch.allclose(normalised[:, channel].double(), expected, atol=1e-6 if dtype == torch.float32 else 1e-14)


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


def test_measured_statistics_are_exact() -> None:
    images = random_images(7, 6, 5)
    mean, std = channel_statistics(images)
    scaled = images.double() / 255
    assert mean == pytest.approx(scaled.mean(dim=(0, 2, 3)).tolist(), rel=1e-12)
    assert std == pytest.approx(scaled.std(dim=(0, 2, 3), unbiased=False).tolist(), rel=1e-12)
    assert channel_statistics(torch.full((2, 3, 4, 4), 51, dtype=torch.uint8)) == ((0.2, 0.2, 0.2), (1.0, 1.0, 1.0))


# Batches ---------------------------------------------------------------------------------------------------------


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


def test_the_data_set_is_not_changed_by_its_batches(digits: DataSet) -> None:
    before = digits.train.pixels.clone()
    augmentation = Augmentation(2, True, cutout=4)
    images, _ = digits.batch(digits.train, torch.arange(100), augmentation, Generators(0, "cpu"))
    images.zero_()
    assert torch.equal(digits.train.pixels, before)


# Halves ----------------------------------------------------------------------------------------------------------


def labelled(labels: Tensor, sorted_by_class: bool) -> DataSet:
    images = Images(torch.zeros(len(labels), 3, 1, 1, dtype=torch.uint8), labels)
    classes = int(labels.max()) + 1
    return DataSet("x", classes, images, images, (0.5,) * 3, (0.5,) * 3, Augmentation(0, False), (), sorted_by_class)


@pytest.mark.parametrize("portion", [0.5, 0.3, 0.9])
def test_halves_are_by_index_in_the_data_sets_own_order(portion: float) -> None:
    train, valid = halves(labelled(torch.arange(101) % 3, False), portion, seed=7)
    assert train.tolist() == list(range(int(portion * 101)))
    assert valid.tolist() == list(range(int(portion * 101), 101))


@given(
    counts=st.lists(st.integers(4, 30), min_size=2, max_size=6), portion=st.floats(0.3, 0.7), seed=st.integers(0, 99)
)
def test_halves_of_sorted_images_are_stratified(counts: list[int], portion: float, seed: int) -> None:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    dataset = labelled(labels, True)
    train, valid = halves(dataset, portion, seed)
    assert torch.equal(torch.cat([train, valid]).sort().values, torch.arange(len(labels)))
    assert len(train) == int(portion * len(labels))
    for half in (train, valid):
        assert torch.equal(half, half.sort().values)
    for label, count in enumerate(counts):
        expected = len(train) / len(labels) * count
        assert abs(int((labels[train] == label).sum()) - expected) <= 0.5 + len(counts) / 2 * count / len(labels)
    again, _ = halves(dataset, portion, seed)
    assert torch.equal(train, again)


def test_stratified_halves_depend_on_the_seed() -> None:
    dataset = labelled(torch.arange(60) // 20, True)
    assert not torch.equal(halves(dataset, 0.5, 1)[0], halves(dataset, 0.5, 2)[0])


@pytest.mark.parametrize("portion", [0.0, 1.0, -0.5, 1.5, float("nan"), 0.001, 1 - 2**-53])
def test_a_portion_that_leaves_a_half_empty_is_refused(portion: float) -> None:
    with pytest.raises(UserError, match="train_portion"):
        halves(labelled(torch.arange(100) % 2, False), portion, 0)


def test_a_half_without_a_class_is_refused() -> None:
    labels = torch.zeros(20, dtype=torch.int64)
    labels[17] = 1
    for sorted_by_class in (False, True):
        with pytest.raises(UserError, match=r"the (train|valid) half .* has no image of the class '1'"):
            halves(labelled(labels, sorted_by_class), 0.5, 0)


# Orders ----------------------------------------------------------------------------------------------------------


def test_random_batches_are_distinct_images_drawn_anew() -> None:
    half, stream = torch.arange(100, 130), generator()
    counts: Counter[int] = Counter()
    for _ in range(600):
        batch = random_batch_indices(half, 10, stream).tolist()
        assert len(set(batch)) == 10
        counts.update(batch)
    assert set(counts) == set(range(100, 130))
    assert all(abs(count - 200) < 5 * (600 * (1 / 3) * (2 / 3)) ** 0.5 for count in counts.values())


@given(size=st.integers(1, 40), batch=st.integers(1, 40), seed=st.integers(0, 5))
def test_a_pass_visits_every_image_once(size: int, batch: int, seed: int) -> None:
    half = torch.arange(size) * 3
    if batch > size:
        with pytest.raises(UserError, match=f"a batch of {batch} does not fit"):
            passes(half, batch, generator(seed))
        return
    chunks = list(passes(half, batch, generator(seed)))
    assert torch.equal(torch.cat(chunks).sort().values, half)
    assert all(len(chunk) == batch for chunk in chunks[:-1])
    assert torch.equal(torch.cat(list(passes(half, batch, None))), half)


@pytest.mark.parametrize("size", [0, -1, 31])
def test_batches_that_do_not_fit_are_refused(size: int) -> None:
    with pytest.raises(UserError, match="expected 1 to 30"):
        random_batch_indices(torch.arange(30), size, generator())
    with pytest.raises(UserError, match="expected 1 to 30"):
        passes(torch.arange(30), size, None)


# Loading ---------------------------------------------------------------------------------------------------------


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
