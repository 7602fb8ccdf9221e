"""Look an architecture up in a benchmark table: true accuracy, rank and regret, without training."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from darts_pt.run.errors import UserError, did_you_mean, listed
from darts_pt.run.provenance import PROJECT_ROOT
from nasbench201.table.file import MEAN, SPLITS, ResultColumn, read_table, result_column
from nasbench201.table.isomorphism import COUNT, number_of, representatives

log = logging.getLogger(__name__)

DATA_ROOT = PROJECT_ROOT / "data"
TABLE_NAME = "nasbench201.npz"
"""File name of the imported table under the data root."""

MEANS_TABLE = Path(__file__).with_name("means.npz")
"""NAS-Bench-201's mean accuracies, which come with the code (docs/benchmark-table.md)."""

DIGITS_TABLE = Path(__file__).resolve().parents[1] / "digits_table" / "table.npz"
"""NAS-Bench-201-Digits, which comes with the code (docs/digits-table.md)."""

PUBLISHED = ("NAS-Bench-201-v1_1-096897.pth", "NAS-Bench-201-v1_0-e61699.pth", "NATS-tss-v1_0-3ffb9-simple")
"""Names of the published files and folders, the most complete first."""

TABLE_HINT = (
    "the tables that come with the code have mean accuracies only; for more get NAS-Bench-201-v1_1-096897.pth "
    "(github.com/D-X-Y/NAS-Bench-201) and run: python -m nasbench201.table import FILE"
)


@dataclass(frozen=True)
class Ranking:
    """An architecture's place among all architectures of a table.

    Attributes:
        rank: 1 is the best of `total`; equal accuracies share a rank.
        rank_unique: the rank among `total_unique` classes of isomorphic architectures, by the mean of each class.
        percentile: 100 is the best, 0 the worst.
        regret: distance to the best accuracy, in percentage points.
        accuracy: in percent.
    """

    rank: int
    rank_unique: int
    total: int
    total_unique: int
    percentile: float
    regret: float
    accuracy: float


class Table:
    """A benchmark table. Methods raise UserError for text that is not an architecture and for data that the table lacks.

    Raises:
        UserError: the file is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.facts, self._stored = read_table(path)
        self.results = [column for name in self._stored if (column := result_column(name)) is not None]
        self.datasets: tuple[str, ...] = tuple(dict.fromkeys(column.dataset for column in self.results))
        self._columns: dict[str, np.ndarray] = {}

    @cached_property
    def _rows(self) -> np.ndarray:
        """int64 [15625]: the row of each architecture by number; -1 if the table lacks it."""
        rows = np.full(COUNT, -1)
        numbers = self._stored["number"]
        rows[numbers] = np.arange(len(numbers))
        return rows[representatives()] if self.facts.get("rows") == "isomorphism classes" else rows

    def budgets(self, dataset: str) -> tuple[int, ...]:
        """The numbers of epochs with results, ascending."""
        budgets = sorted({column.epochs for column in self.results if column.dataset == dataset})
        if not budgets:
            is_built_in = self.path in (MEANS_TABLE, DIGITS_TABLE)
            close, hint = did_you_mean(dataset, self.datasets), f"; {TABLE_HINT}" if is_built_in else ""
            raise UserError(
                f"{self.path.name} has no data set {dataset!r}{close}: expected {listed(self.datasets) or 'none'}{hint}"
            )
        return tuple(budgets)

    def budget(self, dataset: str, epochs: int | None) -> int:
        """`epochs` if the table has results of them; the largest number for None."""
        budgets = self.budgets(dataset)
        if epochs is not None and epochs not in budgets:
            known = listed([str(budget) for budget in budgets])
            raise UserError(f"{self.path.name} has no results of {epochs} epochs on {dataset}: expected {known}")
        return budgets[-1] if epochs is None else epochs

    def values(self, dataset: str, quantity: str, epochs: int | None = None, seed: str = MEAN) -> np.ndarray:
        """float64 [15625]: a quantity of each architecture by number; NaN if the table lacks it."""
        budget = self.budget(dataset, epochs)
        name = ResultColumn(dataset, budget, quantity, seed).name
        if seed == MEAN and name not in self._columns and name not in self._stored:
            seeds = [self.values(dataset, quantity, budget, each) for each in self.seeds(dataset, budget)]
            self._columns[name] = _mean(np.stack(seeds or [np.full(COUNT, np.nan)]))
        return self._column(name)

    def cost(self, dataset: str, quantity: str) -> np.ndarray:
        """float64 [15625]: `parameters` or `flops` of each architecture's network for that data set."""
        return self._column(f"{dataset}/{quantity}")

    def _column(self, name: str) -> np.ndarray:
        if name not in self._columns:
            values = np.full(COUNT, np.nan)
            if name in self._stored:
                present = self._rows >= 0
                values[present] = self._stored[name][self._rows[present]]
            self._columns[name] = values
        return self._columns[name]

    def number(self, architecture: str) -> int:
        """The number of an architecture that the table has."""
        number = number_of(architecture)
        if self._rows[number] < 0:
            held = int((self._rows >= 0).sum())
            raise UserError(f"{self.path.name} lacks the architecture {architecture}: it holds {held} of {COUNT}")
        return number

    def seeds(self, dataset: str, epochs: int | None = None) -> list[str]:
        """The seeds with separate results."""
        budget = self.budget(dataset, epochs)
        found = {column.seed for column in self.results if (column.dataset, column.epochs) == (dataset, budget)}
        return sorted(found - {MEAN}, key=lambda seed: (len(seed), seed))

    def noise(self, dataset: str, quantity: str, epochs: int | None = None) -> float | None:
        """Standard deviation of a quantity between the seeds of an architecture, pooled; None without seeds."""
        seeds = [self.values(dataset, quantity, epochs, seed) for seed in self.seeds(dataset, epochs)]
        stacked = np.stack(seeds) if seeds else np.empty((0, COUNT))
        several = (~np.isnan(stacked)).sum(axis=0) > 1
        return float(np.sqrt(np.nanvar(stacked[:, several], axis=0, ddof=1).mean())) if several.any() else None

    def accuracies(self, architecture: str, dataset: str, epochs: int | None = None) -> dict[str, float]:
        """Split -> mean accuracy over the seeds in percent."""
        number = self.number(architecture)
        found = {split: float(self.values(dataset, f"{split}_accuracy", epochs)[number]) for split in SPLITS}
        return {split: value for split, value in found.items() if not np.isnan(value)}

    def look_up(self, architecture: str) -> dict[str, dict[str, float]]:
        """Data set -> split -> mean accuracy in percent, after the most epochs that the table has.

        Empty if the table lacks the architecture, so that a search can go on. Trainings on the train half of CIFAR-10
        (`cifar10-valid`) are left to :meth:`accuracies`.
        """
        if self._rows[number_of(architecture)] < 0:
            return {}
        datasets = [dataset for dataset in self.datasets if dataset != "cifar10-valid"]
        found = {dataset: self.accuracies(architecture, dataset) for dataset in datasets}
        return {dataset: accuracies for dataset, accuracies in found.items() if accuracies}

    def ranking(self, architecture: str, dataset: str, epochs: int | None = None, split: str = "test") -> Ranking:
        """Rank and regret of an architecture, by mean accuracy."""
        number = self.number(architecture)
        values = self.values(dataset, f"{split}_accuracy", epochs)
        own = values[number]
        if np.isnan(own):
            raise UserError(f"{self.path.name} has no {split} accuracy of {architecture} on {dataset}")
        known = ~np.isnan(values)
        classes = representatives()
        sums = np.bincount(classes[known], weights=values[known], minlength=COUNT)
        counts = np.bincount(classes[known], minlength=COUNT)
        means = sums[counts > 0] / counts[counts > 0]
        class_mean = sums[classes[number]] / counts[classes[number]]
        rank, total = 1 + int((values > own).sum()), int(known.sum())
        return Ranking(
            rank=rank,
            rank_unique=1 + int((means > class_mean + 1e-9).sum()),
            total=total,
            total_unique=len(means),
            percentile=100.0 * (total - rank) / max(1, total - 1),
            regret=float(np.nanmax(values) - own),
            accuracy=float(own),
        )


def _mean(stacked: np.ndarray) -> np.ndarray:
    """The mean over the first dimension without NaN; NaN where all values are."""
    known = ~np.isnan(stacked)
    with np.errstate(invalid="ignore"):
        return np.where(known, stacked, 0.0).sum(axis=0) / known.sum(axis=0)


def find_table(data_root: Path, dataset: str | None = None) -> Table | None:
    """The table with true accuracies on a data set; None if there is none.

    The imported table in `data_root` comes first; a published file there is imported once. Next come the tables of the
    code, where digits always is.

    Args:
        dataset: None for any.

    Raises:
        UserError: a file is damaged.
    """
    tables = (Table(path) for path in ([DIGITS_TABLE] if dataset == "digits" else _paths(data_root)))
    return next((table for table in tables if dataset is None or dataset in table.datasets), None)


def _paths(data_root: Path) -> Iterator[Path]:
    imported = data_root / TABLE_NAME
    if imported.is_file() or _import_published(data_root, imported):
        yield imported
    elif imported.with_suffix(".parquet").is_file():
        log.warning(
            "%s was made by an earlier version and is not read: import the published file again (python -m "
            "nasbench201.table import FILE); until then %s is used", imported.with_suffix(".parquet"), MEANS_TABLE.name
        )  # fmt: skip
    yield MEANS_TABLE


def _import_published(data_root: Path, target: Path) -> bool:
    """Import a published file found in `data_root`; False if there is none."""
    for source in (data_root / name for name in PUBLISHED):
        if source.exists():
            from nasbench201.table.importing import import_file

            log.info("importing %s into %s, once; the full file takes some ten minutes", source, target)
            log.info("%s: %s", target.name, import_file(source, target))
            return True
    return False
