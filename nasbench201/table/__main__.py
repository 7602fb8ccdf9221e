"""The benchmark table: an architecture's true accuracy, rank and regret, without training.

Commands: `import` converts a published benchmark file into a compact table; `query`, `top` and `stats` look things up.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from darts_pt.commands.command_line import run_command
from darts_pt.commands.help_page import typed_command
from darts_pt.run.errors import UserError, did_you_mean, listed, positive
from nasbench201.table.file import SPLITS
from nasbench201.table.isomorphism import architecture_at, isomorphic, representatives
from nasbench201.table.lookup import DATA_ROOT, MEANS_TABLE, TABLE_NAME, Table, find_table


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """Convert a published benchmark file into a compact table.

    It reads NAS-Bench-201-v1_0-e61699.pth, NAS-Bench-201-v1_1-096897.pth, NATS-Bench's topology file (.pickle.pbz2) or
    its folder of one file per architecture, and CSV files with a column `arch` and columns such as cifar10_test_200.
    """

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """The file or folder to import."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE")] = DATA_ROOT / TABLE_NAME
    """The table to write."""
    md5: str | None = None
    """Expected MD5 of the file; stop if it differs."""
    note: str = ""
    """A note to keep in the table; `stats` shows it."""


@dataclass(frozen=True, kw_only=True)
class _LookUpOptions:
    table: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The table; by default the imported one, else one that comes with the code."""
    dataset: str | None = None
    """The data set; by default all of the table. Digits has its own table."""
    epochs: int | None = None
    """Epochs of the trainings; by default the most there are."""

    def open(self) -> Table:
        if self.table is not None:
            return Table(self.table)
        found = find_table(DATA_ROOT, self.dataset.lower() if self.dataset else None)
        return found or Table(MEANS_TABLE)  # Its error says where to get other data sets.

    def datasets(self, table: Table) -> tuple[str, ...]:
        """The data sets asked for; UserError if the table lacks them or the epochs."""
        if self.dataset:
            table.budget(self.dataset.lower(), self.epochs)
            return (self.dataset.lower(),)
        found = tuple(name for name in table.datasets if self.epochs is None or self.epochs in table.budgets(name))
        if not found:
            table.budget(table.datasets[0], self.epochs)  # Raises: its error lists the epochs there are.
        return found


@dataclass(frozen=True, kw_only=True)
class QueryOptions(_LookUpOptions):
    """Show an architecture's accuracies, ranks and regret."""

    arch: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ARCH")]
    """The architecture: '|op~0|+|op~0|op~1|+|op~0|op~1|op~2|', in quotes."""


@dataclass(frozen=True, kw_only=True)
class TopOptions(_LookUpOptions):
    """List the best architectures by mean test accuracy."""

    n: Annotated[int, tyro.conf.arg(aliases=["-n"], metavar="COUNT")] = 10
    """How many to list."""
    unique: bool = False
    """List only the first of isomorphic architectures."""


@dataclass(frozen=True, kw_only=True)
class StatsOptions(_LookUpOptions):
    """Summarise a table: its source, its epochs, the spread of accuracies and their noise between seeds."""


def run_import(options: ImportOptions) -> None:
    from nasbench201.table.importing import import_file

    print(f"{options.output}: {import_file(options.file, options.output, options.md5, options.note)}")


def run_query(options: QueryOptions) -> None:
    table = options.open()
    number, datasets = table.number(options.arch), options.datasets(table)
    same = [architecture_at(other) for other in isomorphic(number) if other != number]
    print(f"architecture  {architecture_at(number)}")
    print(f"table         {table.path}")
    print(f"isomorphic    {listed(same, 3) if same else 'none other'}")
    for dataset in datasets:
        budget = table.budget(dataset, options.epochs)
        seeds = table.seeds(dataset, budget)
        print(f"{dataset}, {budget} epochs, " + (f"mean over the seeds {listed(seeds)}" if seeds else "mean"))
        known = table.accuracies(options.arch, dataset, budget)
        print("  accuracy    " + (", ".join(f"{split} {value:.2f} %" for split, value in known.items()) or "unknown"))
        for split in ("test", "valid"):
            if split in known:
                ranking = table.ranking(options.arch, dataset, budget, split)
                print(
                    f"  by {split:<5}    rank {ranking.rank} of {ranking.total}, among unique ones "
                    f"{ranking.rank_unique} of {ranking.total_unique}, percentile {ranking.percentile:.2f}, "
                    f"regret {ranking.regret:.2f} points"
                )
        costs = {name: table.cost(dataset, name)[number] for name in ("parameters", "flops")}
        if known_costs := [f"{name} {value:,.0f}" for name, value in costs.items() if not np.isnan(value)]:
            print(f"  cost        {', '.join(known_costs)}")


def run_top(options: TopOptions) -> None:
    positive("n", options.n)
    table = options.open()
    datasets = options.datasets(table)
    if len(datasets) != 1:
        raise UserError(f"top needs --dataset: expected one of {listed(datasets)}")
    (dataset,) = datasets
    values = table.values(dataset, "test_accuracy", options.epochs)
    order = np.argsort(-values, kind="stable")[: np.count_nonzero(~np.isnan(values))]  # NaN comes last
    if not len(order):
        raise UserError(f"{table.path.name} has no test accuracies on {dataset}")
    if options.unique:
        _, first = np.unique(representatives()[order], return_index=True)
        order = order[np.sort(first)]
    for rank, number in enumerate(order[: options.n].tolist(), start=1):
        print(f"{rank:>5}  {values[number]:.2f} %  {architecture_at(number)}")


def run_stats(options: StatsOptions) -> None:
    table = options.open()
    print(f"table  {table.path}")
    for name, fact in table.facts.items():
        print(f"{name}  {fact}")
    for dataset in options.datasets(table):
        for budget in table.budgets(dataset) if options.epochs is None else (options.epochs,):
            for split in SPLITS:
                _print_spread(table, dataset, budget, f"{split}_accuracy")


def _print_spread(table: Table, dataset: str, budget: int, quantity: str) -> None:
    values = table.values(dataset, quantity, budget)
    values = values[~np.isnan(values)]
    if not len(values):
        return
    low, middle, high = np.percentile(values, (0, 50, 100))
    noise = table.noise(dataset, quantity, budget)
    print(
        f"{dataset}, {budget} epochs, {quantity.partition('_')[0]}: {len(values)} architectures, {low:.2f} to "
        f"{high:.2f} %, median {middle:.2f}, standard deviation {values.std():.2f}"
        + (f", of one architecture's seeds {noise:.2f}" if noise is not None else "")
    )


COMMANDS: dict[str, tuple[type[Any], Callable[[Any], None]]] = {
    "import": (ImportOptions, run_import),
    "query": (QueryOptions, run_query),
    "top": (TopOptions, run_top),
    "stats": (StatsOptions, run_stats),
}


def main(argv: list[str]) -> None:
    name, program = argv[0] if argv else "--help", typed_command("python -m nasbench201.table")
    if name in ("-h", "--help"):
        print(f"usage: {program} {{{','.join(COMMANDS)}}} [--help]\n\n{__doc__}")
        return
    if name not in COMMANDS:

        def unknown(_: StatsOptions) -> None:
            raise UserError(f"unknown command {name!r}{did_you_mean(name, COMMANDS)}; expected {listed(COMMANDS)}")

        run_command(StatsOptions, unknown, [], program)
    options_type, run = COMMANDS[name]
    run_command(options_type, run, argv[1:], f"{program} {name}")


if __name__ == "__main__":
    main(sys.argv[1:])
