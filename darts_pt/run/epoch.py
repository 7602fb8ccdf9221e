"""One epoch of training steps, of a supernet or a derived network: progress, sums, and the check for NaN."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from darts_pt.hyperparameters import OnNan
from darts_pt.run.checkpoint import one_line_error


class Metrics(NamedTuple):
    """Means over images: accuracy in percent (NaN where it is not measured), cross-entropy loss in nats."""

    accuracy: float
    loss: float

    def measured(self) -> dict[str, float]:
        """The numbers by name, without an accuracy that is not measured."""
        only_loss = math.isnan(self.accuracy) and not math.isnan(self.loss)
        return {"loss": self.loss} if only_loss else self._asdict()

    def __str__(self) -> str:
        return (
            f"{self.accuracy:.2f} % (loss {self.loss:.4f})"
            if "accuracy" in self.measured()
            else f"loss {self.loss:.4f}"
        )


class Judged(NamedTuple):
    """Metrics with the mean of a criterion given by the user."""

    accuracy: float
    loss: float
    criterion: float


class StepResult(NamedTuple):
    """A step's mean loss and correct predictions as tensors on the device (reading them waits), and its image count."""

    loss: Tensor
    correct: Tensor
    images: int


@dataclass
class EpochProgress:
    """The progress of an epoch, kept in a checkpoint within the epoch.

    Attributes:
        decisions: number of selection decisions taken at its start.
        order: the indices of all images, if the epoch is a pass; None if each batch is drawn from all images.
        steps, images: completed.
        loss, correct: sums over these images, float64 and int64 scalars on the device.
    """

    decisions: int = 0
    order: Tensor | None = None
    steps: int = 0
    images: int = 0
    loss: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    correct: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.int64))

    def add(self, result: StepResult | None) -> None:
        """Count a step; a skipped step (None) does not count in the means."""
        self.steps += 1
        if result is None:
            return
        self.images += result.images
        self.loss = self.loss.to(result.loss.device) + result.loss.double() * result.images
        self.correct = self.correct.to(result.correct.device) + result.correct

    def metrics(self) -> Metrics:
        """Means over the images so far, NaN if there are none; waits for the device."""
        if self.images == 0:
            return Metrics(math.nan, math.nan)
        return Metrics(100.0 * self.correct.item() / self.images, self.loss.item() / self.images)

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    @classmethod
    def in_checkpoint(cls, checkpoint: dict[str, Any], path: Path, device: torch.device) -> EpochProgress | None:
        """The progress in `checkpoint`, None between epochs; raises UserError if it does not fit."""
        plain = checkpoint.get("progress")
        if plain is None:
            return None
        with one_line_error(path, "its progress does not fit"):
            progress = cls(**plain)
            if progress.order is not None:
                progress.order = progress.order.to(device)
        return progress


class NotFinite(ArithmeticError):
    """A loss or a gradient is NaN or infinite; the message names it."""


class FiniteGuard:
    """Checks losses and gradients before a step; waits for the device once per step.

    Attributes:
        skipped: the number of skipped steps.
    """

    def __init__(self, on_nan: OnNan = "stop") -> None:
        self.on_nan = on_nan
        self.skipped = 0
        self._buffers: list[tuple[Tensor, Tensor]] = []

    def remember(self, module: nn.Module) -> None:
        """Keep the running statistics before a step, to restore them if the step is skipped."""
        if self.on_nan == "skip":
            self._buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]

    def allows(self, what: str, tensors: Sequence[Tensor]) -> bool:
        """True if all of `tensors` are finite; else the step counts as skipped, or under "stop" raises NotFinite."""
        finite = torch.stack([tensor.detach().isfinite().all() for tensor in tensors]).all()
        if bool(finite):
            return True
        if self.on_nan == "stop":
            raise NotFinite(what)
        self.skipped += 1
        for buffer, before in self._buffers:
            buffer.copy_(before)
        return False
