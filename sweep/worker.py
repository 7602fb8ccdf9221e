"""The work of a Ray worker: run a job's command in its own process.

Ray repeats a task, here or on another node, if its worker or node is lost or :class:`Interrupted` is raised. The experiment
folder holds what was done before, and the command continues from there (`Job.command`).
"""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from darts_pt.commands.command_line import USER_ERROR_CODE
from darts_pt.run.errors import UserError
from darts_pt.run.files import Lock
from darts_pt.run.provenance import PROJECT_ROOT
from sweep.jobs import Job

POLL_SECONDS = 0.2
GRACE_SECONDS = 60.0
"""Time for a run to save itself after it is asked to stop."""
REMINDER_SECONDS = 60.0
"""A waiting job reports again after this time."""

State = Literal["done", "failed", "skipped"]
Say = Callable[[str], None]


class Interrupted(Exception):
    """A signal ended the job's process; the job can continue from its checkpoint."""


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        folder: its experiment.
        reason: why it failed or was skipped, in one line.
        seconds: of its last attempt; 0 if the job was already done.
    """

    job: str
    state: State
    folder: Path | None = None
    reason: str = ""
    seconds: float = 0.0


def run_job(job: Job, log: Path, cpus: float, gpus: float, needed: Sequence[Outcome], say: Say) -> Outcome:
    """Run a job to its end, unless it is done already or a job that it needs has not succeeded.

    Args:
        log: the output of its command is appended to this file.
        cpus, gpus: the job's resources.
        needed: the outcomes of the jobs that it needs.
        say: called with messages about the job.

    Raises:
        Interrupted: a signal ended its process.
    """
    made = [outcome.folder for outcome in needed if outcome.state == "done" and outcome.folder is not None]
    missing = [outcome for outcome in needed if outcome.state != "done"]
    if missing and (job.stage != "report" or not made):
        return Outcome(job.name, "skipped", reason=f"{missing[0].job} {missing[0].state}")
    start = time.monotonic()

    def ended(state: State, reason: str = "") -> Outcome:
        return Outcome(job.name, state, job.folder, reason, time.monotonic() - start)

    said, at = "", start
    while not job.is_done:
        holder = _holder(job.folder)
        if holder:  # Another run uses the experiment, or the lost attempt is still saving itself.
            now = time.monotonic()
            if holder != said or now >= at + REMINDER_SECONDS:
                say(f"{holder}, {(now - start) / 60:.0f} min so far" if holder == said else holder)
                said, at = holder, now
            time.sleep(5 * POLL_SECONDS)
            continue
        code = _run(job.command(gpus > 0, list(dict.fromkeys(made))), log, cpus)
        if code == 0 and job.stage == "report":
            break
        if code < 0 or code in (128 + signal.SIGTERM, 128 + signal.SIGINT):
            number = -code if code < 0 else code - 128
            raise Interrupted(f"{job.name} was ended by {signal.Signals(number).name}")
        was_slower = code == USER_ERROR_CODE and _holder(job.folder)  # Another run got the experiment first.
        if not job.is_done and not was_slower:
            return ended("failed", _last_words(log) or f"its command ended with code {code}")
    return ended("done")


def _holder(folder: Path | None) -> str:
    """The process that uses an experiment folder, in words; empty if none does."""
    lock = folder / ".lock" if folder is not None else None
    if lock is None or not lock.exists():
        return ""
    try:
        Lock(lock, f"the experiment {folder}").release()
    except UserError as error:
        return str(error).partition(";")[0]
    return ""


def _run(command: list[str], log: Path, cpus: float) -> int:
    """The command's exit code; negative if a signal ended it. A request to stop is passed on to the command."""
    log.parent.mkdir(parents=True, exist_ok=True)
    threads = str(max(1, int(cpus)))  # Set here, so that numbers do not depend on the node.
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "PYTHONUNBUFFERED": "1"}
    with log.open("ab") as file:
        head = f"--- {datetime.now().isoformat(timespec='seconds')} on {platform.node()}: {' '.join(command[1:])}\n"
        file.write(head.encode())
        file.flush()
        command = [sys.executable, "-m", "sweep.stops_with_parent", str(os.getpid()), *command]
        process = subprocess.Popen(
            command, cwd=PROJECT_ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
        try:
            while process.poll() is None:
                time.sleep(POLL_SECONDS)
        except BaseException:  # Ray cancels a task by KeyboardInterrupt.
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_SECONDS)
            process.kill()
            process.wait()
            raise
    return process.returncode


def _last_words(log: Path) -> str:
    """The error message in the last lines of a log, or else the last line."""
    text = log.read_text(encoding="utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()][-100:]
    told = [line for line in lines if line.startswith("error: ")]
    words = (told or lines or [""])[-1]
    return "" if words.startswith("--- ") else words.removeprefix("error: ")
