"""Search, selection and training as commands: say what starts, do it, print the next command. Cheap to import."""

from __future__ import annotations

import importlib
from typing import Any

from darts_pt.commands.scripts import say_next, selection_script
from darts_pt.run.processes import launch
from darts_pt.space import Kind, SearchSpace


def run(space: SearchSpace[Any, Any], kind: Kind, options: Any) -> None:
    """Run a command of the space, by its own module if it has one."""
    module = space.commands[kind].module
    if module:
        importlib.import_module(module).main(options)
    else:
        {"search": search, "selection": select, "training": train}[kind](space, options)


def search(space: SearchSpace[Any, Any], options: Any) -> None:
    _say_start("search", options)
    from darts_pt.commands.search import run_search

    folder = run_search(space.at(options.data_root), options).folder
    if space.scripts:
        say_next(folder, *selection_script(options.method, space.scripts), "--resume_expid", folder.name)


def select(space: SearchSpace[Any, Any], options: Any) -> None:
    _say_start("selection", options)
    from darts_pt.commands.selection import run_selection

    folder = run_selection(space.at(options.data_root), space.with_dataset(options)).folder
    if "training" in space.commands:
        say_next(folder, "eval.sh", "--arch", f"{folder.parent.name}/{folder.name}")


def train(space: SearchSpace[Any, Any], options: Any) -> dict[str, Any]:
    """Train an architecture from scratch, and return the summary."""
    _say_start("training", options)
    from darts_pt.commands import training

    return training.train(space, options)


def _say_start(kind: str, options: Any) -> None:
    """Print a line before PyTorch and the data are loaded, which takes seconds."""
    place = launch()
    if place is None or place.rank == 0:
        data = f"the images in {options.data}, which take a while to read" if options.data else options.dataset
        print(f"starting a {kind}{f' on {data}' if data else ''} …", flush=True)
