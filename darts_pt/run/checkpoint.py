"""Checkpoints in the original's format, written whole or not at all and verified when read.

A checkpoint is a dict. The original's keys, so that files can be exchanged both ways: epoch (epochs completed), state_dict,
alpha (a list, one tensor per cell type), optimizer, arch_optimizer, scheduler. Ours, for exact resume: generators,
decisions, progress (within an epoch) and metrics_size. Every record of the file has a CRC-32, which is checked before any
is used.
"""

from __future__ import annotations

import io
import logging
import math
import re
import sys
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from darts_pt.run.errors import ArgumentError, UserError, first_line
from darts_pt.run.files import atomic_write

SEARCH_KEYS = ("epoch", "state_dict", "alpha", "optimizer", "arch_optimizer")

LAST = "checkpoint_last.pth.tar"
"""The checkpoint within an epoch, saved by time or on a signal; each replaces the one before."""

logger = logging.getLogger(__name__)


def name(epoch: int) -> str:
    """The file name of the checkpoint after `epoch` epochs."""
    return f"checkpoint_{epoch}.pth.tar"


def epochs_in(folder: Path) -> list[int]:
    """The epochs of the checkpoints in `folder`, ascending."""
    found = (re.fullmatch(r"checkpoint_(\d+)\.pth\.tar", path.name) for path in folder.glob("checkpoint_*.pth.tar"))
    return sorted(int(match.group(1)) for match in found if match)


def find(folder: Path, epoch: int, argument: str = "resume_epoch") -> Path:
    """The checkpoint of an epoch, or the latest one (-1).

    Raises:
        ArgumentError: there is no such checkpoint. `argument` is the argument that named it.
    """
    epochs = epochs_in(folder)
    if epoch == -1 and epochs:
        return folder / name(epochs[-1])
    if epoch not in epochs:
        if not epochs:
            raise ArgumentError(argument, f"{folder} has no checkpoint yet: run it again from the beginning")
        there = ", ".join(map(str, epochs))
        raise ArgumentError(argument, f"{folder} has no checkpoint of epoch {epoch}; it has those of epochs {there}")
    return folder / name(epoch)


def _canonical(value: Any) -> Any:
    """Copy plain data so that equal data give equal files: strings interned, no shared containers or tensor memory.

    Weights of a bank (:mod:`darts_pt.kernels.bank`) are parts of one tensor, but not before a resumed run's first step.
    """
    if isinstance(value, dict):
        copied = type(value)((_canonical(key), _canonical(item)) for key, item in value.items())
        if hasattr(value, "__dict__"):  # The metadata of a state dict.
            vars(copied).update(vars(value))
        return copied
    if type(value) in (list, tuple):
        return type(value)(_canonical(item) for item in value)
    if isinstance(value, torch.Tensor) and value.untyped_storage().nbytes() != value.nbytes:
        return value.clone()
    return sys.intern(value) if type(value) is str else value


def write(checkpoint: dict[str, Any], path: Path) -> Path:
    """Write `checkpoint` to `path`; after an interruption or a full disk the old or the new file is there, never a part."""
    # Into memory first: torch hides disk errors behind its own, and would write the temporary file's name into the archive,
    # so that equal runs would leave different files.
    content = io.BytesIO()
    torch.save(_canonical(checkpoint), content)
    atomic_write(path, content.getbuffer())
    return path


def load(
    folder: Path,
    epoch: int,
    argument: str = "resume_epoch",
    required: Iterable[str] = SEARCH_KEYS,
    within_epochs: bool = True,
) -> tuple[Path, dict[str, Any]]:
    """Load the checkpoint of an epoch, or (-1) the latest undamaged one; the log names damaged ones.

    Args:
        within_epochs: the latest may be one within an epoch.

    Raises:
        UserError: there is no such checkpoint, or all are damaged.
    """
    if epoch != -1:
        path = find(folder, epoch, argument)
        return path, read(path, required)
    paths = [folder / name(number) for number in reversed(epochs_in(folder))]
    if within_epochs and (folder / LAST).is_file():
        paths.insert(0, folder / LAST)
    best: tuple[Path, dict[str, Any]] | None = None
    complaint: UserError | None = None
    for path in paths:
        try:
            checkpoint = read(path, required)
        except UserError as error:
            complaint = complaint or error
            logger.warning("%s; trying the one before it", error)
            continue
        if path.name != LAST:
            # The checkpoint within an epoch is the older one if the run died after writing that of the epoch and before
            # removing this one.
            return best if best and best[1]["epoch"] >= checkpoint["epoch"] else (path, checkpoint)
        best = path, checkpoint
    if best:
        return best
    if complaint:
        raise complaint
    return find(folder, epoch, argument), {}  # Raises: there is none.


def read(path: Path, required: Iterable[str] = SEARCH_KEYS) -> dict[str, Any]:
    """Read the checkpoint at `path`, on the CPU. Nothing in the file is executed.

    Raises:
        UserError: the file is missing or damaged, holds anything but plain data and tensors, lacks keys, or its epoch is
            not a number.
    """
    if not path.is_file():
        raise UserError(f"no checkpoint {path}: expected a file that a search has written; check the path")
    damaged = _damage(path)
    if damaged:
        raise UserError(f"checkpoint {path} is damaged ({damaged}): restore it or resume from an earlier epoch")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError:
        raise
    except Exception as error:  # A hostile file can raise anything.
        reason = first_line(error)
        if "weights_only" in str(error):  # torch prints a page of advice, which does not help users.
            asked = re.search(r"\bGLOBAL (\S+)", str(error))
            reason = f"it {f'asks for {asked.group(1)}' if asked else 'is a pickle'}, neither plain data nor tensors"
        raise UserError(
            f"checkpoint {path} cannot be read as plain data ({reason}): expected a search's checkpoint"
        ) from None
    if not isinstance(checkpoint, dict):
        raise UserError(
            f"checkpoint {path} holds a {type(checkpoint).__name__}: expected a dict with the keys {', '.join(required)}"
        )
    missing = [key for key in required if key not in checkpoint]
    if missing:
        raise UserError(
            f"checkpoint {path} lacks {', '.join(missing)}: expected a search's checkpoint with the keys "
            f"{', '.join(required)}"
        )
    if "epoch" in required:
        epoch_of(checkpoint, path)
    return checkpoint


def _damage(path: Path) -> str | None:
    """The damage to a file, None if there is none. Files from before PyTorch 1.6 have no checksums."""
    if path.stat().st_size == 0:
        return "it is empty"
    with open(path, "rb") as stream:
        if stream.read(2) != b"PK":
            return None
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except PermissionError:
        raise
    except Exception as error:  # A damaged archive can raise anything.
        return first_line(error)
    return f"checksum mismatch in its record {broken}" if broken else None


def load_weights(module: torch.nn.Module, state_dict: Any, path: Path) -> None:
    """Load a checkpoint's `state_dict` into `module`; raises UserError with the first difference."""
    expected = module.state_dict()
    if not isinstance(state_dict, dict):
        raise UserError(f"checkpoint {path}: its state_dict is a {type(state_dict).__name__}, expected tensors by name")
    for key, tensor in expected.items():
        if key not in state_dict:
            raise UserError(f"checkpoint {path} has no weights {key}: it is from another space or size")
        found = state_dict[key]
        if not isinstance(found, torch.Tensor) or found.shape != tensor.shape:
            shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            raise UserError(
                f"checkpoint {path}: {key} has shape {shape}, expected {tuple(tensor.shape)}: it is from another size"
            )
    surplus = next((key for key in state_dict if key not in expected), None)
    if surplus is not None:
        raise UserError(f"checkpoint {path} has weights {surplus} that this network lacks: it is from another space")
    with one_line_error(path, "its weights do not fit"):
        module.load_state_dict(state_dict)


def load_optimizer(optimizer: torch.optim.Optimizer, state: Any, path: Path, whose: str) -> None:
    """Load an optimiser's state; raises UserError if it does not fit. `whose`: "alpha" or "the weights"."""
    foreach = optimizer.defaults.get("foreach")
    with one_line_error(path, f"the optimiser of {whose} does not fit"):
        optimizer.load_state_dict(state)
        for group in optimizer.param_groups:
            group["foreach"] = foreach  # Keep this run's: it only affects how the step is computed.
            if not all(_is_number(group[key]) for key in ("lr", "weight_decay", "momentum", "eps") if key in group):
                raise ValueError("its learning rate, decay or momentum is not a number")
            for parameter in group["params"]:
                for key, value in optimizer.state.get(parameter, {}).items():
                    if isinstance(value, torch.Tensor) and value.numel() != 1 and value.shape != parameter.shape:
                        raise ValueError(f"{key} has shape {tuple(value.shape)}, expected {tuple(parameter.shape)}")


def load_scheduler(scheduler: torch.optim.lr_scheduler.LRScheduler, state: Any, path: Path) -> None:
    """Restore the position in a learning-rate schedule; its length and final value come from this run's options."""
    counters = ("last_epoch", "_step_count")
    if not isinstance(state, dict) or not all(_is_count(state.get(counter)) for counter in counters):
        raise UserError(f"checkpoint {path}: its scheduler lacks its position ({', '.join(counters)})")
    last = [group["lr"] for group in scheduler.optimizer.param_groups]
    scheduler.load_state_dict({counter: state[counter] for counter in counters} | {"_last_lr": last})


@contextmanager
def one_line_error(path: Path, problem: str) -> Iterator[None]:
    """Turn any exception inside into a one-line UserError: a file may hold any plain data."""
    try:
        yield
    except Exception as error:
        raise UserError(f"checkpoint {path}: {problem} ({first_line(error)})") from None


def next_learning_rate(scheduler: torch.optim.lr_scheduler.LRScheduler) -> None:
    """Step the schedule at the end of an epoch."""
    with warnings.catch_warnings():
        # torch warns if a run was resumed after the last step of an epoch, since it did not see the optimiser step.
        warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step", UserWarning)
        scheduler.step()


def epoch_of(checkpoint: dict[str, Any], path: Path) -> int:
    """The epochs completed when `checkpoint` was saved."""
    if not _is_count(checkpoint["epoch"]):
        raise UserError(f"checkpoint {path}: its epoch is {checkpoint['epoch']!r}, expected a whole number from 0")
    return checkpoint["epoch"]


def number_in(checkpoint: dict[str, Any], key: str, path: Path) -> float:
    """A number in `checkpoint`, 0 if it lacks the key."""
    value = checkpoint.get(key, 0.0)
    if not _is_number(value):
        raise UserError(f"checkpoint {path}: its {key} is {value!r}, expected a number")
    return float(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
