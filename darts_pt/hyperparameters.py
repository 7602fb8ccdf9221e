"""Hyperparameters with their defaults and limits. Cheap to import: there is no torch in it.

A value out of range raises :class:`darts_pt.run.errors.ArgumentError`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from darts_pt.run.errors import in_range, positive

Precision = Literal["torch", "fp32", "tf32", "bf16", "fp64"]
"""Arithmetic of networks; :func:`darts_pt.run.device.use_precision` explains each."""
Criterion = Literal["acc", "loss"] | Callable[[Any, Any], Any]
"""Compare accuracy, loss, or a function of outputs and targets (the higher the better) on the valid half."""
EdgeOrder = Literal["random", "order", "reverse"]
"""The order in which selection decides edges."""
OnNan = Literal["stop", "skip"]
"""At a loss or gradient that is not finite: end the run, or skip the step."""


class Checked:
    """Base of the options: each class checks its own fields in `__post_init__` and calls that of its parents."""

    def __post_init__(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class WeightOptions(Checked):
    """Training of the supernet's weights, in search and in the tuning epochs of selection (paper, section 5)."""

    batch_size: int
    """Images per batch of each half."""
    learning_rate: float = 0.025
    """Initial learning rate of the weights; selection tunes at a tenth of it."""
    learning_rate_min: float = 0.001
    """Learning rate at the end of the search's cosine."""
    momentum: float = 0.9
    """Momentum of SGD for the weights."""
    weight_decay: float = 3e-4
    """Weight decay of the weights."""
    grad_clip: float = 5.0
    """Largest norm of the gradient by all weights."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("batch_size", "learning_rate", "grad_clip"):
            positive(name, getattr(self, name))
        for name in ("learning_rate_min", "weight_decay"):
            in_range(name, getattr(self, name), 0, 1e6)
        in_range("momentum", self.momentum, 0, 0.9999)


@dataclass(frozen=True, kw_only=True)
class AlphaOptions(Checked):
    """Adam's options for alpha. As in DARTS, the gradient is not clipped and the betas are (0.5, 0.999)."""

    arch_learning_rate: float = 3e-4
    """Learning rate of alpha (Adam)."""
    arch_weight_decay: float = 1e-3
    """Weight decay of alpha."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("arch_learning_rate", "arch_weight_decay"):
            in_range(name, getattr(self, name), 0, 1e6)


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Training of a derived network from scratch."""

    epochs: int
    """Epochs of training."""
    batch_size: int
    """Images per step, over all processes."""
    learning_rate: float
    """Initial learning rate; it falls to 0, one step per epoch."""
    momentum: float = 0.9
    """Momentum of SGD."""
    weight_decay: float = 3e-4
    """Weight decay."""
    grad_clip: float = 0.0
    """Largest norm of the gradient; 0 does not clip."""
    accumulate: int = 1
    """Forward passes per step, for a batch that does not fit in memory; batch statistics are per pass."""
    precision: Precision = "fp32"
    """Arithmetic: fp32; tf32 on GPUs that have it; bf16 autocast; fp64; torch, as in a search."""
    nesterov: bool = False
    schedule: Literal["cosine", "linear"] = "cosine"
    label_smoothing: float = 0.0
    auxiliary_weight: float = 0.0
    """Weight of the auxiliary head's loss."""
    drop_path_prob: float = 0.0
    """Drop-path probability in the last epoch; it grows linearly from 0."""
    top5: bool = False

    def __post_init__(self) -> None:
        check_training(self)


def check_training(options: Any) -> None:
    """Raises ArgumentError if an argument of a training is out of range; None and missing ones are left open."""
    for name in ("epochs", "batch_size", "learning_rate", "accumulate"):
        positive(name, getattr(options, name))
    for name in ("weight_decay", "grad_clip", "auxiliary_weight"):
        in_range(name, getattr(options, name, None), 0, 1e6)
    in_range("momentum", options.momentum, 0, 0.9999)
    for name in ("drop_path_prob", "label_smoothing"):
        in_range(name, getattr(options, name, None), 0, 0.99)
