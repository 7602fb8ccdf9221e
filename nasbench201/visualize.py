"""`python -m nasbench201.visualize '|nor_conv_3x3~0|+|…|+|…|' -o cell.svg`: draw the cell of an architecture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from darts_pt.commands.command_line import run_command
from darts_pt.run.provenance import PROJECT_ROOT
from nasbench201.space import NasBench201Space


@dataclass(frozen=True, kw_only=True)
class VisualizeOptions:
    """Draw the cell of a NAS-Bench-201 architecture."""

    arch: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ARCH")]
    """The architecture: '|op~0|+|op~0|op~1|+|op~0|op~1|op~2|' in quotes, a genotype file, or an experiment."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("cell.svg")
    """The file to write: .svg, .png or .pdf."""
    experiments: Annotated[Path, tyro.conf.arg(metavar="DIR")] = PROJECT_ROOT / "experiments"
    """The folder that holds the experiments."""


def main(options: VisualizeOptions) -> None:
    space = NasBench201Space()
    space.draw(space.architecture(options), options.output)
    print(options.output)


if __name__ == "__main__":
    run_command(VisualizeOptions, main)
