"""`python -m sota.visualize darts_pt_s5_0 -o cells.svg`: draw the cells of a genotype."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from darts_pt.commands.command_line import run_command
from darts_pt.drawing import Cell, save_drawing
from darts_pt.run.provenance import PROJECT_ROOT

if TYPE_CHECKING:
    from sota.genotypes import Genotype


@dataclass(frozen=True, kw_only=True)
class VisualizeOptions:
    """Draw the normal and the reduction cell of an architecture of S1–S5."""

    arch: Annotated[str, tyro.conf.Positional]
    """The architecture: a published name such as darts_pt_s5_0, a genotype file, or an experiment."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("cells.svg")
    """The file to write: .svg, .png or .pdf."""
    experiments: Annotated[Path, tyro.conf.arg(metavar="DIR")] = PROJECT_ROOT / "experiments"
    """The folder that holds the experiments."""


def cell(edges: Sequence[tuple[int, int, str]]) -> Cell:
    """The cell to draw; an edge is (source, target, operation)."""
    from sota.genotypes import CONCAT

    return Cell(edges, {0: "$c_{k-2}$", 1: "$c_{k-1}$"}, CONCAT, "$c_k$")


def draw(genotype: Genotype, path: Path) -> None:
    """Draw both cells into `path`, a .svg, .png or .pdf; raises UserError at another ending."""
    from sota.spaces import INPUTS, INPUTS_KEPT

    cells = {
        title: cell([(source, INPUTS + place // INPUTS_KEPT, name) for place, (name, source) in enumerate(genes)])
        for title, genes in (("Normal cell", genotype.normal), ("Reduction cell", genotype.reduce))
    }
    save_drawing(cells, path, description=str(genotype))


def main(options: VisualizeOptions) -> None:
    from sota.choice import find

    draw(find(options.arch, options.experiments / "sota", dataset="cifar10").genotype, options.output)
    print(options.output)


if __name__ == "__main__":
    run_command(VisualizeOptions, main)
