"""The steps of an epoch, for all trainings: progress bar, log lines, safe points, and a stop at NaN."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from darts_pt.run.epoch import Metrics, StepResult
from darts_pt.run.logs import duration
from darts_pt.run.saver import Saveable, Saver

START_UP = 10.0
"""Seconds below which a process's first epoch is mostly starting up, and does not tell how long others take."""


class Trainable(Saveable, Protocol):
    def step(self, batch: Any, /) -> StepResult | None:
        """One step; None if the guard skipped it."""
        ...


def train_epoch(
    training: Trainable, steps: int | None, batches: Iterable[Any], saver: Saver, description: str
) -> Metrics:
    """Train on the remaining batches of an epoch of `steps` steps (None: unknown); after each the run can stop."""
    progress, log = training.begin_epoch(), saver.experiment.log
    with saver.dump_at_nan():
        for batch in saver.experiment.progress(batches, description, steps and steps - progress.steps):
            skipped = training.guard.skipped
            progress.add(training.step(batch))
            if training.guard.skipped > skipped:
                log.warning("skipped a step with a NaN or infinite loss or gradient; %d so far", training.guard.skipped)
            if progress.steps % saver.report_freq == 0:
                so_far = progress.metrics().measured()
                accuracy = f" accuracy {so_far['accuracy']:.2f} %" if "accuracy" in so_far else ""
                step = f"{progress.steps}/{steps}" if steps else str(progress.steps)
                log.info("%s step %s: train loss %.4f%s", description, step, so_far["loss"], accuracy)
            saver.safe_point()
    return progress.metrics()


def timed_epochs(training: Trainable, epochs: int, saver: Saver) -> Iterator[int]:
    """The remaining epochs, from 0; the log says how long they take."""
    time_left = TimeLeft(saver)
    for epoch in range(training.epoch, epochs):
        is_whole, began = training.progress is None, time.perf_counter()
        yield epoch
        if is_whole:
            time_left.tell(epochs - epoch - 1, time.perf_counter() - began)


class TimeLeft:
    """Logs once how long a run still takes: after its first whole epoch, or after the second if that was short."""

    def __init__(self, saver: Saver) -> None:
        self._log = saver.experiment.log
        self._first, self._told = True, False

    def tell(self, epochs: int, seconds_each: float, more_seconds: float = 0.0) -> None:
        """Log how long the remaining epochs, and `more_seconds` of other work, will take."""
        if epochs and not self._told and not (self._first and seconds_each < START_UP):
            self._told, left = True, duration(epochs * seconds_each + more_seconds)
            self._log.info("about %s left for %d more epoch%s", left, epochs, "" if epochs == 1 else "s")
        self._first = False


def log_metrics(saver: Saver, description: str, measured: Mapping[str, Metrics]) -> dict[str, float]:
    """Log accuracies and losses in one line; returns their entries in metrics.jsonl."""
    parts = [f"{name} {metrics}" for name, metrics in measured.items()]
    saver.experiment.log.info("%s: %s", description, ", ".join(parts))
    return {
        f"{name}_{field}": value for name, metrics in measured.items() for field, value in metrics.measured().items()
    }
