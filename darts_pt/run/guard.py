"""Stop, or skip steps, whose loss or gradient is NaN or infinite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

OnNan = Literal["stop", "skip"]


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
