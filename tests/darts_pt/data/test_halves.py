"""The train half and the valid half."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from darts_pt.data.augmentation import Augmentation
from darts_pt.data.data_set import DataSet, Images
from darts_pt.data.halves import halves, stratified_order
from darts_pt.run.errors import ArgumentError


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
    with pytest.raises(ArgumentError, match="train_portion"):
        halves(labelled(torch.arange(100) % 2, False), portion, 0)


def test_a_half_without_a_class_is_refused() -> None:
    labels = torch.zeros(20, dtype=torch.int64)
    labels[17] = 1
    for sorted_by_class in (False, True):
        with pytest.raises(ArgumentError, match=r"the (train|valid) half .* has no image of the class '1'"):
            halves(labelled(labels, sorted_by_class), 0.5, 0)


def test_every_beginning_of_a_stratified_order_holds_the_classes_alike() -> None:
    labels: Tensor = torch.tensor([0] * 40 + [1] * 20 + [2] * 20)[torch.randperm(80, generator=torch.Generator())]
    order = stratified_order(labels, torch.Generator().manual_seed(1))
    assert torch.equal(order.sort().values, torch.arange(80))
    for cut in range(4, 81, 4):
        counts = torch.bincount(labels[order[:cut]], minlength=3)
        assert (counts - torch.tensor([0.5, 0.25, 0.25]) * cut).abs().max() <= 1
    other = stratified_order(labels, torch.Generator().manual_seed(2))
    assert not torch.equal(order, other)
