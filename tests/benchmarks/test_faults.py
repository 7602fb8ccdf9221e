"""Killing and watching runs: what counts as a difference, and as growth."""

from __future__ import annotations

import json
import random
from pathlib import Path

from benchmarks.faults import ALLOWED_GROWTH, KINDS, grows, results_in, until_done


def test_a_killed_search_ends_in_what_must_not_depend_on_interruptions(tmp_path: Path) -> None:
    kills = until_done(KINDS[0], tmp_path, 1.0, random.Random(1))
    assert kills.all > 0
    folder = tmp_path / KINDS[0].folder
    found = results_in(folder)
    assert set(found) == {"checkpoint_1.pth.tar", "checkpoint_2.pth.tar", "genotype.json", "metrics.jsonl"}
    (folder / "genotype.json").write_text("{}")
    assert [name for name, content in results_in(folder).items() if content != found[name]] == ["genotype.json"]


def test_the_seconds_of_a_summary_are_no_difference(tmp_path: Path) -> None:
    found = []
    for content in ({"seconds": 1, "accuracy": 2}, {"seconds": 3, "accuracy": 2}, {"seconds": 1, "accuracy": 4}):
        (tmp_path / "summary.json").write_text(json.dumps(content))
        found.append(results_in(tmp_path))
    assert found[0] == found[1] != found[2]


def test_growth_is_told_of_any_quantity() -> None:
    level = dict.fromkeys(ALLOWED_GROWTH, 10.0)
    assert not grows([level] * 8)
    for name in ALLOWED_GROWTH:
        assert grows([{**level, name: 10.0 + number} for number in range(8)]), name
        assert not grows([{**level, name: 100.0 * (number < 2) + 10} for number in range(8)]), "caches fill at first"
