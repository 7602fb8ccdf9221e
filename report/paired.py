"""Paired differences, for example of two selections from the same supernets: intervals, and tests of several at once."""

from __future__ import annotations

import statistics
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

Key = TypeVar("Key", bound=Hashable)

LEVEL = 0.95
"""Confidence of the intervals."""


class Difference(NamedTuple):
    """The differences of pairs, and their mean.

    Attributes:
        interval: of the mean, by Student's t at :data:`LEVEL`; None for a single pair.
        p: two-sided, by a paired t-test; None for a single pair or if all differences are equal.
    """

    values: tuple[float, ...]
    mean: float
    interval: tuple[float, float] | None
    p: float | None

    def __str__(self) -> str:
        """`+1.20 (+0.35 to +2.05)`; without an interval the mean alone."""
        return f"{self.mean:+.2f}" + (f" ({self.span})" if self.span else "")

    @property
    def span(self) -> str:
        """The interval in words, `+0.35 to +2.05`; empty for a single pair, and there is none if all are equal."""
        if self.interval is None:
            return ""
        low, high = self.interval
        return f"{low:+.2f} to {high:+.2f}" if low < high else "all equal"

    @property
    def signs(self) -> str:
        """The numbers of better, worse and equal pairs."""
        better, worse = sum(value > 0 for value in self.values), sum(value < 0 for value in self.values)
        return f"{better}, {worse}, {len(self.values) - better - worse}"


def difference(mine: Mapping[Key, float], theirs: Mapping[Key, float]) -> Difference | None:
    """The differences of the keys that both have, such as seeds; None if there are none."""
    values = [mine[key] - theirs[key] for key in mine if key in theirs]
    return difference_of(values) if values else None


def difference_of(gains: Sequence[float]) -> Difference:
    """Statistics of the differences of one or more pairs."""
    from scipy import stats

    # Rounded, so that equal numbers on both sides are equal differences.
    values = tuple(round(gain, 9) for gain in gains)
    mean = statistics.fmean(values)
    if len(values) == 1:
        return Difference(values, mean, None, None)
    error = statistics.stdev(values) / len(values) ** 0.5
    reach = float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1)) * error
    test: Any = stats.ttest_1samp(values, 0.0) if len(set(values)) > 1 else None
    return Difference(values, mean, (mean - reach, mean + reach), float(test.pvalue) if test else None)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """The p-values corrected for their number (Holm, 1979); None (no test) stays None."""
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(known):
        highest = max(highest, min(1.0, p * (len(known) - rank)))
        corrected[place] = highest
    return corrected
