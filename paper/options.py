"""The options of `python -m paper`, and what a figure or a table comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from darts_pt.commands.options import Dataset
from darts_pt.run.errors import UserError, in_range, listed, one_of
from darts_pt.run.provenance import PROJECT_ROOT
from darts_pt.space import SPACES

if TYPE_CHECKING:
    from report.style import Picture

FIGURES, TABLES = range(1, 7), range(1, 5)
DEFAULT_SPACES: dict[tuple[str, int], tuple[str, ...]] = {
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
ORDER = sorted(DEFAULT_SPACES, key=lambda item: item[1] == 4)
"""The whole set as --all makes it: figure 4 and table 4, which want NAS-Bench-201's benchmark table, last."""
LAPTOP_SPACE, LAPTOP_ORDER = "nasbench201", [("figure", 3), ("table", 4), ("figure", 6), ("figure", 4)]
"""The contents of the preset `laptop` in the order of its runs, each of which is a result: searches, whose epochs have
magnitude's cells; PT from their last snapshots, and from supernets with alpha fixed; PT-Mag; PT from earlier snapshots."""
ABOUT = {2: "the DARTS space", 3: "S1–S4"}
"""Tables that are about certain spaces only."""


@dataclass(frozen=True, kw_only=True)
class PaperOptions:
    """Make a figure (1 to 6) or a table (1 to 4) of the paper, or all of them: run what is missing, and draw it.

    Existing experiments are reused, interrupted ones continued: stop and start it as you like. Files: OUTPUT/paper.md and
    OUTPUT/figures/. Every drawing looks accuracies up in the benchmark table of now.
    """

    figure: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """1: alpha against discretisation accuracy; 2: the same by edge; 3: skip connections as the supernet learns; 4:
    what is selected from every snapshot; 5: the cells; 6: valid accuracy during selection."""
    table: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """1: shuffled edges; 2: methods in the DARTS space; 3: S1–S4; 4: more spaces, alpha fixed or not."""
    all: bool = False
    """Every figure and table; with --space those that the space has."""
    preset: Literal["digits", "laptop", "paper"] = "digits"
    """digits: minutes on a laptop; laptop: CIFAR-10 in NAS-Bench-201 at the size of --size laptop, a night per seed on two
    CPU cores (figures 3, 4 and 6, table 4); paper: the paper's own sizes, days on a GPU."""
    dataset: Dataset | None = None
    """Data set; by default the preset's (digits, or cifar10)."""
    data: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """For --dataset folder: the folder with the images of a published data set."""
    table_dataset: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """For --dataset folder: the data set whose images they are, such as cifar10."""
    space: Annotated[str | None, tyro.conf.arg(metavar="SPACE")] = None
    """Another space than the paper uses there; for tables 3 and 4, one instead of all."""
    seeds: tuple[int, ...] = ()
    """Seeds of the runs; by default 1 2 3 (NAS-Bench-201) and 2 3 4 (S1–S5); with the preset laptop 1 2 3 4, with paper
    0 1 2 3."""
    run: bool = True
    """Run what is missing; --no_run draws what there is and leaves the rest empty."""
    dry_run: bool = False
    """Print the commands of what is missing, in their order; run and draw nothing."""
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
        if (self.figure is not None) + (self.table is not None) + self.all != 1:
            raise UserError("expected either --figure N (1 to 6), --table N (1 to 4) or --all")
        if self.figure is not None:
            in_range("figure", self.figure, FIGURES[0], FIGURES[-1])
        if self.table is not None:
            in_range("table", self.table, TABLES[0], TABLES[-1])
        if self.dataset == "folder" and (self.preset != "laptop" or not self.data or not self.table_dataset):
            raise UserError(
                "--dataset folder: the paper has no such data; only --preset laptop takes the images of a published set "
                "from a folder, by --data DIR --table_dataset cifar10; for data of your own use report.sh"
            )
        if self.dataset != "folder" and (self.data or self.table_dataset):
            raise UserError("--data and --table_dataset are for --dataset folder")
        if self.preset == "laptop":
            one_of("space", self.space or LAPTOP_SPACE, (LAPTOP_SPACE,))
            if not self.all and (self.kind, self.number) not in LAPTOP_ORDER:
                there = listed([f"--{kind} {number}" for kind, number in LAPTOP_ORDER])
                raise UserError(f"--{self.kind} {self.number}: expected with --preset laptop one of {there}")
        elif self.space is not None:
            one_of("space", self.space, SPACES)
            usual = DEFAULT_SPACES.get((self.kind, self.number), ())
            if self.table in ABOUT and self.space not in usual:
                about = f"table {self.table} is about {ABOUT[self.table]}"
                raise UserError(f"--space {self.space}: {about}; expected {listed(usual)}")
        if any(seed < 0 for seed in self.seeds):
            raise UserError("--seeds: expected whole numbers from 0 on")

    @property
    def kind(self) -> str:
        return "figure" if self.figure is not None else "table"

    @property
    def number(self) -> int:
        return self.figure or self.table or 0

    @property
    def published(self) -> str:
        """The data set, also where a folder holds its images."""
        return self.table_dataset or self.dataset or ("digits" if self.preset == "digits" else "cifar10")

    @property
    def order(self) -> Sequence[tuple[str, int]]:
        """The figures and tables of --all."""
        return LAPTOP_ORDER if self.preset == "laptop" else ORDER

    @property
    def spaces(self) -> tuple[str, ...]:
        if self.preset == "laptop":
            return (LAPTOP_SPACE,)
        return (self.space,) if self.space else DEFAULT_SPACES[self.kind, self.number]

    @property
    def stem(self) -> str:
        """The beginning of the files' names."""
        parts = [self.kind, str(self.number), *([self.spaces[0]] if len(self.spaces) == 1 else []), self.published]
        parts += {"digits": [], "laptop": ["laptop"], "paper": ["full"]}[self.preset]
        return "-".join(parts + (["fast"] if self.fast else []))


@dataclass
class Result:
    """A figure or a table before it is written.

    Attributes:
        drawings: label, space and architecture of cells to draw.
        table: header and rows: of a table what it shows, of a figure its numbers, for the JSON file alone.
    """

    title: str
    caption: str
    pictures: list[Picture] = field(default_factory=list)
    drawings: list[tuple[str, str, str]] = field(default_factory=list)
    table: tuple[list[str], list[list[str]]] | None = None
