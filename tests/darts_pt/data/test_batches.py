"""The order in which images are drawn."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from darts_pt.data.batches import in_batches, random_batch_indices, shuffled
from darts_pt.run.errors import ArgumentError


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_random_batches_are_distinct_images_drawn_afresh() -> None:
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
    chunks = in_batches(shuffled(half, generator(seed)), batch)
    assert torch.equal(torch.cat(chunks).sort().values, half)
    assert all(len(chunk) == batch for chunk in chunks[:-1])
    assert torch.equal(torch.cat(in_batches(half, batch)), half)


@pytest.mark.parametrize("size", [0, -1, 31])
def test_batches_that_do_not_fit_are_refused(size: int) -> None:
    with pytest.raises(ArgumentError, match="expected 1 to 30"):
        random_batch_indices(torch.arange(30), size, generator())
