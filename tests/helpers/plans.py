"""Plans that the tests of sweeps share."""

from __future__ import annotations

import importlib
from pathlib import Path

from darts_pt.commands.command_line import run_command
from runs import __main__ as runs
from sweep.jobs import Graph, expand
from sweep.plan import read_plan

SMALL = """
spaces = ["nasbench201"]
datasets = ["digits"]
methods = ["darts"]
selections = ["magnitude", "pt"]
seeds = [1, 2]
report = false

[search]
epochs = 2
batch_size = 256
init_channels = 4

[select]
proj_intv = 1

[evaluate]
epochs = 1
init_channels = 4
"""
"""Searches, selections and, with train_nasbench201, trainings that take seconds."""


def plan_file(folder: Path, text: str = SMALL, name: str = "plan") -> Path:
    """A plan in a file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def graph_of(folder: Path, text: str = SMALL) -> Graph:
    """The jobs of a plan; its experiments are in `folder`."""
    plan = read_plan(plan_file(folder, text))
    return expand(plan, folder, folder / "data", folder / "sweeps" / "plan")


def run_in_turn(graph: Graph) -> None:
    """Run the jobs one after the other in this process, by the commands that a sweep would run."""
    for job in graph.jobs:
        _, _, module, *arguments = job.command(gpu=False, made=[graph.output.parents[1]])
        if module == "runs":
            runs.main(arguments)
        else:
            command = importlib.import_module(module)
            run_command(type(job.options) if job.run else command.PageOptions, command.main, arguments)
