"""What to type after a run."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

from darts_pt.commands.options import RunOptions
from darts_pt.methods import METHODS
from darts_pt.run.config import as_json, options_of
from darts_pt.run.processes import launch
from darts_pt.run.provenance import PROJECT_ROOT


def selection_script(method: str, family: str) -> str:
    """The script that selects from a supernet of `method`, with its first options; `family` is '201' or 'sota'."""
    script = f"{METHODS[method].script_name}-proj-{family}.sh"
    if (PROJECT_ROOT / "exp_scripts" / script).is_file():
        return script
    return f"darts-proj-{family}.sh --method {method}"


def say_next(script: str, folder: Path, *words: str) -> None:
    """Print what to type after the run in `folder`, with its data and folders where they are not the usual ones."""
    place = launch()
    if place is not None and place.rank > 0:
        return
    options, usual = options_of(folder), as_json(dataclasses.asdict(RunOptions()))
    for name in ("dataset", "data", "image_size", "data_root", "experiments"):
        value = options.get(name)
        if value is not None and str(value) != str(usual[name]):
            words += (f"--{name}", str(value))
    print("next: bash", shlex.join([f"exp_scripts/{script}", *words]))
