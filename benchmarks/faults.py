"""Kill real runs at random moments, resume them, and compare what they leave with an uninterrupted run, to the bit.

    python -m benchmarks.faults --runs N

Searches, selections and evaluation trainings on digits take turns. Each is killed with SIGKILL, up to three times, and
resumed by the same command with `--resume_epoch -1` (or `--dev_resume_epoch -1`), as a user would. The exit code is 1
if any file of any run differs.
"""

from __future__ import annotations

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

from darts_pt.options import positive, run_command

MOST_KILLS = 3
"""After so many kills a run may come to its end."""
SIZES = ["--dataset", "digits", "--gpu", "cpu", "--init_channels", "4"]
SEARCH = "search-darts-201-1-digits"
ARCHITECTURE = "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"


@dataclass(frozen=True, kw_only=True)
class FaultsOptions:
    """Kill runs with SIGKILL at random moments, resume them, compare them with uninterrupted ones."""

    runs: int = 12
    """How many runs are killed and resumed; searches, selections and trainings take turns."""
    seed: int = 0
    """Seed of the moments at which they are killed."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the figures here."""

    def __post_init__(self) -> None:
        positive("runs", self.runs)


@dataclass(frozen=True)
class Kind:
    """One kind of run: its command, the option that resumes it, and the folder it writes below the experiments'."""

    name: str
    command: list[str]
    resume: str
    folder: str
    prepared: bool = False
    """Whether it needs a search to start from."""


KINDS = (
    Kind(
        "search",
        ["search", *SIZES, "--batch_size", "64", "--epochs", "3", "--ckpt_interval", "1"],
        "--resume_epoch",
        f"nasbench201/{SEARCH}",
    ),
    Kind(
        "selection",
        ["select", "--gpu", "cpu", "--resume_expid", SEARCH, "--proj_intv", "1"],
        "--dev_resume_epoch",
        f"nasbench201/{SEARCH}/log_resume-3-pt-acc-seed-1-intv-1",
        prepared=True,
    ),
    Kind(
        "training",
        ["train", *SIZES, "--arch", ARCHITECTURE, "--epochs", "3", "--ckpt_interval", "1", "--batch_size", "64"],
        "--resume_epoch",
        "nasbench201/eval/digits-321104-1",
    ),
)


def start(command: list[str], root: Path, *more: str) -> BaseProcess:
    """The command in a process of its own, which inherits the imports; `more` are further arguments."""
    # Saving every few milliseconds puts many moments of writing in the way of the kills.
    arguments = [*command[1:], "--experiments", str(root), "--ckpt_minutes", "0.0005", *more]
    process = multiprocessing.get_context("fork").Process(target=_run, args=(command[0], arguments))
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
    from nasbench201 import projection, train, train_search
    from nasbench201.space import NasBench201SearchOptions, NasBench201SelectionOptions

    return {
        "search": (NasBench201SearchOptions, train_search.main),
        "select": (NasBench201SelectionOptions, projection.main),
        "train": (train.NasBench201TrainOptions, train.main),
    }


def left(folder: Path) -> dict[str, bytes]:
    """What must not depend on interruptions: checkpoints, genotype, metrics, and the summary without its seconds."""
    names = sorted(path.name for path in folder.glob("checkpoint_*.pth.tar"))
    found = {name: (folder / name).read_bytes() for name in [*names, "metrics.jsonl"]}
    if (folder / "genotype.json").is_file():
        found["genotype.json"] = (folder / "genotype.json").read_bytes()
    if (folder / "summary.json").is_file():
        summary = json.loads((folder / "summary.json").read_text())
        # The last epoch's training loss is not known to a run that was resumed after it.
        found["summary.json"] = json.dumps({**summary, "seconds": 0, "train_loss": 0}).encode()
    return found


def until_done(kind: Kind, root: Path, seconds: float, dice: random.Random) -> int:
    """Run, kill and resume until the run comes to its end; how many kills that took.

    Raises:
        RuntimeError: a run that was not killed failed.
    """
    kills, more = 0, []
    while True:
        process = start(kind.command, root, *more)
        process.join(None if kills >= MOST_KILLS else dice.uniform(0, seconds))
        if process.exitcode is not None:
            if process.exitcode != 0:
                raise RuntimeError(f"{kind.name} {' '.join(more)} ended with {process.exitcode}")
            return kills
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        kills += 1
        begun = list((root / kind.folder).glob("checkpoint_*.pth.tar"))
        more = [kind.resume, "-1"] if begun else ["--overwrite"]


def main(options: FaultsOptions) -> None:
    """The whole programme."""
    import torch

    torch.set_num_threads(1)
    dice = random.Random(options.seed)
    figures = {"runs": 0, "kills": 0, "mismatches": 0}
    with tempfile.TemporaryDirectory() as temporary:
        whole = Path(temporary) / "whole"
        seconds, expected = {}, {}
        for kind in KINDS:
            begin = time.perf_counter()
            until_done(kind, whole, 1e6, dice)
            seconds[kind.name] = time.perf_counter() - begin
            expected[kind.name] = left(whole / kind.folder)
        for number in range(options.runs):
            kind, root = KINDS[number % len(KINDS)], Path(temporary) / "killed"
            if kind.prepared:
                ignored = shutil.ignore_patterns("log_resume-*")
                shutil.copytree(whole / "nasbench201" / SEARCH, root / "nasbench201" / SEARCH, ignore=ignored)
            kills = until_done(kind, root, seconds[kind.name], dice)
            found = left(root / kind.folder)
            different = sorted(
                name for name in {*found, *expected[kind.name]} if found.get(name) != expected[kind.name].get(name)
            )
            figures["runs"] += 1
            figures["kills"] += kills
            figures["mismatches"] += bool(different)
            verdict = f"DIFFERS in {', '.join(different)}" if different else "identical"
            print(f"run {number + 1}/{options.runs}: {kind.name}, killed {kills} times: {verdict}", flush=True)
            shutil.rmtree(root)
    print(f"{figures['runs']} runs, {figures['kills']} kills survived, {figures['mismatches']} mismatches")
    if options.json:
        options.json.write_text(json.dumps(figures) + "\n")
    if figures["mismatches"]:
        sys.exit(1)


if __name__ == "__main__":
    run_command(FaultsOptions, main)
