"""The cost of runs by their timing.jsonl: seconds on the clock, and processor seconds of all threads.

It counts from the opening of the experiment to its last record, without the set-up before and the drawings after.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from runs.reading import read_lines
from runs.recorded import numbers


class Cost(NamedTuple):
    """Seconds on the clock, and of processor time; None if not recorded."""

    seconds: float | None
    processor_seconds: float | None


def cost_of(folder: Path) -> Cost:
    return added(read_lines(folder / "timing.jsonl"))


def added(parts: Iterable[Mapping[str, Any]]) -> Cost:
    """The sum of what is known; None if nothing is."""
    rows = list(parts)
    columns = [numbers(row.get(name) for row in rows) for name in Cost._fields]
    return Cost(*(sum(column) if column else None for column in columns))
