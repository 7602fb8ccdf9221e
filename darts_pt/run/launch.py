"""Restart a command as several processes on this machine with torchrun, keeping our messages and exit codes."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from darts_pt.run.processes import LOST, launch

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

_AGENT = "DARTS_PT_AGENT"
"""Set in the environment of processes that :func:`run_as_ranks` has started."""


def run_as_ranks(module: str, argv: Sequence[str], processes: int, max_restarts: int) -> int:
    """Run `python -m module argv` in several connected processes; returns the exit code.

    Args:
        max_restarts: how often all processes are restarted after one has failed.
    """
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)  # It prints a page about each failure.
    os.environ[_AGENT] = "1"
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    with tempfile.TemporaryDirectory() as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id=str(uuid.uuid4()),
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=max_restarts,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
        )
        try:
            elastic_launch(config, sys.executable)("-m", module, *argv)
        except ChildFailedError as error:
            message, code = first_failure(error.failures.values())
            if message:
                print(f"error: {message}", file=sys.stderr)
            return code
        except SignalException as stop:
            return 128 + int(stop.sigval)
    return 0


def first_failure(failures: Iterable[ProcessFailure]) -> tuple[str, int]:
    """The message about failed processes and the exit code; no message if a process printed a traceback."""
    # A process that lost its connection to another is less informative than that other one.
    failure = min(failures, key=lambda failure: (failure.message == LOST, failure.timestamp))
    if failure.exitcode < 0:
        name = signal.Signals(-failure.exitcode).name
        return f"a process of the run was ended by {name}; {LOST.rpartition('; ')[2]}", 128 - failure.exitcode
    return failure.message if Path(failure.error_file).is_file() else "", failure.exitcode


def leave_to_agent(message: str) -> bool:
    """Pass the error of this process to torchrun's agent; returns True if the process itself need not print it.

    :func:`run_as_ranks` prints it once for all processes. torchrun shows it on its page; then the first process prints it
    too.
    """
    place, path = launch(), os.environ.get("TORCHELASTIC_ERROR_FILE")
    if place is None or path is None:
        return False
    Path(path).write_text(json.dumps({"message": message, "timestamp": int(time.time())}), encoding="utf-8")
    return place.rank > 0 or _AGENT in os.environ
