"""The benchmark table: an architecture's true accuracy, its rank and its regret, in milliseconds and without training.

Commands: `import` turns a published benchmark file into a compact table; `query`, `top` and `stats` look things up.
For code: :func:`find_table` and :class:`Table`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from darts_pt.commands.command_line import positive, run_command
from darts_pt.run.errors import UserError
from darts_pt.run.suggestions import did_you_mean, listed
from nasbench201.table import isomorphism
from nasbench201.table.file import SPLITS
from nasbench201.table.lookup import DATA_ROOT, TABLE_HINT, TABLE_NAME, Standing, Table, find_table

__all__ = ["TABLE_HINT", "Standing", "Table", "find_table"]


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """Turn a published benchmark file into a compact table.

    Takes NAS-Bench-201-v1_0-e61699.pth, NAS-Bench-201-v1_1-096897.pth, NATS-Bench's topology file (.pickle.pbz2) or its
    folder of one file per architecture, and CSV files with a column `arch` and columns such as cifar10_test_200.
    """

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """The file or folder to import."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE")] = DATA_ROOT / TABLE_NAME
    """The table to write."""
    md5: str | None = None
    """Refuse the file unless this is its MD5."""


@dataclass(frozen=True, kw_only=True)
class _LookUpOptions:
    table: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The table to look into; by default the imported one, or else the embedded one of digits."""
    dataset: str | None = None
    """The data set; by default all of the table."""
    epochs: int | None = None
    """The budget of epochs; by default the largest."""

    def open(self) -> Table:
        """The table that is meant."""
        if self.table is not None:
            return Table(self.table)
        found = find_table(DATA_ROOT, self.dataset or "")
        found = found or find_table(DATA_ROOT, "digits")
        if found is None:
            raise UserError(TABLE_HINT)
        return found

    def datasets(self, table: Table) -> tuple[str, ...]:
        """The data sets that are meant; UserError if the table lacks them or the budget."""
        chosen = (self.dataset.lower(),) if self.dataset else table.datasets
        if self.dataset:
            table.budget(chosen[0], self.epochs)
            return chosen
        having = tuple(name for name in chosen if self.epochs is None or self.epochs in table.budgets(name))
        if not having:
            table.budget(chosen[0], self.epochs)  # says which there are
        return having


@dataclass(frozen=True, kw_only=True)
class QueryOptions(_LookUpOptions):
    """An architecture's accuracies, ranks and regret."""

    arch: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ARCH")]
    """The architecture: |op~0|+|op~0|op~1|+|op~0|op~1|op~2|."""


@dataclass(frozen=True, kw_only=True)
class TopOptions(_LookUpOptions):
    """The best architectures by mean test accuracy."""

    n: Annotated[int, tyro.conf.arg(aliases=["-n"], metavar="COUNT")] = 10
    """How many."""
    unique: bool = False
    """Of isomorphic architectures only the best."""


@dataclass(frozen=True, kw_only=True)
class StatsOptions(_LookUpOptions):
    """What a table holds: architectures, budgets, seeds, how accuracies are spread and how much they vary by seed."""


def run_import(options: ImportOptions) -> None:
    """Convert, and say what was found."""
    from nasbench201.table.importing import import_file

    print(f"{options.output}: {import_file(options.file, options.output, options.md5)}")


def run_query(options: QueryOptions) -> None:
    """Print what the table knows of an architecture."""
    table = options.open()
    number, datasets = table.number_of(options.arch), options.datasets(table)
    same = [isomorphism.architecture_at(other) for other in isomorphism.isomorphic(number) if other != number]
    print(f"architecture  {isomorphism.architecture_at(number)}")
    print(f"table         {table.path}")
    print(f"isomorphic    {listed(same, 3) if same else 'none other'}")
    for dataset in datasets:
        budget = table.budget(dataset, options.epochs)
        print(f"{dataset}, {budget} epochs, {_seeds(table.seeds(dataset, budget))}")
        known = table.accuracies(options.arch, dataset, budget)
        print("  accuracy    " + (", ".join(f"{split} {value:.2f} %" for split, value in known.items()) or "unknown"))
        for split in ("test", "valid"):
            if split in known:
                standing = table.standing(options.arch, dataset, budget, split)
                print(
                    f"  by {split:<5}    rank {standing.rank} of {standing.total}, among unique ones "
                    f"{standing.rank_unique} of {standing.total_unique}, percentile {standing.percentile:.2f}, "
                    f"regret {standing.regret:.2f} points"
                )
        costs = {name: table.cost(dataset, name)[number] for name in ("parameters", "flops")}
        told = [f"{name} {value:,.0f}" for name, value in costs.items() if value == value]
        if told:
            print(f"  cost        {', '.join(told)}")


def _seeds(seeds: list[str]) -> str:
    """Whose mean the accuracies are."""
    return f"mean over the seeds {listed(seeds)}" if len(seeds) > 1 else f"seed {seeds[0]}" if seeds else "mean"


def run_top(options: TopOptions) -> None:
    """Print the best architectures."""
    positive("n", options.n)
    table = options.open()
    datasets = options.datasets(table)
    if len(datasets) != 1:
        raise UserError(f"top needs --dataset: expected one of {listed(datasets)}")
    (dataset,) = datasets
    values = table.values(dataset, "test_accuracy", options.epochs)
    if np.isnan(values).all():
        raise UserError(f"{table.path.name} has no test accuracies on {dataset}")
    order = np.argsort(-np.where(np.isnan(values), -np.inf, values), kind="stable")
    shown: set[int] = set()
    rank = 0
    for number in order.tolist():
        representative = int(isomorphism.representatives()[number])
        if np.isnan(values[number]) or rank == options.n:
            break
        if options.unique and representative in shown:
            continue
        shown.add(representative)
        rank += 1
        print(f"{rank:>5}  {values[number]:.2f} %  {isomorphism.architecture_at(number)}")


def run_stats(options: StatsOptions) -> None:
    """Print what the table holds."""
    table = options.open()
    datasets = options.datasets(table)
    print(f"table  {table.path}")
    for name, fact in table.file.facts.items():
        print(f"{name}  {fact}")
    for dataset in datasets:
        for budget in table.budgets(dataset) if options.epochs is None else (options.epochs,):
            for split in SPLITS:
                _print_spread(table, dataset, budget, split)


def _print_spread(table: Table, dataset: str, budget: int, split: str) -> None:
    quantity = f"{split}_accuracy"
    values = table.values(dataset, quantity, budget)
    values = values[~np.isnan(values)]
    if not len(values):
        return
    low, middle, high = np.percentile(values, (0, 50, 100))
    line = (
        f"{dataset}, {budget} epochs, {split}: {len(values)} architectures, {low:.2f} to {high:.2f} %, median "
        f"{middle:.2f}, standard deviation {values.std():.2f}"
    )
    noise = table.noise(dataset, quantity, budget)
    print(line + (f", of one architecture's seeds {noise:.2f}" if noise is not None else ""))


COMMANDS: dict[str, tuple[type[Any], Callable[[Any], None]]] = {
    "import": (ImportOptions, run_import),
    "query": (QueryOptions, run_query),
    "top": (TopOptions, run_top),
    "stats": (StatsOptions, run_stats),
}


def main(argv: list[str]) -> None:
    """Dispatch to the command named first."""
    name = argv[0] if argv else "--help"
    if name in ("-h", "--help"):
        print(f"usage: python -m nasbench201.table {{{','.join(COMMANDS)}}} [--help]\n\n{__doc__}")
        return
    program = "python -m nasbench201.table"
    if name not in COMMANDS:

        def unknown(_: StatsOptions) -> None:
            raise UserError(f"unknown command {name!r}{did_you_mean(name, COMMANDS)}; expected {listed(COMMANDS)}")

        run_command(StatsOptions, unknown, [], program)
    options_type, run = COMMANDS[name]
    run_command(options_type, run, argv[1:], f"{program} {name}")


if __name__ == "__main__":
    main(sys.argv[1:])
