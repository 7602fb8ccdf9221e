"""`python -m paper`: a figure or a table of the paper, with what it needs run first."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darts_pt.commands.command_line import run_command
from darts_pt.run.errors import UserError
from paper.options import ORDER, PaperOptions

if TYPE_CHECKING:
    from runs.making import Maker


def items(options: PaperOptions) -> list[PaperOptions]:
    """The figures and tables that are meant, each with options of its own."""
    if not options.all:
        return [options]
    found = []
    for kind, number in ORDER:
        try:
            found.append(dataclasses.replace(options, all=False, **{kind: number}))
        except UserError:  # The space that was named is not one of that table's.
            continue
    return found


def makers(options: PaperOptions, **changes: Any) -> list[Maker]:
    """One per space; `changes` are attributes of theirs."""
    from paper.scales import SCALES
    from runs.making import Maker

    scale = SCALES[options.preset]
    if options.seeds:
        scale = dataclasses.replace(scale, seeds_201=options.seeds, seeds_sota=options.seeds)
    common: dict[str, Any] = {
        "dataset": options.data, "scale": scale, "experiments": options.experiments, "data_root": options.data_root,
        "gpu": options.gpu, "fast": options.fast, **changes,
    }  # fmt: skip
    return [Maker(space, **common) for space in options.spaces]


def main(options: PaperOptions) -> Path | None:
    """Run, draw, write; the path of paper.md. Of a dry run, None."""
    from paper.files import PAGE, budget

    if options.dry_run:
        print("\n".join(planned(options)))
        return None
    for item in items(options):
        try:
            made(item)
        except UserError as error:
            if options.run or not options.all:
                raise
            print(f"{item.kind} {item.number}: not drawn, {error}")
            continue
        print(f"{item.kind} {item.number}: {options.output / PAGE}; {budget(options)}", flush=True)
    return options.output / PAGE


def made(options: PaperOptions) -> None:
    """One figure or table: run what it lacks, then draw and write it."""
    from paper import files as paper_files
    from paper import plan
    from paper import results as paper_results

    if options.run:
        plan.make(options.kind, options.number, makers(options))
    with paper_files.measured() as drawing:
        every = makers(options, run=False)
        result = paper_results.DRAW[options.kind, options.number](options, every)
        images = paper_files.draw(options, result)
    paper_files.write(options, result, images, every, drawing)


def planned(options: PaperOptions) -> list[str]:
    """The commands that would be run, in their order; what has none of its own stands after a #."""
    from paper import plan

    lines: list[str] = []
    for item in items(options):
        before = len(lines)
        plan.make(item.kind, item.number, makers(item, planned=lines))
        lines.insert(before, f"# {item.kind} {item.number} ({', '.join((*item.spaces, item.data))})")
        lines += [] if len(lines) > before + 1 else ["# nothing is missing"]
    return lines


if __name__ == "__main__":
    run_command(PaperOptions, main)
