"""The cost of runs: wall seconds, and processor seconds of all threads.

Every run records them line by line (timing.jsonl), but not its setting up and its last drawings. paper.sh counts whole
runs, and keeps the counts beside the experiments; where it has none, as of runs that other commands made, or was killed
before it could write, timing.jsonl's are the larger and count.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from runs.reading import read_lines
from runs.recorded import numbers

FILE = "paper_costs.jsonl"
"""In the folder of the experiments; a line per run that was made, or gone on with."""


class Cost(NamedTuple):
    """Seconds on the clock, and of processor time; None where nobody has counted them."""

    seconds: float | None
    processor_seconds: float | None


@contextmanager
def counted(experiments: Path, folder: Callable[[], Path | None]) -> Iterator[None]:
    """Adds what happens in a `with` statement to the cost of the run in `folder`, whether it ends well or not."""
    began = time.perf_counter(), time.process_time()
    try:
        yield
    finally:
        spent = Cost(time.perf_counter() - began[0], time.process_time() - began[1])
        there = folder()
        if there is not None:
            seconds = {key: round(value, 3) for key, value in spent._asdict().items()}
            experiments.mkdir(parents=True, exist_ok=True)
            with (experiments / FILE).open("a", encoding="utf-8") as file:
                file.write(json.dumps({"run": name_of(there, experiments), **seconds}) + "\n")


def name_of(folder: Path, experiments: Path) -> str:
    """A run's name in the costs: its path below the experiments."""
    return folder.resolve().relative_to(experiments.resolve()).as_posix()


def costs(folders: Iterable[Path], experiments: Path) -> dict[str, Cost]:
    """Name of each run -> what it cost."""
    counts = read_lines(experiments / FILE)
    found = {}
    for folder in folders:
        name = name_of(folder, experiments)
        counted_here = added(line for line in counts if line.get("run") == name)
        recorded = added(read_lines(folder / "timing.jsonl"))
        found[name] = Cost(*(max(numbers(pair), default=None) for pair in zip(counted_here, recorded, strict=True)))
    return found


def added(parts: Iterable[Mapping[str, Any]]) -> Cost:
    """The sum of what is known; None where nothing is."""
    rows = list(parts)
    columns = [numbers(row.get(name) for row in rows) for name in Cost._fields]
    return Cost(*(sum(column) if column else None for column in columns))
