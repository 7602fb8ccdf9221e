"""Kernels and their bytes: what counts and what does not."""

from __future__ import annotations

import pytest
import torch

from benchmarks.measuring import Count, count
from benchmarks.speed import Contest, SpeedOptions


def test_views_and_allocations_count_for_nothing() -> None:
    ones = torch.ones(10)
    assert count(lambda: (ones.view(2, 5).t(), ones.detach(), torch.empty(10), ones[3])) == Count(0, 0)


def test_a_kernel_counts_with_what_it_reads_and_writes() -> None:
    one, other = torch.ones(10), torch.ones(10, dtype=torch.float64)
    assert count(one.exp) == Count(1, 80)
    assert count(lambda: one.add_(1).mul(other)) == Count(2, 80 + 40 + 80 + 80)


def test_backward_passes_count_too() -> None:
    leaf = torch.ones(10, requires_grad=True)
    assert count(leaf.exp).kernels < count(lambda: leaf.exp().sum().backward()).kernels


@pytest.mark.parametrize(
    ("space", "step", "decision", "planned"),
    [("nasbench201", 655, 1_710, 1_710), ("s2", 1_360, 985, 1_890), ("s5", 3_500, 5_630, 11_070)],
)
def test_a_step_and_a_decision_stay_within_their_kernels(space: str, step: int, decision: int, planned: int) -> None:
    """Counted as `benchmarks.speed` does, after one call of each: a first step also makes the momentum. The first
    decision also plans its candidates, as every decision of a selection does: each removes something else."""
    contest = Contest(SpeedOptions(space=space, size="digits"))  # type: ignore[arg-type]
    contest.our_step()
    assert 100 < count(contest.our_step).kernels <= step
    assert 100 < count(contest.our_event).kernels <= planned
    assert 100 < count(contest.our_event).kernels <= decision
