"""`python -m nasbench201.build_table`: train every unique architecture on digits, for the embedded benchmark table.

It takes hours of one core. Interrupt it whenever you like: what is trained is kept, and the same command goes on.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

import tyro

from darts_pt.commands.command_line import in_range, positive, run_command
from darts_pt.run.errors import UserError
from darts_pt.run.files import Lock
from darts_pt.run.provenance import PROJECT_ROOT
from nasbench201.table import isomorphism
from nasbench201.table.lookup import DIGITS_TABLE

TOGETHER = 12
"""Networks trained side by side."""

Chunk = tuple[int, list[int]]
"""A seed and the numbers of the architectures to train with it."""


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """Train every unique architecture of NAS-Bench-201 on digits and write the table of their accuracies.

    What is already trained is not trained again. --verify trains some entries anew instead, one by one.
    """

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE")] = DIGITS_TABLE
    """The table to write; to --verify, the one to check."""
    partial: Annotated[Path, tyro.conf.arg(metavar="FILE")] = PROJECT_ROOT / "experiments" / "digits-table.jsonl"
    """Where results are kept until all are there."""
    workers: int = os.cpu_count() or 1
    """Processes; each keeps one core busy."""
    seeds: int = 3
    """Trainings of each architecture."""
    minutes: float = 1e6
    """Stop after so many minutes; the same command goes on later."""
    verify: int = 0
    """Train so many entries again, each alone by darts_pt/evaluation.py, and compare; nothing is written."""

    def __post_init__(self) -> None:
        in_range("verify", self.verify, 0, 10**6)
        for name in ("workers", "seeds", "minutes"):
            positive(name, getattr(self, name))


class Partial:
    """Results so far: a file of one JSON object per chunk, the first line says how they were trained."""

    def __init__(self, path: Path, protocol: dict[str, Any]) -> None:
        self.path = path
        self.results: dict[tuple[int, int], list[float]] = {}  # (seed, number) -> as in RESULTS
        lines = path.read_text().splitlines() if path.is_file() else []
        for position, line in enumerate(lines):
            try:
                content = json.loads(line)
            except ValueError:  # the last line of a run that was killed
                continue
            if position == 0 and content != protocol:
                raise UserError(f"{path} holds results of another protocol: move it away, or give another --partial")
            if position > 0:
                for number, values in content["results"].items():
                    self.results[content["seed"], int(number)] = values
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a")
        if not lines:
            self._write(protocol)
        elif path.read_bytes()[-1:] != b"\n":
            self._file.write("\n")

    def add(self, seed: int, results: dict[int, list[float]]) -> None:
        """Keep a chunk's results; they are on the disk when this returns."""
        self.results.update({(seed, number): values for number, values in results.items()})
        self._write({"seed": seed, "results": results})

    def _write(self, content: dict[str, Any]) -> None:
        self._file.write(json.dumps(content) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


RESULTS = ("train_accuracy", "valid_accuracy", "valid_loss", "test_accuracy", "test_loss", "seconds", "parameters")


def pending(done: Partial, seeds: int) -> list[Chunk]:
    """What is still to be trained, one seed after the other, so that a part of the work is a table of fewer seeds."""
    unique = sorted(set(isomorphism.representatives().tolist()))
    chunks: list[Chunk] = []
    for seed in range(seeds):
        missing = [number for number in unique if (seed, number) not in done.results]
        chunks += [(seed, missing[start : start + TOGETHER]) for start in range(0, len(missing), TOGETHER)]
    return chunks


_shared: list[Any] = []


def _start_worker() -> None:
    import torch

    from nasbench201.digits_table.protocol import digits

    torch.set_num_threads(1)
    _shared[:] = digits()


def train_chunk(chunk: Chunk) -> tuple[int, dict[int, list[float]]]:
    """Train a chunk; seed, and architecture -> results in the order of :data:`RESULTS`."""
    from darts_pt.complexity import count_parameters
    from nasbench201.digits_table.protocol import TRAINING, initial_networks
    from nasbench201.digits_table.side_by_side import SideBySideTraining, train_side_by_side

    seed, numbers = chunk
    if not _shared:
        _start_worker()
    data, valid = _shared
    networks, generators = initial_networks(numbers, seed)
    outcomes, seconds = train_side_by_side(SideBySideTraining(networks, data, generators, TRAINING), valid)
    return seed, {
        number: [*asdict(outcome).values(), seconds / len(numbers), count_parameters(network)]
        for number, outcome, network in zip(numbers, outcomes, networks, strict=True)
    }


def _trained(chunks: list[Chunk], workers: int) -> Iterator[tuple[int, dict[int, list[float]]]]:
    if workers == 1:
        yield from map(train_chunk, chunks)
        return
    with multiprocessing.get_context("spawn").Pool(workers, _start_worker) as pool:
        yield from pool.imap_unordered(train_chunk, chunks)


def build(options: BuildOptions) -> None:
    """Train what is missing, then write the table."""
    from nasbench201.digits_table.protocol import PROTOCOL

    with Lock(options.partial.with_suffix(".lock"), f"the build in {options.partial}"):
        done = Partial(options.partial, json.loads(json.dumps(PROTOCOL)))
        chunks = pending(done, options.seeds)
        start = said = time.monotonic()
        for count, (seed, results) in enumerate(_trained(chunks, options.workers), start=1):
            done.add(seed, results)
            now = time.monotonic()
            if now - said > 20 or count == len(chunks):
                left = (now - start) / count * (len(chunks) - count) / 60
                print(f"seed {seed}: {count} of {len(chunks)} chunks trained, {left:.0f} minutes left", flush=True)
                said = now
            if now - start > 60 * options.minutes and count < len(chunks):
                print(f"stopped; the same command goes on with {options.partial}")
                return
        write(done, options.seeds, options.output)


def write(done: Partial, seeds: int, path: Path) -> None:
    """Write the table: a row for the lowest number of each class of isomorphic architectures."""
    import numpy as np

    from darts_pt.run.provenance import versions
    from nasbench201.digits_table.protocol import PROTOCOL
    from nasbench201.table.file import MEAN, ResultColumn, write_table

    numbers = sorted(set(isomorphism.representatives().tolist()))
    values = np.array([[done.results[seed, number] for number in numbers] for seed in range(seeds)])
    columns = {"digits/parameters": values[0, :, RESULTS.index("parameters")]}
    for position, quantity in enumerate(RESULTS[:-1]):
        for seed in range(seeds):
            name = ResultColumn("digits", PROTOCOL["epochs"], quantity, str(seed)).name
            columns[name] = values[seed, :, position]
        columns[ResultColumn("digits", PROTOCOL["epochs"], quantity, MEAN).name] = values[:, :, position].mean(axis=0)
    facts = {
        "source": "NAS-Bench-201-Digits, python -m nasbench201.build_table",
        "rows": "isomorphism classes",
        "protocol": PROTOCOL,
        "versions": versions(),
        "machine": {"platform": platform.platform(), "processor": _processor()},
        "date": datetime.now(timezone.utc).date().isoformat(),
    }
    write_table(path, [isomorphism.architecture_at(number) for number in numbers], columns, facts)
    print(f"{path}: {len(numbers)} architectures, {seeds} seeds, {path.stat().st_size / 2**20:.2f} MB")


def _processor() -> str:
    """The processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def verify(options: BuildOptions) -> None:
    """Train entries again, each alone, and say how far they are off."""
    import tempfile

    import numpy as np

    from darts_pt.evaluation import NetworkTraining, train_network
    from darts_pt.run.device import Generators
    from darts_pt.run.experiment import Experiment
    from darts_pt.run.saver import Saver
    from nasbench201.digits_table.protocol import TRAINING, digits, initial_network
    from nasbench201.table.lookup import Table

    table = Table(options.output)
    data, _ = digits()
    unique = np.unique(isomorphism.representatives())
    chosen = np.random.default_rng(0).choice(unique, min(options.verify, len(unique)), replace=False)
    differences = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Experiment(Path(folder) / "verify", {}, tensorboard=False) as experiment,
    ):
        level = experiment.log.level
        experiment.log.setLevel(logging.WARNING)  # a line per entry is enough
        for position, number in enumerate(sorted(chosen.tolist())):
            seed = position % len(table.seeds("digits"))
            generators = Generators(seed, "cpu")
            training = NetworkTraining(initial_network(number, generators), data, generators, TRAINING)
            with Saver(training, experiment, "--resume_epoch") as saver:
                summary = train_network(training, experiment, saver, TRAINING.epochs, report_freq=10**6)
            again = summary["test_accuracy"]
            entry = table.values("digits", "test_accuracy", seed=str(seed))[number]
            differences.append(again - entry)
            architecture = isomorphism.architecture_at(number)
            print(f"{architecture}  seed {seed}: table {entry:.2f} %, again {again:.2f} %", flush=True)
        experiment.log.setLevel(level)
    print(
        f"{len(differences)} entries: equal {sum(abs(value) < 1e-6 for value in differences)}, mean difference "
        f"{np.mean(np.abs(differences)):.3f} points, largest {np.max(np.abs(differences)):.3f}; between seeds the "
        f"standard deviation is {table.noise('digits', 'test_accuracy') or float('nan'):.3f}"
    )


def main(options: BuildOptions) -> None:
    """Build, or verify."""
    if options.verify > 0:
        verify(options)
    else:
        build(options)


if __name__ == "__main__":
    run_command(BuildOptions, main)
