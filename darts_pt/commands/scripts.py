"""The scripts of exp_scripts/ that follow a run. Cheap to import."""

from __future__ import annotations

import dataclasses
import os.path
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darts_pt.commands.options import RunOptions
from darts_pt.methods import METHODS
from darts_pt.run.config import as_json, options_of
from darts_pt.run.processes import launch
from darts_pt.run.provenance import PROJECT_ROOT

SCRIPTS = PROJECT_ROOT / "exp_scripts"


def selection_script(method: str, family: str) -> list[str]:
    """The script that selects from a supernet of `method`, with its first options; `family` is the space's `scripts`."""
    script = f"{METHODS[method].script_name}-proj-{family}.sh"
    return [script] if (SCRIPTS / script).is_file() else [f"darts-proj-{family}.sh", "--method", method]


def options_of_images(options: Mapping[str, Any]) -> tuple[str, ...]:
    """The options that give the next command the same images.

    `image_size` is one of them unless --size chose it: a selection takes --size from its search, and the selected
    architecture is trained on images of full size.
    """
    return ("dataset", "data") if options.get("size") else ("dataset", "data", "image_size")


def say_next(folder: Path, script: str, *words: str) -> None:
    """Print the command that follows the run in `folder`, as it can be typed in the current folder."""
    place = launch()
    if (place is not None and place.rank > 0) or not SCRIPTS.is_dir():  # Installed without the scripts.
        return
    options, usual = options_of(folder), as_json(dataclasses.asdict(RunOptions()))
    for name in (*options_of_images(options), "data_root", "experiments"):
        value = options.get(name)
        if value is not None and str(value) != str(usual[name]):
            words += (f"--{name}", str(value))
    words += ("--fast",) if options.get("fast") else ()
    print("next:", shlex.join(["bash", os.path.relpath(SCRIPTS / script), *words]))
