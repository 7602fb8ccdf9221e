"""Resume earlier runs: find experiments by name, check their options, load their checkpoints."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from darts_pt.commands.options import FREE_OPTIONS, TRIAL
from darts_pt.run.checkpoint import LAST, SEARCH_KEYS, epochs_in, load, number_in
from darts_pt.run.config import as_json, is_experiment, options_of
from darts_pt.run.errors import UserError, did_you_mean, listed
from darts_pt.run.files import read_json
from darts_pt.run.processes import launch


def find_experiment(root: Path, expid: str, trial: bool = False) -> Path:
    """The experiment folder `expid`, a name under `root` or a path; raises UserError, with others, if there is none.

    Args:
        trial: also find the trial of that name, so that the commands of a run can be tried by adding --fast to each.
    """
    names = (expid, f"{expid}-{TRIAL}") if trial else (expid,)
    for folder in (folder for name in names for folder in (root / name, Path(os.path.expanduser(name)))):
        if folder.is_dir() and (is_experiment(folder) or epochs_in(folder)):
            return folder
    there = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    close = did_you_mean(expid, there) or (f"; there are {listed(there)}" if there else ", which has none yet")
    raise UserError(f"--resume_expid {expid}: no such experiment in {root}{close}")


def check_metrics(experiment: Path, checkpoint: dict[str, Any]) -> None:
    """Raises UserError if metrics.jsonl lost lines since `checkpoint` was saved: a resumed run appends to them."""
    if "metrics_size" not in checkpoint:  # A checkpoint of the original.
        return
    path = experiment / "metrics.jsonl"
    wanted, size = number_in(checkpoint, "metrics_size", experiment), path.stat().st_size if path.is_file() else 0
    if not 0 <= wanted <= size:
        raise UserError(f"{path} has lost lines, it has {size} of {wanted:.0f} bytes: restore it, or resume earlier")


class Start(NamedTuple):
    """The start of a run: from a checkpoint and its file, or from the beginning (no checkpoint)."""

    path: Path | None
    checkpoint: dict[str, Any]
    overwrite: bool


def find_start(
    folder: Path, options: Any, epoch: int | None, argument: str, required: Iterable[str] = SEARCH_KEYS
) -> Start:
    """The start of the run in `folder`: as the user asks or, if torchrun has restarted it, the latest checkpoint.

    Args:
        options: the resolved options, a dataclass.
        epoch: the checkpoint to resume from; −1 is the latest, None starts from the beginning.
        argument: the name of the option for `epoch`.
        required: the keys of its checkpoints.

    Raises:
        UserError: there is no such checkpoint, or the run was started with other options.
    """
    restarted = _was_opened_by_this_launch(folder)
    if restarted:
        epoch = -1 if epochs_in(folder) or (folder / LAST).is_file() else None
    if epoch is None:
        return Start(None, {}, options.overwrite or restarted)
    check_same_options(folder, dataclasses.asdict(options))
    path, checkpoint = load(folder, epoch, argument, required)
    check_metrics(folder, checkpoint)
    return Start(path, checkpoint, False)


def _was_opened_by_this_launch(folder: Path) -> bool:
    """True if this start of torchrun opened the run in `folder` before: then torchrun has restarted the processes."""
    place = launch()
    if place is None:
        return False
    try:
        config = read_json(folder / "config.json")
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("launch") == place.run


def check_same_options(experiment: Path, options: Mapping[str, Any]) -> None:
    """Raises UserError if a resumed run has other options than the experiment was started with."""
    for name, value, began in other_options(experiment, options):
        raise UserError(
            f"--{name} is {value} but {experiment.name} was started with {began}: a resumed run must keep its options"
        )


def other_options(experiment: Path, options: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """The options with another value in the experiment, as (name, here, there), without those that change no result."""
    began = options_of(experiment)
    return [
        (name, value, began[name])
        for name, value in as_json(options).items()
        if name not in FREE_OPTIONS and name in began and as_json(began[name]) != value
    ]
