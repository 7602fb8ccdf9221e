"""`python -m nasbench201.build_table`: train every unique architecture on digits, for the embedded benchmark table.

It takes hours of one core. It can be interrupted at any time; the same command continues with what is missing.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

import tyro

from darts_pt.commands.command_line import run_command
from darts_pt.run.errors import UserError, in_range, positive
from darts_pt.run.files import Lock
from darts_pt.run.provenance import PROJECT_ROOT
from nasbench201.table import isomorphism
from nasbench201.table.lookup import DIGITS_TABLE, Table

Entry = tuple[int, int]
"""The number of an architecture, and a seed."""


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """Train every unique architecture of NAS-Bench-201 on digits and write the table of their accuracies.

    Run it again to continue after an interruption.
    """

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE")] = DIGITS_TABLE
    """The table to write; with --verify, the one to check."""
    results: Annotated[Path, tyro.conf.arg(aliases=["--partial"], metavar="FILE")] = (
        PROJECT_ROOT / "experiments" / "digits-table.jsonl"
    )
    """File that keeps the results until all are there."""
    workers: int = os.cpu_count() or 1
    """Processes, one core each."""
    seeds: int = 3
    """Trainings of each architecture."""
    minutes: float = 1e6
    """Stop after this many minutes."""
    verify: int = 0
    """Only train this many entries of the table again, and compare."""

    def __post_init__(self) -> None:
        in_range("verify", self.verify, 0, 10**6)
        for name in ("workers", "seeds", "minutes"):
            positive(name, getattr(self, name))


class ResultsFile:
    """The results so far, a file of JSON lines; the first is the training protocol."""

    def __init__(self, path: Path, protocol: dict[str, Any]) -> None:
        self.results: dict[Entry, list[float]] = {}
        lines = path.read_text().splitlines() if path.is_file() else []
        for position, line in enumerate(lines):
            try:
                content = json.loads(line)
            except ValueError:  # the last line of a run that was killed
                continue
            if position == 0 and content != protocol:
                raise UserError(
                    f"{path} holds results of another protocol: move it away, or give another --results file"
                )
            if position > 0:
                self.results |= {(int(number), content["seed"]): each for number, each in content["results"].items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a")
        if not lines:
            self._write(protocol)
        elif path.read_bytes()[-1:] != b"\n":
            self._file.write("\n")

    def add(self, entry: Entry, results: list[float]) -> None:
        """Write an entry's results to the disk."""
        self.results[entry] = results
        number, seed = entry
        self._write({"seed": seed, "results": {number: results}})

    def _write(self, content: dict[str, Any]) -> None:
        self._file.write(json.dumps(content) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def unique_numbers() -> list[int]:
    """The lowest number in each class of isomorphic architectures."""
    return sorted(set(isomorphism.representatives().tolist()))


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _train(entry: Entry) -> tuple[Entry, list[float]]:
    from nasbench201.digits_table.protocol import train_entry

    return entry, train_entry(*entry)


def _trained(entries: list[Entry], workers: int) -> Iterator[tuple[Entry, list[float]]]:
    if workers == 1:
        _one_thread()
        yield from map(_train, entries)
        return
    with multiprocessing.get_context("spawn").Pool(workers, _one_thread) as pool:
        yield from pool.imap_unordered(_train, entries)


def build(options: BuildOptions) -> None:
    """Train the missing entries, seed by seed, then write the table."""
    from nasbench201.digits_table.protocol import PROTOCOL

    with Lock(options.results.with_suffix(".lock"), f"the build in {options.results}"):
        done = ResultsFile(options.results, json.loads(json.dumps(PROTOCOL)))
        every = [(number, seed) for seed in range(options.seeds) for number in unique_numbers()]
        missing = [entry for entry in every if entry not in done.results]
        start = reported = time.monotonic()
        for count, (entry, results) in enumerate(_trained(missing, options.workers), start=1):
            done.add(entry, results)
            now = time.monotonic()
            if now - reported > 20 or count == len(missing):
                left = (now - start) / count * (len(missing) - count) / 60
                print(f"seed {entry[1]}: {count} of {len(missing)} trained, {left:.0f} minutes left", flush=True)
                reported = now
            if now - start > 60 * options.minutes and count < len(missing):
                print(f"stopped; the same command continues from {options.results}")
                return
        write(done.results, options.seeds, options.output)


def write(results: dict[Entry, list[float]], seeds: int, path: Path) -> None:
    """Write the table, one row per class of isomorphic architectures."""
    import numpy as np

    from darts_pt.run.provenance import versions
    from nasbench201.digits_table.protocol import PROTOCOL, RESULTS
    from nasbench201.table.file import ResultColumn, write_table

    numbers = np.array(unique_numbers())
    columns = {}
    for seed in range(seeds):
        values = dict(zip(RESULTS, np.array([results[number, seed] for number in numbers.tolist()]).T, strict=True))
        columns["digits/parameters"] = values.pop("parameters")
        for quantity, column in values.items():
            columns[ResultColumn("digits", PROTOCOL["epochs"], quantity, str(seed)).name] = column
    facts = {
        "source": "NAS-Bench-201-Digits, python -m nasbench201.build_table",
        "rows": "isomorphism classes",
        "protocol": PROTOCOL,
        "versions": versions(),
        "machine": {"platform": platform.platform(), "processor": _processor()},
        "date": datetime.now(timezone.utc).date().isoformat(),
    }
    write_table(path, numbers, columns, facts)
    print(f"{path}: {len(numbers)} architectures, {seeds} seeds, {path.stat().st_size / 2**20:.2f} MB")


def _processor() -> str:
    """The processor's name, where the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def verify(options: BuildOptions) -> None:
    """Train entries of the table again and print the differences."""
    import numpy as np

    from nasbench201.digits_table.protocol import RESULTS

    table = Table(options.output)
    unique = unique_numbers()
    chosen = np.random.default_rng(0).choice(unique, min(options.verify, len(unique)), replace=False)
    entries = [(number, place % len(table.seeds("digits"))) for place, number in enumerate(sorted(chosen.tolist()))]
    differences = []
    for (number, seed), results in _trained(entries, workers=1):
        again = results[RESULTS.index("test_accuracy")]
        known = table.values("digits", "test_accuracy", seed=str(seed))[number]
        differences.append(abs(again - known))
        architecture = isomorphism.architecture_at(number)
        print(f"{architecture}  seed {seed}: table {known:.2f} %, again {again:.2f} %", flush=True)
    print(
        f"{len(differences)} entries: equal {sum(value < 1e-6 for value in differences)}, mean difference "
        f"{np.mean(differences):.3f} points, largest {np.max(differences):.3f}; between seeds the standard deviation is "
        f"{table.noise('digits', 'test_accuracy') or float('nan'):.3f}"
    )


def main(options: BuildOptions) -> None:
    if options.verify > 0:
        verify(options)
    else:
        build(options)


if __name__ == "__main__":
    run_command(BuildOptions, main)
