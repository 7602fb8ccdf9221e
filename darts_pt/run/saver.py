"""Save a run after epochs, at intervals of time, and when it is asked to stop; it always resumes exactly.

A training tells its :class:`Saver` of *safe points*, from which it can go on bit by bit: before its first step, after every
step and after every epoch. In between it evaluates, decides and records, all of which changes no weights. So the last safe
point can be written at any time, from the present weights and the training's position as it was.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from darts_pt.run import checkpoint as checkpoints
from darts_pt.run.epoch import FiniteGuard, NotFinite
from darts_pt.run.errors import Stopped, UserError
from darts_pt.run.processes import Ranks, launch

if TYPE_CHECKING:
    from darts_pt.run.device import Generators
    from darts_pt.run.epoch import EpochProgress
    from darts_pt.run.experiment import Experiment
    from darts_pt.run.logs import Progress

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Saveable(Protocol):
    """A training that can be saved: of a supernet or of a derived network."""

    epoch: int
    progress: EpochProgress | None
    generators: Generators
    ranks: Ranks
    between_batches: Callable[[], None]
    show: Progress

    @property
    def guard(self) -> FiniteGuard: ...

    def begin_epoch(self) -> EpochProgress: ...

    def position(self) -> dict[str, Any]: ...

    def to_checkpoint(self) -> dict[str, Any]: ...


class Saver:
    """Writes the checkpoints of a training; use it in a `with` statement, inside that of the experiment.

    Inside, SIGTERM and SIGINT (Ctrl-C) save the run and end it with :class:`Stopped`; a second one ends it at once. All
    ranks stop at the same safe point, whichever got the signal, and the first writes.

    Args:
        resume_option: the option that resumes the run, for the message.
        minutes: the longest time between saves within epochs.
        interval: epochs between checkpoints; the last epoch is always saved.
        keep: number of newest checkpoints that are kept; None keeps all.
        needed: epochs whose checkpoints are always kept: other runs start there.
        report_freq: steps between log lines.
        stop_requested: asked at every check besides the signals; returns a signal's number to stop, 0 to go on.
    """

    def __init__(
        self,
        training: Saveable,
        experiment: Experiment,
        resume_option: str,
        minutes: float = 10.0,
        interval: int = 1,
        keep: int | None = None,
        needed: Collection[int] = (),
        report_freq: int = 50,
        stop_requested: Callable[[], int] = lambda: 0,
    ) -> None:
        self._training = training
        training.show = experiment.progress
        self.experiment = experiment
        self.report_freq = report_freq
        self._resume_option = resume_option
        self._seconds = 60.0 * minutes
        self._interval = interval
        self._keep = keep
        self._needed = frozenset(needed)
        self._stop_requested = stop_requested
        self._signal = 0
        self._due = False
        self._handlers: dict[int, Any] = {}
        self._saved_at = time.monotonic()
        self._point: dict[str, Any] = {}

    def __enter__(self) -> Saver:
        self._training.between_batches = self.check
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._asked) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore_handlers()
        if error is None and self._training.ranks.is_first:
            # The run is complete. If it was killed in its last epoch before, a checkpoint within it may be left.
            (self.experiment.folder / checkpoints.LAST).unlink(missing_ok=True)

    def _asked(self, number: int, frame: FrameType | None) -> None:
        self._signal = number
        # Ranks get Ctrl-C twice, from the terminal and from torchrun, which kills them if they are slow.
        if launch() is None:
            self._restore_handlers()

    def _restore_handlers(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    # Safe points -------------------------------------------------------------------------------------------------

    def safe_point(self) -> None:
        """Save now if due or asked to stop; from here the training can go on bit by bit.

        Raises:
            Stopped: the run was asked to stop and has been saved.
        """
        self._mark()
        self._due = self._training.ranks.is_first and time.monotonic() - self._saved_at >= self._seconds
        self.check()

    def check(self) -> None:
        """Check for a stop request between safe points.

        Raises:
            Stopped: the run was asked to stop; its last safe point has been saved.
        """
        if self._training.ranks.is_apart:
            return
        stop, due = self._training.ranks.largest(self._stop_requested() or self._signal, self._due)
        self._due = False
        if stop == 0:
            if due:
                self._write(checkpoints.LAST)
            return
        if self._point:
            self._write(checkpoints.LAST)
        progress = self._training.progress
        step = f" and {progress.steps} steps" if progress and progress.steps else ""
        raise Stopped(
            stop,
            f"stopped by {signal.Signals(stop).name}; {self.experiment.folder} is saved after "
            f"{self._training.epoch} epochs{step}: resume it by the same command with {self._resume_option} -1",
        )

    def _mark(self) -> None:
        self._point = self._training.position() | {"metrics_size": self.experiment.metrics_size}

    def _write(self, name: str) -> Path:
        """Write the last safe point to a file of this name."""
        path = self.experiment.folder / name
        if self._training.ranks.is_first:
            self.experiment.sync()
            checkpoints.write(self._training.to_checkpoint() | self._point, path)
        self._saved_at = time.monotonic()
        return path

    # Epochs ------------------------------------------------------------------------------------------------------

    def save_only_last(self) -> None:
        """From now on write only the checkpoint of the last epoch."""
        self._interval = sys.maxsize

    def epoch_ended(self, last: bool) -> None:
        """Save the epoch if its checkpoint is due."""
        if last or self._training.epoch % self._interval == 0:
            self.save_epoch()

    def save_epoch(self) -> None:
        """Write the checkpoint of the completed epoch, a safe point, and remove those beyond `keep`."""
        self._mark()
        self._write(checkpoints.name(self._training.epoch))
        if not self._training.ranks.is_first:
            return
        folder = self.experiment.folder
        (folder / checkpoints.LAST).unlink(missing_ok=True)
        if self._keep is not None:
            # Later ones, left from before a run went back to an earlier epoch, do not count.
            past = [epoch for epoch in checkpoints.epochs_in(folder) if epoch <= self._training.epoch]
            for epoch in set(past[: -self._keep]) - self._needed:
                (folder / checkpoints.name(epoch)).unlink(missing_ok=True)

    # NaN -----------------------------------------------------------------------------------------------------------

    @contextmanager
    def dump_at_nan(self) -> Iterator[None]:
        """If a step inside meets a NaN or an infinity, write the state to a separate file and raise UserError."""
        try:
            yield
        except NotFinite as error:
            progress, epoch = self._training.begin_epoch(), self._training.epoch
            step = progress.steps + 1
            path = self._write(f"state_dump_{epoch}_{step}.pth.tar")
            seed = self._training.generators["batches"].initial_seed()
            raise UserError(
                f"{error} is not a finite number in step {step} of epoch {epoch + 1} (batch seed {seed}); the state at "
                f"that step is in {path}: try a smaller learning rate, or skip such steps (on_nan: skip)"
            ) from None
