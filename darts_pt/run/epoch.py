"""An epoch of training steps, whatever is trained: its running sums, and how far it is."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from darts_pt.run.experiment import Experiment
    from darts_pt.run.saver import Saver


class Metrics(NamedTuple):
    """Means over images: accuracy in percent, cross-entropy loss in nats."""

    accuracy: float
    loss: float


class StepResult(NamedTuple):
    """What one step of training reports, as tensors on the device: reading them is left to the caller."""

    loss: Tensor
    correct: Tensor


@dataclass
class EpochProgress:
    """How far an epoch is: what a checkpoint that is saved within one must hold to go on exactly there.

    Attributes:
        decisions: how many decisions of the selection were taken at its start.
        order: the indices of all its images, for an epoch that is a pass; None where every batch is drawn anew.
        steps, images: how many are done.
        loss, correct: their sums over the images so far, float64 and int64 scalars on the device.
    """

    decisions: int = 0
    order: Tensor | None = None
    steps: int = 0
    images: int = 0
    loss: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    correct: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.int64))

    def add(self, size: int, result: StepResult | None) -> None:
        """Count one step over `size` images; None is one that was skipped, whose images are in no mean."""
        self.steps += 1
        if result is None:
            return
        self.images += size
        self.loss = self.loss.to(result.loss.device) + result.loss.double() * size
        self.correct = self.correct.to(result.correct.device) + result.correct

    def metrics(self) -> Metrics:
        """Means over the images so far, NaN if there are none; reads the device."""
        if self.images == 0:
            return Metrics(math.nan, math.nan)
        return Metrics(100.0 * self.correct.item() / self.images, self.loss.item() / self.images)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return dict(vars(self))

    @classmethod
    def from_dict(cls, plain: dict[str, Any], device: torch.device) -> EpochProgress:
        """The inverse of :meth:`to_dict`.

        Raises:
            TypeError: it is no such dict.
        """
        progress = cls(**plain)
        if progress.order is not None:
            progress.order = progress.order.to(device)
        return progress


def run_epoch(
    results: Iterable[tuple[int, StepResult | None]],
    progress: EpochProgress,
    steps: int,
    experiment: Experiment,
    saver: Saver,
    description: str,
    report_freq: int,
) -> Metrics:
    """Take the steps that remain, under a progress bar; after each the run can be saved and stopped.

    Args:
        results: makes a step and gives its number of images and its result (None if it was skipped), for every step that
            remains.
        steps: all steps of the epoch, those already done included.
        report_freq: steps between log lines; only for them is the device read.
    """
    remaining = steps - progress.steps
    for size, result in saver.guarded(experiment.progress(results, description, remaining)):
        progress.add(size, result)
        if progress.steps % report_freq == 0:
            so_far = progress.metrics()
            experiment.log.info(
                "%s step %d/%d: train loss %.4f accuracy %.2f %%",
                description, progress.steps, steps, so_far.loss, so_far.accuracy,
            )  # fmt: skip
        saver.safe_point()
    return progress.metrics()


def next_learning_rate(scheduler: torch.optim.lr_scheduler.LRScheduler) -> None:
    """The schedule's step at the end of an epoch."""
    with warnings.catch_warnings():
        # In a run that was resumed after the epoch's last step, torch misses the steps before.
        warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step", UserWarning)
        scheduler.step()
