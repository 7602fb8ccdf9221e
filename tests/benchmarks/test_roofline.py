"""A bilevel step's operations and bytes are counted through the passes that searches run."""

from __future__ import annotations

import pytest

from benchmarks.roofline import count
from benchmarks.speed import Contest, SpeedOptions


@pytest.mark.parametrize("space", ["nasbench201", "s2"])
def test_a_step_is_counted(space: str) -> None:
    contest = Contest(SpeedOptions(space=space, size="digits"))  # type: ignore[arg-type]
    operations, traffic = count(contest.our_step)
    assert operations > 1e7
    assert traffic > 1e6
