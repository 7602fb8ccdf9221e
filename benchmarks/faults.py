"""Kill real runs at random moments, resume them, and compare their files bit by bit with those of an uninterrupted run.

    python -m benchmarks.faults --runs N
    python -m benchmarks.faults --watch MINUTES

Searches, selections and evaluation trainings of NAS-Bench-201 and of S4 on digits take turns. Each is killed with
SIGKILL, up to ten times, and resumed by the same command with `--resume_epoch -1` (or `--dev_resume_epoch -1`), as a
user would. The exit code is 1 if any file of any run differs.

With --watch nothing is killed: one process makes short runs one after another, then one long search, and checks whether its
memory, tensors, open files or threads grow. The exit code is 1 if they do.
"""

from __future__ import annotations

import contextlib
import gc
import json
import multiprocessing
import os
import random
import runpy
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import tyro

from darts_pt.commands.command_line import run_command
from darts_pt.run.errors import positive

MOST_KILLS = 10
"""A run is killed at most this often."""
SIZES = ("--dataset", "digits", "--gpu", "cpu", "--init_channels", "4", "--batch_size", "128", "--ckpt_interval", "1")
SOTA_SIZES = (*SIZES, "--init_channels", "2", "--layers", "3", "--batch_size", "256")
SEARCH = "search-darts-201-1-digits"
SOTA_SEARCH = "search-darts-sota-s4-2"
"""S4 has the operation noise, which draws random numbers in every forward pass."""
ARCHITECTURE = "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"


@dataclass(frozen=True, kw_only=True)
class FaultsOptions:
    """Kill runs with SIGKILL at random moments, resume them, compare them with uninterrupted ones."""

    runs: int = 12
    """Number of runs to kill and resume; searches, selections and trainings of both spaces take turns."""
    minutes: float = 1e6
    """Start no further run after this time."""
    seed: int = 0
    """Seed of the moments of the kills."""
    watch: Annotated[float, tyro.conf.arg(metavar="MINUTES")] = 0.0
    """Kill nothing: watch memory, tensors, open files and threads of one process for this time."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the figures here, after every run."""

    def __post_init__(self) -> None:
        positive("runs", self.runs)
        positive("minutes", self.minutes)


class Kind(NamedTuple):
    """A kind of run: module, arguments, the option that resumes it, its folder, and the search it needs."""

    module: str
    arguments: tuple[str, ...]
    resume: str
    folder: str
    search: str = ""


KINDS = (
    Kind("nasbench201.train_search", (*SIZES, "--epochs", "2"), "--resume_epoch", f"nasbench201/{SEARCH}"),
    Kind("nasbench201.projection", ("--gpu", "cpu", "--resume_expid", SEARCH, "--proj_intv", "1"), "--dev_resume_epoch",
         f"nasbench201/{SEARCH}/log_resume-2-pt-acc-seed-1-intv-1", f"nasbench201/{SEARCH}"),
    Kind("nasbench201.train", (*SIZES, "--arch", ARCHITECTURE, "--epochs", "3"), "--resume_epoch",
         "nasbench201/eval/digits-321104-1"),
    Kind("sota.train_search", (*SOTA_SIZES, "--space", "s4", "--epochs", "2"), "--resume_epoch",
         f"sota/digits/{SOTA_SEARCH}"),
    Kind("sota.projection", ("--gpu", "cpu", "--dataset", "digits", "--resume_expid", SOTA_SEARCH, "--proj_intv", "1",
         "--fast"), "--dev_resume_epoch", f"sota/digits/{SOTA_SEARCH}/log_resume-2-pt-acc-seed-2-intv-1-fast",
         f"sota/digits/{SOTA_SEARCH}"),
    Kind("sota.train", (*SOTA_SIZES, "--arch", "darts_pt_s4_1", "--epochs", "2", "--cutout"), "--resume_epoch",
         "sota/digits/eval/eval-darts_pt_s4_1-2-cutout-16-1.0"),
)  # fmt: skip


def run_here(kind: Kind, root: Path, *more: str) -> None:
    """Do what `python -m` does with the kind's arguments and `more`, in this process and silently."""
    sys.argv = [kind.module, *kind.arguments, *more, "--experiments", str(root)]
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        runpy.run_module(kind.module, run_name="__main__", alter_sys=True)


def results_in(folder: Path) -> dict[str, bytes]:
    """The files that interruptions must not change: checkpoints, genotype, metrics, and the summary except its seconds."""
    names = {path.name for path in folder.glob("checkpoint_*.pth.tar")} | {"metrics.jsonl", "genotype.json"}
    found = {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}
    if (folder / "summary.json").is_file():
        summary = json.loads((folder / "summary.json").read_text())
        found["summary.json"] = json.dumps({**summary, "seconds": 0}).encode()
    return found


# Killing ---------------------------------------------------------------------------------------------------------


class Kills(NamedTuple):
    """How often a run was killed, and how often while writing a file, which leaves a part of it."""

    all: int
    while_writing: int


def until_done(kind: Kind, root: Path, seconds: float, dice: random.Random) -> Kills:
    """Run, kill and resume until the run is complete.

    Args:
        seconds: duration of an uninterrupted run.

    Raises:
        RuntimeError: a run that was not killed failed.
    """
    kills, writing, more = 0, 0, ()
    while True:
        process = start(kind, root, *more)
        process.join(None if kills >= MOST_KILLS else dice.uniform(0, 0.3 * seconds))
        if process.exitcode is not None:
            if process.exitcode != 0:
                raise RuntimeError(f"{kind.module} {' '.join(more)} ended with {process.exitcode}")
            return Kills(kills, writing)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        kills += 1
        writing += any((root / kind.folder).glob(".*.tmp"))
        begun = any((root / kind.folder).glob("checkpoint_*.pth.tar"))
        more = (kind.resume, "-1") if begun else ("--overwrite",)


def start(kind: Kind, root: Path, *more: str) -> BaseProcess:
    """Start the run in a process of its own, which inherits the imported modules."""
    # It saves every few milliseconds, so that kills often hit a moment of writing.
    arguments = (kind, root, "--ckpt_minutes", "0.0005", *more)
    process = multiprocessing.get_context("fork").Process(target=run_here, args=arguments)
    process.start()
    return process


def kill_and_compare(options: FaultsOptions, temporary: Path) -> bool:
    """Make every kind of run uninterrupted, then kill and resume such runs; True if all are identical."""
    dice, begin = random.Random(options.seed), time.perf_counter()
    for kind in KINDS:  # A little of each, so that later processes inherit all imports.
        run_here(kind, temporary / "warm", *(() if kind.search else ("--epochs", "1")))
    whole, seconds, expected = temporary / "whole", {}, {}
    for kind in KINDS:
        started = time.perf_counter()
        until_done(kind, whole, 1e6, dice)
        seconds[kind.module] = time.perf_counter() - started
        expected[kind.module] = results_in(whole / kind.folder)
        print(f"undisturbed: {kind.module}, {seconds[kind.module]:.1f} s", flush=True)
    total = {"runs": 0, "kills": 0, "kills_while_writing": 0, "mismatches": 0}
    figures: dict[str, dict[str, int]] = {kind.module: dict(total) for kind in KINDS} | {"all": total}
    for number in range(options.runs):
        if time.perf_counter() - begin > 60 * options.minutes:
            break
        kind, root = KINDS[number % len(KINDS)], temporary / "killed"
        if kind.search:
            shutil.copytree(whole / kind.search, root / kind.search, ignore=shutil.ignore_patterns("log_resume-*"))
        kills = until_done(kind, root, seconds[kind.module], dice)
        found, wanted = results_in(root / kind.folder), expected[kind.module]
        different = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
        for count in (total, figures[kind.module]):
            for name, value in zip(count, (1, *kills, bool(different)), strict=True):
                count[name] += value
        verdict = f"DIFFERS in {', '.join(different)}" if different else "identical"
        print(f"run {number + 1}/{options.runs}: {kind.module}, killed {kills.all} times: {verdict}", flush=True)
        if options.json:
            options.json.write_text(json.dumps(figures) + "\n")
        shutil.rmtree(root)
    for name, count in figures.items():
        print(f"{name}: " + ", ".join(f"{value} {what.replace('_', ' ')}" for what, value in count.items()))
    return total["mismatches"] == 0


# Watching --------------------------------------------------------------------------------------------------------

ALLOWED_GROWTH = {"memory in MiB": 0.02, "tensors": 0.02, "open files": 0.0, "threads": 0.0}
"""Quantity -> largest growth, relative to its level, that counts as none."""
LOOK_EVERY = 2.0
"""Seconds between samples of the long search."""
Samples = list[dict[str, float]]


def sample() -> dict[str, float]:
    """The current resources of this process; tensors are counted after a garbage collection."""
    import torch

    pages = int(Path("/proc/self/statm").read_text().split()[1])
    gc.collect()
    tensors = sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())
    memory, files = pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(os.listdir("/proc/self/fd")) - 1
    return dict(zip(ALLOWED_GROWTH, (memory, tensors, files, threading.active_count()), strict=True))


def short_runs(root: Path, seconds: float) -> Samples:
    """Repeat all kinds of runs, with a sample after each round."""
    samples: Samples = []
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds or len(samples) < 4:
        for kind in KINDS:
            run_here(kind, root, "--overwrite")
        samples.append(sample())
    return samples


def long_search(root: Path, seconds: float) -> Samples:
    """Search until the time is over, with samples as epochs are recorded, since tensors vary within a step."""
    from darts_pt.run.experiment import Experiment

    samples: Samples = []
    record, begin = Experiment.record, time.perf_counter()

    def look(*arguments: Any, **named: Any) -> None:
        record(*arguments, **named)
        passed = time.perf_counter() - begin
        if passed >= LOOK_EVERY * len(samples):
            samples.append(sample())
        if passed >= seconds and len(samples) >= 4:
            signal.raise_signal(signal.SIGTERM)

    Experiment.record = look  # type: ignore[method-assign]
    try:
        with contextlib.suppress(SystemExit), open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
            run_here(KINDS[0], root, "--epochs", "1000000", "--keep", "2", "--expid_tag", "long")
    finally:
        Experiment.record = record  # type: ignore[method-assign]
    return samples


def grows(samples: Sequence[dict[str, float]]) -> bool:
    """Print level and growth of every quantity from the second quarter of the samples to the last; True if one grows.

    The first quarter is left out, since caches fill. The lowest value of a quarter counts.
    """
    quarter, growing = len(samples) // 4, False
    for name, share in ALLOWED_GROWTH.items():
        values = [one[name] for one in samples]
        before, after = (min(part) for part in (values[quarter : 2 * quarter], values[-quarter:]))
        too_much = after - before > share * before
        growing |= too_much
        print(f"  {name:13}  {before:8.1f} {after - before:+8.1f}{'   GROWS' * too_much}")
    return growing


def watch(options: FaultsOptions, temporary: Path) -> bool:
    """Watch short runs for half of the time and one long search for the other half; True if nothing grows."""
    figures: dict[str, Samples] = {}
    for name, work in (("short runs", short_runs), ("one search", long_search)):
        figures[name] = work(temporary / name, 30 * options.watch)
        if options.json:
            options.json.write_text(json.dumps(figures) + "\n")
    growing = False
    for name, samples in figures.items():
        print(f"{name}, {len(samples)} samples: level, growth")
        growing |= grows(samples)
    return not growing


def main(options: FaultsOptions) -> None:
    """Kill and compare, or watch."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        good = (watch if options.watch else kill_and_compare)(options, Path(temporary))
    if not good:
        sys.exit(1)


if __name__ == "__main__":
    run_command(FaultsOptions, main)
