"""The work of a Ray worker: running a job's command in a process of its own.

Ray repeats a task, here or on another node, when its worker or node is lost, or when :class:`Interrupted` is raised. What
has been done until then is in the experiment folder, and the command goes on from there (`Job.command`).
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
"""How long a run that is asked to stop may take to save itself."""
REMINDER_SECONDS = 60.0
"""A job that waits says so again after this time."""

State = Literal["done", "failed", "skipped"]
Say = Callable[[str], None]


class Interrupted(Exception):
    """The job's process was ended by a signal, not by itself: it is worth going on from its checkpoint."""


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        folder: its experiment.
        reason: why it failed or was skipped, in a line.
        seconds: that its last attempt took; 0 for a job that was done already.
    """

    job: str
    state: State
    folder: Path | None = None
    reason: str = ""
    seconds: float = 0.0


def run_job(job: Job, log: Path, cpus: float, gpus: float, needed: Sequence[Outcome], say: Say) -> Outcome:
    """Run a job to its end, unless it has come there already or what it needs is missing.

    Args:
        log: what its command prints is appended to this file.
        cpus, gpus: what it has been given.
        needed: how the jobs that it needs ended.
        say: is told of what the job is doing.

    Raises:
        Interrupted: its process was ended by a signal.
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
        if holder:  # Another job or run is at the same experiment, or the lost attempt is still saving itself.
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
        if not job.is_done and not (code == USER_ERROR_CODE and _holder(job.folder)):  # Else another was quicker.
            return ended("failed", _last_words(log) or f"its command ended with code {code}")
    return ended("done")


def _holder(folder: Path | None) -> str:
    """Who is at work in an experiment folder, in words; empty if nobody is."""
    lock = folder / ".lock" if folder is not None else None
    if lock is None or not lock.exists():
        return ""
    try:
        Lock(lock, f"the experiment {folder}").release()
    except UserError as error:
        return str(error).partition(";")[0]
    return ""


def _run(command: list[str], log: Path, cpus: float) -> int:
    """The command's exit code; below 0 if a signal ended it. If this process is asked to stop, the command is too."""
    log.parent.mkdir(parents=True, exist_ok=True)
    threads = str(max(1, int(cpus)))  # Said here, so that numbers do not depend on the node that a job lands on.
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
    """The error in the last lines of a log, or else the last of them."""
    text = log.read_text(encoding="utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()][-100:]
    told = [line for line in lines if line.startswith("error: ")]
    words = (told or lines or [""])[-1]
    return "" if words.startswith("--- ") else words.removeprefix("error: ")
