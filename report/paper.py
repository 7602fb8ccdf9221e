"""`python -m report.paper`: a figure or a table of the paper, with what it needs run first."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from darts_pt.errors import UserError
from darts_pt.options import Dataset, in_range, run_command
from darts_pt.provenance import PROJECT_ROOT

if TYPE_CHECKING:
    from report.making import Maker
    from report.style import Picture

Space = Literal["nasbench201", "s1", "s2", "s3", "s4", "s5"]
FIGURES, TABLES = range(1, 7), range(1, 5)
DEFAULT_SPACES: dict[tuple[str, int], tuple[Space, ...]] = {
    ("figure", 1): ("s5",),
    ("figure", 2): ("s2",),
    ("figure", 3): ("s2",),
    ("figure", 4): ("nasbench201",),
    ("figure", 5): ("s2",),
    ("figure", 6): ("s2",),
    ("table", 1): ("s5",),
    ("table", 2): ("s5",),
    ("table", 3): ("s1", "s2", "s3", "s4"),
    ("table", 4): ("s5", "nasbench201", "s1", "s2", "s3", "s4"),
}
"""The spaces that the paper uses."""
EDGES = 3
"""Random edges of figure 1."""


@dataclass(frozen=True, kw_only=True)
class PaperOptions:
    """Make a figure (1 to 6) or a table (1 to 4) of the paper: run what is missing, and draw it.

    Existing experiments are reused, interrupted ones continued. Files: OUTPUT/paper.md and OUTPUT/figures/.
    """

    figure: int | None = None
    """1: alpha against discretisation accuracy; 2: the same by edge; 3: skip connections as the supernet learns; 4:
    what is selected from every snapshot; 5: the cells; 6: valid accuracy during selection."""
    table: int | None = None
    """1: shuffled edges; 2: methods in the DARTS space; 3: S1–S4; 4: more spaces, alpha fixed or not."""
    preset: Literal["digits", "paper"] = "digits"
    """digits: minutes on a laptop; paper: the paper's own sizes, days on a GPU."""
    dataset: Dataset | None = None
    """Data set; by default the preset's (digits, or cifar10)."""
    space: Space | None = None
    """Another space than the paper uses there; for tables 3 and 4, one instead of all."""
    seeds: tuple[int, ...] = ()
    """Seeds of the runs; by default 1 (NAS-Bench-201) and 2 (S1–S5), with the paper's preset 0 1 2 3."""
    run: bool = True
    """Run what is missing; --no_run draws what there is and leaves the rest empty."""
    gpu: str = "auto"
    """Device: auto, the index of a GPU, or cpu."""
    experiments: Annotated[Path, tyro.conf.arg(metavar="DIR")] = PROJECT_ROOT / "experiments"
    """Where the experiment folders are and go."""
    data_root: Annotated[Path, tyro.conf.arg(metavar="DIR")] = PROJECT_ROOT / "data"
    """Where the data sets and benchmark files are."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="DIR")] = PROJECT_ROOT / "experiments" / "paper"
    """Where paper.md and figures/ go."""
    fast: bool = False
    """Only try whether it runs: one batch per epoch and per evaluation."""

    def __post_init__(self) -> None:
        if (self.figure is None) == (self.table is None):
            raise UserError("expected either --figure N (1 to 6) or --table N (1 to 4)")
        if self.figure is not None:
            in_range("figure", self.figure, FIGURES[0], FIGURES[-1])
        if self.table is not None:
            in_range("table", self.table, TABLES[0], TABLES[-1])
        if self.dataset == "folder":
            raise UserError("--dataset folder: the paper has no such data; make your own runs and use report.sh")
        if self.space == "nasbench201" and (self.table in (2, 3) or self.figure == 5):
            what = "figure 5 draws" if self.figure else f"table {self.table} is about"
            raise UserError(f"--space nasbench201: {what} S1–S5; expected one of s1, s2, s3, s4, s5")
        if self.space in ("s5", "nasbench201") and self.table == 3:
            raise UserError(f"--space {self.space}: table 3 is about S1–S4; expected one of s1, s2, s3, s4")
        if self.table == 2 and self.space not in (None, "s5"):
            raise UserError(f"--space {self.space}: table 2 is about the DARTS space, s5")
        if any(seed < 0 for seed in self.seeds):
            raise UserError("--seeds: expected whole numbers from 0 on")

    @property
    def kind(self) -> str:
        return "figure" if self.figure is not None else "table"

    @property
    def number(self) -> int:
        return self.figure or self.table or 0

    @property
    def data(self) -> str:
        return self.dataset or ("digits" if self.preset == "digits" else "cifar10")

    @property
    def spaces(self) -> tuple[Space, ...]:
        return (self.space,) if self.space else DEFAULT_SPACES[self.kind, self.number]

    @property
    def stem(self) -> str:
        """The beginning of the files' names."""
        parts = [self.kind, str(self.number), *([self.spaces[0]] if len(self.spaces) == 1 else []), self.data]
        return "-".join(parts + (["full"] if self.preset == "paper" else []) + (["fast"] if self.fast else []))


@dataclass
class Result:
    """What a figure or a table comes to, before it is written."""

    title: str
    caption: str
    pictures: list[Picture] = field(default_factory=list)
    drawings: list[tuple[str, str]] = field(default_factory=list)
    table: tuple[list[str], list[list[str]]] | None = None


def makers(options: PaperOptions) -> list[Maker]:
    """One per space."""
    from report.making import SCALES, Maker

    scale = SCALES[options.preset]
    if options.seeds:
        scale = dataclasses.replace(scale, seeds_201=options.seeds, seeds_sota=options.seeds)
    return [
        Maker(
            space, options.data, scale, options.experiments, options.data_root, options.gpu, options.run, options.fast
        )
        for space in options.spaces
    ]


def main(options: PaperOptions) -> Path:
    """Run, draw, write; the path of paper.md."""
    from report import paper_results
    from report.paper_files import write

    every = makers(options)
    result = paper_results.MAKE[options.kind, options.number](options, every)
    path = write(options, result, every)
    print(f"{options.kind} {options.number}: {path}")
    return path


def today() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%d")


def plain_json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    run_command(PaperOptions, main)
