"""`python -m sota.visualize`: draw the cells of a genotype.

python -m sota.visualize darts_pt_s5_0 -o cells.svg
"""

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
    """A published name such as darts_pt_s5_0, a genotype file, or an experiment that has selected one."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("cells.svg")
    """The file to draw into; its ending (.svg, .png or .pdf) says the format."""
    experiments: Annotated[Path, tyro.conf.arg(metavar="DIR")] = PROJECT_ROOT / "experiments"
    """Where the experiment folders are."""


def cell(edges: Sequence[tuple[int, int, str]]) -> Cell:
    """A cell for drawing, from (source, target, operation) of each edge."""
    from sota.genotypes import CONCAT

    return Cell(edges, {0: "$c_{k-2}$", 1: "$c_{k-1}$"}, CONCAT, "$c_k$")


def draw(genotype: Genotype, path: Path) -> None:
    """Draw both cells into `path` (SVG, PNG or PDF by its ending).

    Raises:
        UserError: the path has another ending.
    """
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
