"""`python -m nasbench201.visualize`: draw the cell of a NAS-Bench-201 architecture.

python -m nasbench201.visualize '|nor_conv_3x3~0|+|…|+|…|' -o cell.svg
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from darts_pt.commands.command_line import run_command
from darts_pt.drawing import Cell, save_drawing
from darts_pt.run.provenance import PROJECT_ROOT
from nasbench201.architecture import SOURCES, chosen_architecture, operations_of


@dataclass(frozen=True, kw_only=True)
class VisualizeOptions:
    """Draw the cell of a NAS-Bench-201 architecture."""

    arch: Annotated[str, tyro.conf.Positional]
    """The architecture: '|op~0|+|op~0|op~1|+|op~0|op~1|op~2|' in quotes, a genotype file, or an experiment."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("cell.svg")
    """The file to draw into; its ending (.svg, .png or .pdf) says the format."""
    experiments: Annotated[Path, tyro.conf.arg(metavar="DIR")] = PROJECT_ROOT / "experiments"
    """Where the experiment folders are."""


def cell(edges: Sequence[tuple[int, int, str]]) -> Cell:
    """A cell for drawing, from (source, target, operation) of each edge."""
    return Cell(edges, {0: "input", len(SOURCES): "output"})


def draw(architecture: str, path: Path) -> None:
    """Draw the cell into `path` (SVG, PNG or PDF by its ending).

    Raises:
        UserError: the text is not an architecture, or the path has another ending.
    """
    pairs = [(source, target) for target, sources in enumerate(SOURCES, start=1) for source in sources]
    edges = [(*pair, name) for pair, name in zip(pairs, operations_of(architecture), strict=True)]
    save_drawing({"Cell": cell(edges)}, path, description=architecture)


def main(options: VisualizeOptions) -> None:
    draw(chosen_architecture(options.arch, options.experiments / "nasbench201"), options.output)
    print(options.output)


if __name__ == "__main__":
    run_command(VisualizeOptions, main)
