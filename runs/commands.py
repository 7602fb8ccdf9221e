"""The command line that makes a run, or repeats one from its config.json."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darts_pt.run.results import GENOTYPE_FILE, SELECTION
from darts_pt.space import SPACES, Kind, SearchSpace

if TYPE_CHECKING:
    from runs.recorded import Recorded

_FOLDERS = ("experiments", "data_root")
"""Options that name folders of the machine that made the run."""

_OF_THE_MOMENT = ("overwrite", "resume_epoch", "dev_resume_epoch", "dev_resume_log")
"""Options of a run that resumed another; a repetition starts from the beginning."""


def command_line(space: SearchSpace[Any, Any], kind: Kind, values: Mapping[str, Any]) -> list[str]:
    """`python -m module` with every option that differs from its default, and the seed."""
    command = space.command(kind, values.get("dataset"))
    words = ["python", "-m", *([command.module] if command.module else ["runs", kind, space.name])]
    for field in dataclasses.fields(command.options):
        value = values.get(field.name)
        default = None if field.default is dataclasses.MISSING else field.default
        if value is None or (value == default and field.name != "seed"):
            continue
        if isinstance(value, bool):
            words.append(f"--{field.name}" if value else f"--no_{field.name}")
        else:
            words += [f"--{field.name}", str(value)]
    return words


def repeat_command(run: Recorded) -> str | None:
    """The command as one would type it in the project's folder; None if the run's options are unknown.

    It gives every option that differs from the command's default, so it is also right for runs that another command (the
    demo, paper.sh) has started.
    """
    kind: Any = run.kind
    space = SPACES.get(run.space) or SPACES.families().get(run.family)
    if space is None or kind not in space.commands or not run.options:
        return None
    if not run.options.keys() <= {field.name for field in dataclasses.fields(space.command(kind, run.dataset).options)}:
        return None  # For example the networks of table 1, which only paper.sh trains.
    left_out = [*_FOLDERS, *_OF_THE_MOMENT]
    left_out += ["ckpt_interval"] if kind == "selection" else []  # It has no effect there.
    values = {name: value for name, value in run.options.items() if name not in left_out}
    if "arch" in values:
        values["arch"] = _by_name(str(values["arch"]))
    if kind == "selection":
        values["resume_expid"] = str(values.get("resume_expid")).rstrip("/").rsplit("/", 1)[-1]
        if run.snapshot is not None:
            values["resume_epoch"] = run.snapshot
    return shlex.join(command_line(space, kind, values))


def _by_name(arch: str) -> str:
    """The experiment's name, if `arch` is the genotype file of an experiment; else `arch`."""
    parts = Path(arch).parts
    if parts[-1:] != (GENOTYPE_FILE,) or len(parts) < 3:
        return arch
    return "/".join(parts[-3:-1] if parts[-2].startswith(SELECTION) else parts[-2:-1])


def recorded_command(run: Recorded) -> str | None:
    """The command line of the process that made the run, without the interpreter's path."""
    words = run.config.get("command")
    if not isinstance(words, list) or not words:
        return None
    program, *arguments = map(str, words)
    return shlex.join(["python" if "python" in program.rsplit("/", 1)[-1] else program, *arguments])
