"""Training loops that are stopped at a chosen moment and resumed, the files they must leave, and a full disk."""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from darts_pt.run import checkpoint as checkpoints
from darts_pt.run.errors import Stopped
from darts_pt.run.experiment import Experiment
from darts_pt.run.saver import Saver
from darts_pt.training import SupernetTraining

Loop = Callable[[SupernetTraining, Experiment, Saver], Any]


def at_check(number: int | None) -> Callable[[], int]:
    """A stop request that comes when the saver asks for the `number`-th time; never if None."""
    checks = 0

    def requested() -> int:
        nonlocal checks
        checks += 1
        return signal.SIGTERM if checks == number else 0

    return requested


def run(training: SupernetTraining, folder: Path, loop: Loop, stop_after: int | None = None, **options: Any) -> bool:
    """Run a loop in an experiment folder, from its latest checkpoint if it has one; whether it came to its end."""
    resume = folder.exists()
    try:
        with (
            Experiment(folder, {}, resume=resume, tensorboard=False) as experiment,
            Saver(training, experiment, "--resume_epoch", stop_requested=at_check(stop_after), **options) as saver,
        ):
            if resume:
                path, checkpoint = checkpoints.load(folder, -1)
                training.restore(checkpoint, path)
                experiment.rewind(checkpoint["metrics_size"])
            loop(training, experiment, saver)
    except Stopped:
        return False
    return True


def contents(folder: Path) -> dict[str, bytes]:
    """The files that interruptions must not change: the checkpoints of epochs, and the metrics."""
    names = [checkpoints.name(epoch) for epoch in checkpoints.epochs_in(folder)]
    return {name: (folder / name).read_bytes() for name in [*names, "metrics.jsonl"]}


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """Inside, writing a file beyond `size` bytes fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
