"""Kill real runs at random moments, resume them, and compare what they leave with an uninterrupted run, to the bit.

    python -m benchmarks.faults --runs N

Searches, selections and evaluation trainings of NAS-Bench-201 and of S4 on digits take turns. Each is killed with
SIGKILL, up to ten times, and resumed by the same command with `--resume_epoch -1` (or `--dev_resume_epoch -1`), as a
user would. The exit code is 1 if any file of any run differs.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Annotated, Any

import tyro

from darts_pt.commands.command_line import parse, positive, run_command

MOST_KILLS = 10
"""After so many kills a run may come to its end."""
SIZES = ["--dataset", "digits", "--gpu", "cpu", "--init_channels", "4", "--batch_size", "128"]
SOTA_SIZES = ["--dataset", "digits", "--gpu", "cpu", "--init_channels", "2", "--layers", "3", "--batch_size", "256"]
SEARCH = "search-darts-201-1-digits"
SOTA_SEARCH = "search-darts-sota-s4-2"
"""S4 has the operation noise, which draws random numbers in every forward pass."""
ARCHITECTURE = "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"


@dataclass(frozen=True, kw_only=True)
class FaultsOptions:
    """Kill runs with SIGKILL at random moments, resume them, compare them with uninterrupted ones."""

    runs: int = 12
    """How many runs are killed and resumed; searches, selections and trainings of both spaces take turns."""
    minutes: float = 1e6
    """Begin no further run after so many minutes."""
    seed: int = 0
    """Seed of the moments at which they are killed."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the figures here, after every run."""

    def __post_init__(self) -> None:
        positive("runs", self.runs)
        positive("minutes", self.minutes)


@dataclass(frozen=True)
class Kind:
    """One kind of run: its command, the option that resumes it, and the folder it writes below the experiments'.

    Attributes:
        search: the folder of the search that it starts from, if any.
    """

    name: str
    command: list[str]
    resume: str
    folder: str
    search: str = ""


KINDS = (
    Kind(
        "201 search",
        [*SIZES, "--epochs", "2", "--ckpt_interval", "1"],
        "--resume_epoch",
        f"nasbench201/{SEARCH}",
    ),
    Kind(
        "201 selection",
        ["--gpu", "cpu", "--resume_expid", SEARCH, "--proj_intv", "1"],
        "--dev_resume_epoch",
        f"nasbench201/{SEARCH}/log_resume-2-pt-acc-seed-1-intv-1",
        f"nasbench201/{SEARCH}",
    ),
    Kind(
        "201 training",
        [*SIZES, "--arch", ARCHITECTURE, "--epochs", "3", "--ckpt_interval", "1"],
        "--resume_epoch",
        "nasbench201/eval/digits-321104-1",
    ),
    Kind(
        "sota search",
        [*SOTA_SIZES, "--space", "s4", "--epochs", "2", "--ckpt_interval", "1"],
        "--resume_epoch",
        f"sota/digits/{SOTA_SEARCH}",
    ),
    Kind(
        "sota selection",
        ["--gpu", "cpu", "--dataset", "digits", "--resume_expid", SOTA_SEARCH, "--proj_intv", "1", "--fast"],
        "--dev_resume_epoch",
        f"sota/digits/{SOTA_SEARCH}/log_resume-2-pt-acc-seed-2-intv-1",
        f"sota/digits/{SOTA_SEARCH}",
    ),
    Kind(
        "sota training",
        [*SOTA_SIZES, "--arch", "darts_pt_s4_1", "--epochs", "2", "--ckpt_interval", "1", "--cutout"],
        "--resume_epoch",
        "sota/digits/eval/eval-darts_pt_s4_1-2-cutout-16-1.0",
    ),
)


def start(kind: Kind, root: Path, *more: str) -> BaseProcess:
    """The run in a process of its own, which inherits what has been imported; `more` are further arguments."""
    # Saving every few milliseconds puts many moments of writing in the way of the kills.
    arguments = [*kind.command, "--experiments", str(root), "--ckpt_minutes", "0.0005", *more]
    process = multiprocessing.get_context("fork").Process(target=_run, args=(kind.name, arguments))
    process.start()
    return process


def _run(which: str, arguments: list[str]) -> None:
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    sys.argv[0] = which
    try:
        run_command(*_commands()[which], arguments)
    finally:
        sys.stdout.flush()


def _commands() -> dict[str, tuple[Any, Callable[..., object]]]:
    import sota.projection
    import sota.space
    import sota.train
    import sota.train_search
    from nasbench201 import projection, space, train, train_search

    return {
        "201 search": (space.NasBench201SearchOptions, train_search.main),
        "201 selection": (space.NasBench201SelectionOptions, projection.main),
        "201 training": (train.NasBench201TrainOptions, train.main),
        "sota search": (sota.space.SotaSearchOptions, sota.train_search.main),
        "sota selection": (sota.space.SotaSelectionOptions, sota.projection.main),
        "sota training": (sota.train.SotaTrainOptions, sota.train.main),
    }


def left(folder: Path) -> dict[str, bytes]:
    """What must not depend on interruptions: checkpoints, genotype, metrics, and the summary without its seconds."""
    names = sorted(path.name for path in folder.glob("checkpoint_*.pth.tar"))
    found = {name: (folder / name).read_bytes() for name in [*names, "metrics.jsonl"]}
    if (folder / "genotype.json").is_file():
        found["genotype.json"] = (folder / "genotype.json").read_bytes()
    if (folder / "summary.json").is_file():
        summary = json.loads((folder / "summary.json").read_text())
        found["summary.json"] = json.dumps({**summary, "seconds": 0}).encode()
    return found


def warm_up(root: Path) -> None:
    """Run a little of each space here, so that the processes to come need not import and set up anything."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        for kind in KINDS:
            options_type, main = _commands()[kind.name]
            more = [] if kind.search else ["--epochs", "1"]
            main(parse(options_type, [*kind.command, "--fast", *more, "--experiments", str(root)], kind.name))
    shutil.rmtree(root)


@dataclass
class Kills:
    """How often a run was killed, and how often while it was writing a file: the half of it was there then."""

    all: int = 0
    while_writing: int = 0


def until_done(kind: Kind, root: Path, seconds: float, dice: random.Random) -> Kills:
    """Run, kill and resume until the run comes to its end.

    Args:
        seconds: what the run takes undisturbed.

    Raises:
        RuntimeError: a run that was not killed failed.
    """
    kills, more = Kills(), []
    while True:
        process = start(kind, root, *more)
        process.join(None if kills.all >= MOST_KILLS else dice.uniform(0, 0.3 * seconds))
        if process.exitcode is not None:
            if process.exitcode != 0:
                raise RuntimeError(f"{kind.name} {' '.join(more)} ended with {process.exitcode}")
            return kills
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        kills.all += 1
        kills.while_writing += bool(list((root / kind.folder).glob(".*.tmp")))
        begun = list((root / kind.folder).glob("checkpoint_*.pth.tar"))
        more = [kind.resume, "-1"] if begun else ["--overwrite"]


def main(options: FaultsOptions) -> None:
    """The whole programme."""
    import torch

    torch.set_num_threads(1)
    dice, begin = random.Random(options.seed), time.perf_counter()
    figures: dict[str, Any] = {"runs": 0, "kills": 0, "kills_while_writing": 0, "mismatches": 0, "by_kind": {}}
    with tempfile.TemporaryDirectory() as temporary:
        warm_up(Path(temporary) / "warm")
        whole = Path(temporary) / "whole"
        seconds, expected = {}, {}
        for kind in KINDS:
            start_of_run = time.perf_counter()
            until_done(kind, whole, 1e6, dice)
            seconds[kind.name] = time.perf_counter() - start_of_run
            expected[kind.name] = left(whole / kind.folder)
            print(f"undisturbed: {kind.name}, {seconds[kind.name]:.1f} s, {len(expected[kind.name])} files", flush=True)
        for number in range(options.runs):
            if time.perf_counter() - begin > 60 * options.minutes:
                break
            kind, root = KINDS[number % len(KINDS)], Path(temporary) / "killed"
            if kind.search:
                shutil.copytree(whole / kind.search, root / kind.search, ignore=shutil.ignore_patterns("log_resume-*"))
            kills = until_done(kind, root, seconds[kind.name], dice)
            different = _differences(left(root / kind.folder), expected[kind.name])
            count = figures["by_kind"].setdefault(kind.name, {"runs": 0, "kills": 0, "mismatches": 0})
            for counted in (figures, count):
                counted["runs"] += 1
                counted["kills"] += kills.all
                counted["mismatches"] += bool(different)
            figures["kills_while_writing"] += kills.while_writing
            verdict = f"DIFFERS in {', '.join(different)}" if different else "identical"
            print(f"run {number + 1}/{options.runs}: {kind.name}, killed {kills.all} times: {verdict}", flush=True)
            if options.json:
                options.json.write_text(json.dumps(figures) + "\n")
            shutil.rmtree(root)
    for name, count in figures["by_kind"].items():
        print(f"{name}: {count['runs']} runs, {count['kills']} kills, {count['mismatches']} mismatches")
    print(
        f"{figures['runs']} runs, {figures['kills']} kills survived ({figures['kills_while_writing']} of them while a "
        f"file was being written), {figures['mismatches']} mismatches"
    )
    if figures["mismatches"]:
        sys.exit(1)


def _differences(found: dict[str, bytes], expected: dict[str, bytes]) -> list[str]:
    """The files that are not in both alike."""
    return sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))


if __name__ == "__main__":
    run_command(FaultsOptions, main)
