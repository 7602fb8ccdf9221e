"""Seeds are aggregated and compared as statistics does it."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
from scipy import stats

from report.comparison import aggregate, baseline, groups, p_value
from runs.recorded import Recorded

ARCHITECTURE = "|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"


def selection(seed: int, name: str, valid: float, channels: int = 8) -> Recorded:
    options = {"seed": seed, "selection": name, "method": "darts", "dataset": "digits", "cells_per_stage": 1}
    folder = Path(f"search-darts-201-{seed}-digits/log_resume-50-{name}-seed-{seed}-{channels}")
    genotype = {"genotype": ARCHITECTURE, "supernet_valid_accuracy": valid}
    return Recorded(folder, {"options": options | {"init_channels": channels}}, genotype=genotype)


PT, MAGNITUDE = (91.0, 92.5, 93.0, 90.0), (88.0, 91.0, 89.0, 89.5)


def runs(seeds: int) -> list[Recorded]:
    return [selection(seed, "pt", PT[seed]) for seed in range(seeds)] + [
        selection(seed, "magnitude", MAGNITUDE[seed]) for seed in range(seeds)
    ]


def test_groups_differ_in_more_than_the_seed() -> None:
    found = groups([*runs(3), selection(7, "pt", 50.0, channels=16)])
    assert [(group.label, group.setting[2], len(group.results)) for group in found] == [
        ("DARTS + PT", "16 channels, 1 cell per stage", 1),
        ("DARTS (magnitude)", "8 channels, 1 cell per stage", 3),
        ("DARTS + PT", "8 channels, 1 cell per stage", 3),
    ]
    assert baseline(found[1:]).label == "DARTS (magnitude)"


def searched(folder: str, **options: object) -> Recorded:
    return Recorded(Path(folder), {"options": {"method": "darts", "epochs": 50, **options}})


def test_selections_that_were_run_otherwise_are_no_other_seeds() -> None:
    """Neither with other options of their own nor from searches with others."""
    plain, trial, warm = (selection(seed, "pt", 90.0) for seed in range(3))
    trial.options["fast"] = True  # pyright: ignore[reportIndexIssue]
    assert trial.is_trial, "no result: it is left out"
    searches = [
        searched(str(run.folder.parent), arch_learning_rate=rate) for run, rate in ((plain, 3e-4), (warm, 3e-3))
    ]
    plain.options["fast"] = warm.options["fast"] = False  # pyright: ignore[reportIndexIssue]
    assert [group.label for group in groups([plain, trial, warm, *searches])] == [
        "DARTS + PT, search's arch_learning_rate 0.0003",
        "DARTS + PT, search's arch_learning_rate 0.003",
    ]
    plain.options["gpu"], warm.options["gpu"] = "cpu", "0"  # pyright: ignore[reportIndexIssue]
    (group,) = groups([plain, warm])
    assert group.label == "DARTS + PT"


def test_selections_with_one_seed_from_searches_with_several_all_count() -> None:
    """As it is where a selection is left its default seed."""
    mine = [selection(1, "pt", value) for value in PT]
    mine = [Recorded(Path(f"search-darts-201-{n}-digits") / run.folder.name, run.config, genotype=run.genotype)
            for n, run in enumerate(mine)]  # fmt: skip
    (group,) = groups([*mine, *(searched(f"search-darts-201-{n}-digits", seed=n) for n in range(4))])
    assert list(group.values("valid").values()) == list(PT)


def test_a_training_counts_for_the_selection_of_its_architecture() -> None:
    options = {"arch": ARCHITECTURE, "dataset": "digits", "cells_per_stage": 1, "seed": 1}
    trained = [
        Recorded(
            Path(f"eval/digits-{n}"),
            {"options": options},
            summary={"architecture": ARCHITECTURE, "test_accuracy": value},
        )
        for n, value in enumerate((94.0, 96.0))
    ]
    (group,) = groups([selection(0, "pt", 91.0), *trained])
    assert group.values("test") == {0: 95.0}


def test_aggregate_is_mean_sample_deviation_and_best() -> None:
    total = aggregate(PT)
    assert total is not None
    assert (total.mean, total.std, total.best) == (statistics.fmean(PT), statistics.stdev(PT), 93.0)
    assert str(aggregate([91.0])) == "91.00"
    assert aggregate([]) is None


def test_equal_seeds_are_compared_in_pairs() -> None:
    magnitude, pt = groups(runs(4))
    result = p_value(pt, magnitude, "valid")
    assert result is not None
    assert result[0] == pytest.approx(stats.ttest_rel(PT, MAGNITUDE).pvalue)
    assert "paired" in result[1]


def test_other_seeds_are_compared_by_welchs_test() -> None:
    others = [selection(seed + 10, "magnitude", MAGNITUDE[seed]) for seed in range(4)]
    magnitude, pt = groups([*runs(4)[:4], *others])
    result = p_value(pt, magnitude, "valid")
    assert result is not None
    assert result[0] == pytest.approx(stats.ttest_ind(PT, MAGNITUDE, equal_var=False)[1])


def test_two_seeds_say_nothing() -> None:
    magnitude, pt = groups(runs(2))
    assert p_value(pt, magnitude, "valid") is None
