"""`python -m paper`: make a figure or table of the paper, after running what it needs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from darts_pt.commands.command_line import run_command
from darts_pt.run.errors import UserError
from paper.options import PaperOptions

if TYPE_CHECKING:
    from paper.study import Study
    from runs.make import Runner


def items(options: PaperOptions) -> list[PaperOptions]:
    """The figures and tables to make, each with its own options."""
    if not options.all:
        return [options]
    found = []
    for kind, number in options.order:
        try:
            found.append(dataclasses.replace(options, all=False, **{kind: number}))
        except UserError:  # The named space is not in this table.
            continue
    return found


def studies(options: PaperOptions, runner: Runner) -> list[Study]:
    """One study per space."""
    from paper.study import SCALES, Study

    scale = SCALES[options.preset]
    if options.seeds:
        scale = dataclasses.replace(scale, seeds=options.seeds)
    names = ["gpu", "experiments", "data_root", "fast"]
    names += ["dataset", "data", "table_dataset"] if options.dataset == "folder" else []
    common = {name: getattr(options, name) for name in names}
    return [Study(space, options.published, scale, common, runner) for space in options.spaces]


def main(options: PaperOptions) -> Path | None:
    """Run, draw and write; returns the path of paper.md, or None for a dry run."""
    from paper.files import PAGE, budget

    if options.dry_run:
        print("\n".join(planned(options)))
        return None
    for item in items(options):
        try:
            make(item)
        except UserError as error:
            if options.run or not options.all:
                raise
            print(f"{item.kind} {item.number}: not drawn, {error}")
            continue
        print(f"{item.kind} {item.number}: {options.output / PAGE}; {budget(options)}", flush=True)
    return options.output / PAGE


def make(options: PaperOptions) -> None:
    """Make one figure or table: run what is missing, then draw and write it."""
    from paper import files
    from paper.results import RESULTS
    from runs.make import Runner

    runner = Runner(options.run)
    draw = RESULTS[options.kind, options.number](studies(options, runner))
    result = draw()
    files.write(options, result, files.draw(options, result), runner.used)


def planned(options: PaperOptions) -> list[str]:
    """The commands that would be run, in order; work without a command of its own stands after a #."""
    from paper.results import RESULTS
    from runs.make import Runner

    lines: list[str] = []
    for item in items(options):
        before = len(lines)
        RESULTS[item.kind, item.number](studies(item, Runner(planned=lines)))
        lines.insert(before, f"# {item.kind} {item.number} ({', '.join((*item.spaces, item.published))})")
        lines += [] if len(lines) > before + 1 else ["# nothing is missing"]
    return lines


if __name__ == "__main__":
    run_command(PaperOptions, main)
