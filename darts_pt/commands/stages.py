"""Search and selection as the commands of every space run them, ending with the command to type next. Cheap to import."""

from __future__ import annotations

import dataclasses
import os.path
import shlex
from pathlib import Path
from typing import Any

from darts_pt.commands.options import RunOptions
from darts_pt.methods import METHODS
from darts_pt.run.config import as_json, options_of
from darts_pt.run.processes import launch
from darts_pt.run.provenance import PROJECT_ROOT
from darts_pt.space import SearchSpace

SCRIPTS = PROJECT_ROOT / "exp_scripts"


def search(space: SearchSpace[Any, Any], options: Any) -> None:
    """Search a supernet."""
    from darts_pt.commands.search import run_search

    folder = run_search(space.at(options.data_root), options).folder
    if space.scripts:
        say_next(folder, *selection_script(options.method, space.scripts), "--resume_expid", folder.name)


def select(space: SearchSpace[Any, Any], options: Any) -> None:
    """Select an architecture."""
    from darts_pt.commands.selection import run_selection

    folder = run_selection(space.at(options.data_root), space.with_dataset(options)).folder
    if "training" in space.commands:
        say_next(folder, "eval.sh", "--arch", f"{folder.parent.name}/{folder.name}")


def selection_script(method: str, family: str) -> list[str]:
    """The script that selects from a supernet of `method`, with its first options; `family` is '201' or 'sota'."""
    script = f"{METHODS[method].script_name}-proj-{family}.sh"
    return [script] if (SCRIPTS / script).is_file() else [f"darts-proj-{family}.sh", "--method", method]


def say_next(folder: Path, script: str, *words: str) -> None:
    """Print the command that follows the run in `folder`, as it can be typed where the run was started."""
    place = launch()
    if place is not None and place.rank > 0:
        return
    options, usual = options_of(folder), as_json(dataclasses.asdict(RunOptions()))
    for name in ("dataset", "data", "image_size", "data_root", "experiments"):
        value = options.get(name)
        if value is not None and str(value) != str(usual[name]):
            words += (f"--{name}", str(value))
    print("next:", shlex.join(["bash", os.path.relpath(SCRIPTS / script), *words]))
