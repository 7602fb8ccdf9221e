"""`python -m sota.visualize darts_pt_s5_0 -o cells.svg`: draw the cells of a genotype."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from darts_pt.commands.command_line import run_command
from darts_pt.run.provenance import PROJECT_ROOT
from sota.space import SotaSpace


@dataclass(frozen=True, kw_only=True)
class VisualizeOptions:
    """Draw the normal and the reduction cell of an architecture of S1–S5."""

    arch: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ARCH")]
    """The architecture: a published name such as darts_pt_s5_0, a genotype file, or an experiment."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("cells.svg")
    """The file to write: .svg, .png or .pdf."""
    experiments: Annotated[Path, tyro.conf.arg(metavar="DIR")] = PROJECT_ROOT / "experiments"
    """The folder that holds the experiments."""


def main(options: VisualizeOptions) -> None:
    from sota.choice import find

    genotype = find(options.arch, options.experiments / "sota", dataset="cifar10").genotype
    SotaSpace().draw(genotype, options.output)
    print(options.output)


if __name__ == "__main__":
    run_command(VisualizeOptions, main)
