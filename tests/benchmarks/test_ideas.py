"""The benchmarks of single operations and the roofline: both ways give the same numbers, and what is counted is right."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from benchmarks.ideas import depthwise_passes, layouts, smallest, sums
from benchmarks.roofline import count


def numbers(result: Any) -> torch.Tensor:
    """All numbers of a result, in order."""
    if isinstance(result, torch.Tensor):
        return result.flatten()
    return torch.cat([numbers(part) for part in result])


@pytest.mark.parametrize("ideas", [layouts, sums, depthwise_passes])
def test_every_idea_gives_the_same_numbers_before_and_after(ideas: Any) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        for idea in ideas():
            if idea.name == "their batch norms":  # of random maps, stacked or not
                continue
            before, after = numbers(idea.before()).double(), numbers(idea.after()).double()
            if "edges" in idea.name:  # stacked they come image by image, alone edge by edge
                before, after = before.sort().values, after.sort().values
            assert (before - after).norm() < 1e-4 * before.norm(), idea.name


def test_an_idea_is_timed_both_ways() -> None:
    with torch.no_grad():
        idea = next(depthwise_passes())
        assert all(milliseconds > 0 for milliseconds in smallest(idea, 1e-3))


def test_operations_and_bytes_of_a_convolution() -> None:
    maps, kernel = torch.randn(2, 3, 8, 8), torch.randn(5, 3, 3, 3)
    operations, traffic = count(lambda: functional.conv2d(maps, kernel, padding=1))  # type: ignore[arg-type,return-value]
    assert operations == 2 * (2 * 5 * 8 * 8) * (3 * 3 * 3)
    assert traffic == 4 * (2 * 3 * 64 + 5 * 27 + 2 * 5 * 64)
