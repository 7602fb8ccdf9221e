"""The experiment folder and all files in it except the checkpoints.

log.txt                         the run's log
metrics.jsonl                   the run's numbers, one JSON object per line
timing.jsonl                    seconds, processor seconds and memory for each of those lines
config.json                     options, seed, versions, git commit, device, command line
runs/                           TensorBoard
scripts/                        a copy of the code that ran
checkpoint_{epoch}.pth.tar      see checkpoint.py
log_resume-….txt, log_resume-…/ a selection from this supernet: its log, and all its other files
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import resource
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from darts_pt.run.config import PROJECT, as_json, is_experiment
from darts_pt.run.errors import ArgumentError, UserError
from darts_pt.run.files import Lock, UnbufferedFile, atomic_write, read_json
from darts_pt.run.logs import Logs, Progress, SilentProgress
from darts_pt.run.provenance import copy_code, describe_run
from darts_pt.run.tensorboard import TensorBoardWriter

if TYPE_CHECKING:
    import torch

_LOCK = ".lock"
_LEFTOVERS = ".*.????????.tmp"
"""Temporary files that a killed run leaves (:func:`darts_pt.run.files.atomic_path`)."""
_OURS = (
    "log.txt",
    "metrics.jsonl",
    "timing.jsonl",
    "config.json",
    "runs",
    "scripts",
    "checkpoint_*.pth.tar",
    "log_resume-*",
    "genotype*",
    "result.json",
    "summary*",
    "selection*",
    "cells*",
    "cell_*",
    "state_dump*",
    "analysis-*",
)
"""Files that runs write: overwriting removes these and leaves all others."""

logger = logging.getLogger(__name__)


class Experiment:
    """An open experiment folder; use it in a `with` statement.

    While it is open, what the project's modules log goes to its log file and to standard output.

    Attributes:
        folder: the folder of all files, the checkpoints included.
        log: a logger; `experiment.log.info("…")`.
        progress: `progress(iterable, description, total=None)` shows the progress of a loop.
    """

    def __init__(
        self,
        folder: Path,
        options: Any,
        *,
        device: torch.device | None = None,
        resume: bool = False,
        overwrite: bool = False,
        log_file: Path | None = None,
        tensorboard: bool = True,
        quiet: bool = False,
    ) -> None:
        """Make the folder or open it again. Check all options first: from here on there is a folder.

        Args:
            options: the resolved options, a dataclass or mapping, kept in config.json.
            device: the device of the run.
            resume: continue in an existing folder, appending to its log and metrics.
            overwrite: replace an existing experiment.
            log_file: by default log.txt in the folder.
            tensorboard: also write runs/.
            quiet: write nothing to the screen.

        Raises:
            UserError: the folder exists (without `resume` or `overwrite`), does not exist (with `resume`), holds files that
                are not an experiment, or is in use by another run.
        """
        self.folder = folder
        self.log = logger
        self.progress = SilentProgress(logger) if quiet else Progress(logger)
        self._log_file = log_file or folder / "log.txt"
        self._board: TensorBoardWriter | None = None
        self._tensorboard = tensorboard
        self._device = device
        self._is_new = self._opened(resume, overwrite)
        try:
            self._configure(options, device, resume)
            self._metrics = UnbufferedFile(folder / "metrics.jsonl")
            self._logs = Logs(self._log_file, logger, screen=not quiet)
        except BaseException:
            self._lock.release()
            raise
        self._last_record = time.perf_counter(), time.process_time()

    def _opened(self, resume: bool, overwrite: bool) -> bool:
        """Make (or empty) and lock the folder; False if it is resumed."""
        folder = self.folder
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is a file, expected a folder for the experiment: move it away")
        if resume and not is_experiment(folder):
            raise UserError(
                f"cannot resume: {folder} is not an experiment folder (it has no config.json of this project)"
            )
        used = folder.is_dir() and bool({*folder.iterdir()} - {folder / _LOCK, *folder.glob(_LEFTOVERS)})
        if used and not resume and not is_experiment(folder):
            raise UserError(
                f"{folder} holds files that no experiment wrote: move them away, or give this run another name (expid_tag)"
            )
        if used and not resume and not overwrite:
            raise ArgumentError(
                "overwrite",
                f"the experiment {folder} exists: replace it, or give this run another name (expid_tag, log_tag)",
            )
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = Lock(folder / _LOCK, f"the experiment {folder}")
        for leftover in folder.glob(_LEFTOVERS):
            leftover.unlink()
        if not resume:
            self._remove_files()
        return not resume

    def _remove_files(self) -> None:
        """Remove the files that a run wrote; files of other names stay."""
        paths = [self._log_file, *(path for pattern in _OURS for path in self.folder.glob(pattern))]
        # config.json goes last: with it, a run killed here can still be replaced.
        for path in sorted(paths, key=lambda path: path.name == "config.json"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _configure(self, options: Any, device: torch.device | None, resume: bool) -> None:
        """Write config.json, with an entry for each process that worked on the run, and the copy of the code."""
        path = self.folder / "config.json"
        runs = read_json(path).get("runs") if resume else None
        plain = dataclasses.asdict(options) if dataclasses.is_dataclass(options) else dict(options)  # type: ignore[arg-type]
        run = describe_run(device)
        config = {
            "project": PROJECT,
            "options": plain,
            "seed": plain.get("seed"),
            **run,
            "runs": [*(runs if isinstance(runs, list) else []), run],
        }
        atomic_write(path, json.dumps(as_json(config), indent=2) + "\n")
        copy_code(self.folder / "scripts")

    def record(self, kind: str, values: Mapping[str, Any], *, epoch: int, step: int | None = None) -> None:
        """Append a line to metrics.jsonl, and its numbers to TensorBoard, at `step` or else at `epoch`.

        The line is {"kind", "epoch", "step", "values"}, without a time, so that equal runs leave equal files. NaN and
        infinity are written as "nan", "inf" and "-inf".

        Args:
            kind: such as "epoch" or "operation_event".
            values: name -> number, tensor, list, text or a mapping of these; TensorBoard gets every number that has a
                name, as kind/name or kind/name/name.
        """
        plain = as_json(values)
        line = json.dumps({"kind": kind, "epoch": epoch, "step": step, "values": plain}, allow_nan=False)
        self._metrics.write(line.encode() + b"\n")
        self._record_cost(kind, epoch)
        numbers = dict(_numbers(kind, plain)) if self._tensorboard else {}
        if numbers:
            self._board = self._board or TensorBoardWriter(self.folder / "runs")
            self._board.add(numbers, epoch if step is None else step)

    def _record_cost(self, kind: str, epoch: int) -> None:
        """Append the cost since the last record to timing.jsonl, a separate file because it differs between equal runs.

        Seconds, and processor seconds of all threads, count from the last record or the opening of the experiment. Memory
        is the peak so far in MiB, of the process and of PyTorch on the GPU. Work repeated by a resumed run counts again.
        """
        now = time.perf_counter(), time.process_time()
        seconds, processor_seconds = (round(new - old, 4) for new, old in zip(now, self._last_record, strict=True))
        cost: dict[str, Any] = {
            "kind": kind, "epoch": epoch, "seconds": seconds, "processor_seconds": processor_seconds,
            "memory_mib": _peak_memory(),
        }  # fmt: skip
        self._last_record = now
        if self._device is not None and self._device.type == "cuda":
            import torch

            cost["gpu_memory_mib"] = round(torch.cuda.max_memory_allocated(self._device) / 2**20, 1)
        with contextlib.closing(UnbufferedFile(self.folder / "timing.jsonl")) as file:
            file.write(json.dumps(cost).encode() + b"\n")

    def records(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl so far."""
        return [json.loads(line) for line in (self.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]

    @property
    def metrics_size(self) -> int:
        """Length of metrics.jsonl in bytes; checkpoints keep it to know which lines came before."""
        return self._metrics.size

    def sync(self) -> None:
        """Flush metrics.jsonl to the disk, before a checkpoint that relies on its lines."""
        self._metrics.sync()

    def rewind(self, metrics_size: int) -> None:
        """Remove the records after the checkpoint from which the run resumes; raises UserError if the file is too short."""
        if not 0 <= metrics_size <= self.metrics_size:
            raise UserError(
                f"{self.folder / 'metrics.jsonl'} has lost lines: {self.metrics_size} of {metrics_size} bytes"
            )
        self._metrics.truncate(metrics_size)

    def close(self) -> None:
        self._end_logging()
        self._lock.release()

    def _end_logging(self) -> None:
        with contextlib.suppress(OSError):  # The terminal may be gone.
            self.progress.stop()
        if self._board is not None:
            self._board.close()
        self._logs.close()
        self._metrics.close()

    def __enter__(self) -> Experiment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        written = [path for pattern in ("checkpoint_*", "state_dump*") for path in self.folder.glob(pattern)]
        nothing_done = self._is_new and self.metrics_size == 0 and not written
        if error is not None:
            # The command prints it on the screen only.
            self._logs.tell_file(logger, f"stopped: {_one_line(error)}")
        self._end_logging()
        if isinstance(error, UserError) and nothing_done:
            self._remove_files()
            (self.folder / _LOCK).unlink(missing_ok=True)
            if not any(self.folder.iterdir()):
                self.folder.rmdir()
        self.close()


def _one_line(error: BaseException) -> str:
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}".rstrip(": ")


def _peak_memory() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)  # macOS counts bytes, Linux KiB.


def _numbers(name: str, value: Any) -> Iterator[tuple[str, float]]:
    """The numbers in nested mappings, with NaN and infinity, under their joined names."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _numbers(f"{name}/{key}", item)
    elif value in ("nan", "inf", "-inf") or (isinstance(value, int | float) and not isinstance(value, bool)):
        yield name, float(value)
