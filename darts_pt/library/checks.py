"""A first look at a model and its batches before anything is trained, and where a NaN comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from darts_pt.architect import Batch
from darts_pt.hyperparameters import Criterion
from darts_pt.kernels.mixed import frozen_statistics
from darts_pt.library.mixed import MixedOperation
from darts_pt.library.supernet import ModelSupernet, has_accuracy
from darts_pt.run.errors import first_line
from darts_pt.supernet import MixingWeights


def checked_criterion(
    supernet: ModelSupernet,
    mixing: MixingWeights,
    batch: Batch,
    criterion: Criterion | None,
    on_nan: str,
    warn: Callable[[str], None],
) -> Criterion:
    """Run all candidates once on a batch, in eval mode; returns the criterion: by default accuracy where there is one.

    Args:
        warn: gets a message.

    Raises:
        ValueError, TypeError: shapes differ, a candidate changes its input, the batch is not finite, the loss fails or has
            no gradient, or the loss or the criterion does not return one number.
    """
    inputs, targets = batch
    supernet.eval()
    called: set[int] = set()
    with _watched(supernet, called, inputs):
        outputs = supernet(inputs, mixing)
    idle = [module.title for module in _choices(supernet) if id(module) not in called]
    if idle:
        warn(f"{', '.join(idle)}: never called in the model's forward pass, so its scores say nothing")
    _check_loss(supernet, batch, outputs, on_nan)
    if criterion is None:
        return "acc" if has_accuracy(outputs, targets) else "loss"
    if callable(criterion):
        with torch.no_grad():
            _check_number(criterion(supernet(inputs, mixing), targets))
    elif criterion not in ("acc", "loss"):
        raise ValueError(f"criterion: expected 'acc', 'loss' or a function of (outputs, targets), got {criterion!r}")
    elif criterion == "acc" and not has_accuracy(outputs, targets):
        raise ValueError(
            "criterion: 'acc' needs logits [batch, classes, …] and whole-number labels [batch, …], got "
            f"{_shown(outputs)} and {_shown(targets)}: use 'loss', or a function of (outputs, targets)"
        )
    return criterion


def _check_loss(supernet: ModelSupernet, batch: Batch, outputs: Any, on_nan: str) -> None:
    inputs, targets = batch
    try:
        loss = supernet.loss(outputs, targets)
    except Exception as error:  # Whatever the user's function raises.
        raise ValueError(
            f"loss: it fails with {_shown(outputs)} as outputs and {_shown(targets)} as targets: {first_line(error)}"
        ) from error
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        raise TypeError(f"the loss must return a tensor of one number, its mean over the batch, got {_shown(loss)}")
    if not loss.requires_grad:
        raise TypeError("the loss has no gradient by the outputs: leave out detach(), item() and torch.no_grad()")
    unclean = [name for name, value in (("inputs", inputs), ("targets", targets)) if not _is_finite(value)]
    if unclean and not loss.isfinite() and on_nan == "stop":
        raise ValueError(f"the {unclean[0]} of the first train batch hold NaN or infinity: clean the data first")


def _check_number(value: Any) -> None:
    if not isinstance(value, int | float | Tensor) or (isinstance(value, Tensor) and value.numel() != 1):
        raise TypeError(f"criterion: the function must return one number, the higher the better, got {_shown(value)}")


def _shown(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} ({str(value.dtype).removeprefix('torch.')})"
    return f"a {type(value).__name__}"


def _choices(model: nn.Module) -> list[MixedOperation]:
    return [module for module in model.modules() if isinstance(module, MixedOperation)]


@contextmanager
def _watched(supernet: ModelSupernet, called: set[int], inputs: Any) -> Iterator[None]:
    """Note which choices are called, and raise ValueError if a candidate fails or changes its arguments."""
    hooks, running = [], []
    for choice in _choices(supernet):
        hooks.append(choice.register_forward_pre_hook(lambda module, args: called.add(id(module))))
        for name, candidate in choice.candidates.named_children():
            hooks += _candidate_hooks(f"{choice.title}: candidate {name!r}", candidate, running)
    try:
        yield
    except Exception as error:
        if running:
            raise ValueError(f"{running[-1]} fails: {first_line(error)}") from error
        if isinstance(error, ValueError | TypeError):
            raise
        raise ValueError(f"the model fails with {_shown(inputs)} as inputs: {first_line(error)}") from error
    finally:
        for hook in hooks:
            hook.remove()


def _candidate_hooks(title: str, candidate: nn.Module, running: list[str]) -> list[Any]:
    """Keep the candidates that are being computed in `running`, and compare what they get before and after."""
    versions: list[list[int]] = []

    def before(module: nn.Module, args: Any) -> None:
        versions.append([value._version for value in args if isinstance(value, Tensor)])
        running.append(title)

    def after(module: nn.Module, args: Any, output: Any) -> None:
        running.pop()
        if versions.pop() != [value._version for value in args if isinstance(value, Tensor)]:
            raise ValueError(
                f"{title} changes its input in place, which the other candidates get too: use inplace=False in it"
            )

    return [candidate.register_forward_pre_hook(before), candidate.register_forward_hook(after)]


def _is_finite(value: Any) -> bool:
    if isinstance(value, Tensor):
        return not value.is_floating_point() or bool(value.isfinite().all())
    if isinstance(value, Mapping):
        return all(map(_is_finite, value.values()))
    return all(map(_is_finite, value)) if isinstance(value, tuple | list) else True


class _Found(Exception):
    """The module whose output is not finite."""


@torch.no_grad()
def source_of_nan(supernet: ModelSupernet, mixing: MixingWeights, batch: Batch) -> str:
    """Where a NaN or an infinity comes from, in words: the first module whose output has one; empty if none has."""
    if not all(map(_is_finite, batch)):
        return "the batch itself holds NaN or infinity"
    # Candidates are looked at by themselves, and containers after the modules in them.
    hooks = [
        module.register_forward_hook(_look(name.removeprefix("model.") or type(supernet.model).__name__))
        for name, module in supernet.named_modules()
        if name
    ]
    try:
        with frozen_statistics(supernet):
            supernet.train()  # As in the step: dropout and the like may be where it comes from.
            supernet(batch[0], mixing)
    except _Found as found:
        return f"first in the output of {found}"
    except ArithmeticError:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return ""


def _look(name: str) -> Callable[..., None]:
    def hook(module: nn.Module, args: Any, output: Any) -> None:
        if not _is_finite(output):
            raise _Found(f"{name} ({type(module).__name__})")

    return hook
