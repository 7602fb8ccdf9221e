"""Paired differences and Holm's correction, against numbers worked out by hand and by SciPy."""

from __future__ import annotations

import pytest
from scipy import stats

from report.paired import difference, holm


def test_pairs_are_made_by_key_and_agree_with_the_paired_t_test() -> None:
    mine, theirs = {1: 92.0, 2: 91.0, 3: 95.0, 9: 50.0}, {3: 90.0, 2: 91.5, 1: 90.0, 4: 0.0}
    found = difference(mine, theirs)
    assert found is not None
    assert found.values == (2.0, -0.5, 5.0)
    expected = stats.ttest_rel([92.0, 91.0, 95.0], [90.0, 91.5, 90.0])
    interval = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.interval == pytest.approx((interval.low, interval.high))
    assert found.signs == "2, 1, 0"


def test_what_cannot_be_tested_has_no_p() -> None:
    assert difference({1: 2.0}, {2: 2.0}) is None
    alone = difference({1: 2.0}, {1: 1.0})
    assert alone is not None
    assert (alone.mean, alone.interval, alone.p) == (1.0, None, None)
    equal = difference({1: 0.3, 2: 0.6}, {1: 0.1, 2: 0.4})
    assert equal is not None
    assert equal.p is None, "all differences are 0.2"


def test_holm_corrects_for_the_tests_that_were_made() -> None:
    assert holm([0.01, None, 0.04, 0.03]) == pytest.approx([0.03, None, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []
