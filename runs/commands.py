"""The command line that repeats a run, from what its config.json says."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darts_pt.commands.command_line import RunOptions
from darts_pt.run.chosen import GENOTYPE_FILE, SELECTION
from darts_pt.run.errors import UserError
from report.run import Run

_FOLDERS = ("experiments", "data_root")
"""Options that name folders of the machine the run was made on; repeating it elsewhere, one has one's own."""

_OF_THE_MOMENT = ("overwrite", "resume_epoch", "dev_resume_epoch", "dev_resume_log")
"""Options of a run that went on where another had ended; repeating it, one begins at the beginning."""

_TABLE_1 = ("ResNet", "VGG")
"""Networks that only paper.sh trains."""


def repeat_command(run: Run) -> str | None:
    """The command as one would type it in the project's folder; None where the run's options are not known.

    It names every option that differs from what the command does by itself, so it holds also for runs that another
    command (the demo, paper.sh) has started.
    """
    found = _command_of(run)
    if found is None or not run.options:
        return None
    module, options_type = found
    left_out = [*_FOLDERS, *_OF_THE_MOMENT]
    left_out += ["ckpt_interval"] if run.kind == "selection" else []  # It takes none: it saves before every event.
    values = {name: value for name, value in run.options.items() if name not in left_out}
    if "arch" in values:
        values["arch"] = _by_name(str(values["arch"]))
    if run.kind == "selection":
        values["resume_expid"] = str(values.get("resume_expid")).rstrip("/").rsplit("/", 1)[-1]
        if run.snapshot is not None:
            values["resume_epoch"] = run.snapshot
    return command_line(module, options_type, values)


def command_line(module: str, options_type: type[RunOptions], values: Mapping[str, Any]) -> str:
    """`python -m module` with every option that differs from what it is by itself, and the seed."""
    words = ["python", "-m", module]
    for field in dataclasses.fields(options_type):
        value = values.get(field.name)
        if value is None or (value == _plain(field) and field.name != "seed"):
            continue
        if value is True or value is False:
            words.append(f"--{field.name}" if value else f"--no_{field.name}")
        else:
            words += [f"--{field.name}", str(value)]
    return shlex.join(words)


def _by_name(arch: str) -> str:
    """An architecture that is the genotype file of an experiment, as the experiment's name; others as they are."""
    parts = Path(arch).parts
    if parts[-1:] != (GENOTYPE_FILE,) or len(parts) < 3:
        return arch
    return "/".join(parts[-3:-1] if parts[-2].startswith(SELECTION) else parts[-2:-1])


def recorded_command(run: Run) -> str | None:
    """The command line of the process that made the run, as it was; without the interpreter's path."""
    command = run.config.get("command")
    if not isinstance(command, list) or not command:
        return None
    words = [str(word) for word in command]
    if "python" in words[0].rsplit("/", 1)[-1]:
        words[0] = "python"
    return shlex.join(words)


def _plain(field: dataclasses.Field[Any]) -> Any:
    return None if field.default is dataclasses.MISSING else field.default


def _command_of(run: Run) -> tuple[str, type[RunOptions]] | None:
    """The module and the options of the command that makes such a run."""
    if run.space == "nasbench201":
        from nasbench201 import space
        from nasbench201.train import NasBench201TrainOptions

        commands: Mapping[str, tuple[str, type[RunOptions]]] = {
            "search": ("nasbench201.train_search", space.NasBench201SearchOptions),
            "selection": ("nasbench201.projection", space.NasBench201SelectionOptions),
            "training": ("nasbench201.train", NasBench201TrainOptions),
        }
        return commands.get(run.kind)
    if run.space == "?" and (run.kind != "training" or run.options.get("arch") in _TABLE_1):
        return None
    try:
        from sota.space import SotaSearchOptions, SotaSelectionOptions
        from sota.train import SotaTrainOptions
        from sota.train_imagenet import ImageNetOptions
    except (ImportError, UserError):
        return None
    commands = {
        "search": ("sota.train_search", SotaSearchOptions),
        "selection": ("sota.projection", SotaSelectionOptions),
        "training": (
            ("sota.train_imagenet", ImageNetOptions) if run.dataset == "imagenet" else ("sota.train", SotaTrainOptions)
        ),
    }
    return commands.get(run.kind)
