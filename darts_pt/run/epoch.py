"""One epoch of training steps, of a supernet or a derived network: its sums, how far it is, and what happens at NaN."""

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
    """Means over images: accuracy in percent, cross-entropy loss in nats."""

    accuracy: float
    loss: float


class StepResult(NamedTuple):
    """The mean loss of one step and the images classified correctly, as tensors on the device, and the images in all.

    Reading them is left to the caller: it makes the device wait.
    """

    loss: Tensor
    correct: Tensor
    images: int


@dataclass
class EpochProgress:
    """How far an epoch is: a checkpoint within an epoch holds it, and the run goes on exactly there.

    Attributes:
        decisions: how many of its selection decisions were taken at its start.
        order: the indices of all its images, for an epoch that is a pass; None where every batch is drawn afresh.
        steps, images: how many are done.
        loss, correct: their sums over the images so far, float64 and int64 scalars on the device.
    """

    decisions: int = 0
    order: Tensor | None = None
    steps: int = 0
    images: int = 0
    loss: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    correct: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.int64))

    def add(self, result: StepResult | None) -> None:
        """Count one step; the images of a skipped one (None) are in no mean."""
        self.steps += 1
        if result is None:
            return
        self.images += result.images
        self.loss = self.loss.to(result.loss.device) + result.loss.double() * result.images
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
    def in_checkpoint(cls, checkpoint: dict[str, Any], path: Path, device: torch.device) -> EpochProgress | None:
        """How far within an epoch `checkpoint` was saved; None between epochs.

        Raises:
            UserError: what it says of that does not fit.
        """
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
    """Checks losses and gradients before a step is taken. It reads the device once per step.

    Attributes:
        skipped: how many steps were skipped.
    """

    def __init__(self, on_nan: OnNan = "stop") -> None:
        self.on_nan = on_nan
        self.skipped = 0
        self._buffers: list[tuple[Tensor, Tensor]] = []

    def remember(self, module: nn.Module) -> None:
        """Call before a step's forward passes: a skipped step must leave the running statistics as they were."""
        if self.on_nan == "skip":
            self._buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]

    def allows(self, what: str, tensors: Sequence[Tensor]) -> bool:
        """Whether all of `tensors` are finite; where they are not, the step is counted as skipped.

        Raises:
            NotFinite: they are not, and the run is to stop.
        """
        finite = torch.stack([tensor.detach().isfinite().all() for tensor in tensors]).all()
        if bool(finite):
            return True
        if self.on_nan == "stop":
            raise NotFinite(what)
        self.skipped += 1
        for buffer, before in self._buffers:
            buffer.copy_(before)
        return False
