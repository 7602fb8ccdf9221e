"""Looking an architecture up in a benchmark table: its true accuracy, its rank and its regret, without training."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from darts_pt.run.errors import UserError
from darts_pt.run.provenance import PROJECT_ROOT
from darts_pt.run.suggestions import did_you_mean, listed
from nasbench201.architecture import operations_of
from nasbench201.table import isomorphism
from nasbench201.table.file import MEAN, SPLITS, ResultColumn, TableFile, result_column

log = logging.getLogger(__name__)

DATA_ROOT = PROJECT_ROOT / "data"
TABLE_NAME = "nasbench201.parquet"
"""The imported table's name under the data root."""

DIGITS_TABLE = Path(__file__).resolve().parents[1] / "digits_table" / "table.parquet"
"""NAS-Bench-201-Digits, which comes with the code (docs/digits-table.md)."""

BENCHMARK_DATASETS = ("cifar10", "cifar10-valid", "cifar100", "imagenet16-120")
"""What the published benchmark files tell of."""

TABLE_HINT = (
    "no benchmark table for this data set, so true accuracies are not shown: get NAS-Bench-201-v1_1-096897.pth "
    "(github.com/D-X-Y/NAS-Bench-201) and run: python -m nasbench201.table import FILE"
)


@dataclass(frozen=True)
class Standing:
    """How good an architecture is among all others of a table, by test accuracy.

    Attributes:
        rank: 1 is the best of `total` architectures; equally good ones share a rank.
        rank_unique: likewise with isomorphic architectures counted once, by the mean over them, of `total_unique`.
        percentile: 100 is the best, 0 the worst.
        regret: what it lacks to the best accuracy, in percentage points.
        accuracy: its own, in percent.
    """

    rank: int
    rank_unique: int
    total: int
    total_unique: int
    percentile: float
    regret: float
    accuracy: float


class Table:
    """A benchmark table.

    Raises:
        UserError: the file is missing or damaged; below, for what it does not hold.
    """

    def __init__(self, path: Path) -> None:
        self.file = TableFile(path)
        self.results = [column for name in self.file.names if (column := result_column(name)) is not None]
        self.datasets: tuple[str, ...] = tuple(dict.fromkeys(column.dataset for column in self.results))
        self._columns: dict[str, np.ndarray] = {}

    @property
    def path(self) -> Path:
        return self.file.path

    @cached_property
    def _rows(self) -> np.ndarray:
        """int64 [15625]: the row of every architecture by its number; -1 where the table lacks it."""
        rows = np.full(isomorphism.COUNT, -1)
        numbers = self.file.values("number").astype(np.int64)
        rows[numbers] = np.arange(len(numbers))
        if self.file.facts.get("rows") == "isomorphism classes":
            rows = rows[isomorphism.representatives()]
        return rows

    def budgets(self, dataset: str) -> tuple[int, ...]:
        """The numbers of epochs for which there are results, ascending.

        Raises:
            UserError: there are none for that data set.
        """
        budgets = sorted({column.epochs for column in self.results if column.dataset == dataset})
        if not budgets:
            close = did_you_mean(dataset, self.datasets)
            if self.path == DIGITS_TABLE and dataset in BENCHMARK_DATASETS:
                raise UserError(f"{dataset}: {TABLE_HINT}")
            raise UserError(
                f"{self.path.name} has no data set {dataset!r}{close}: expected {listed(self.datasets) or 'none'}"
            )
        return tuple(budgets)

    def budget(self, dataset: str, epochs: int | None) -> int:
        """`epochs`, or by default the largest budget; UserError if the table lacks it."""
        budgets = self.budgets(dataset)
        if epochs is not None and epochs not in budgets:
            known = listed([str(budget) for budget in budgets])
            raise UserError(f"{self.path.name} has no results of {epochs} epochs on {dataset}: expected {known}")
        return budgets[-1] if epochs is None else epochs

    def values(self, dataset: str, quantity: str, epochs: int | None = None, seed: str = MEAN) -> np.ndarray:
        """float64 [15625]: a quantity of every architecture by number; NaN where the table lacks it."""
        name = ResultColumn(dataset, self.budget(dataset, epochs), quantity, seed).name
        return self._column(name)

    def cost(self, dataset: str, quantity: str) -> np.ndarray:
        """float64 [15625]: `parameters` or `flops` of every architecture's network for that data set."""
        return self._column(f"{dataset}/{quantity}")

    def _column(self, name: str) -> np.ndarray:
        if name not in self._columns:
            values = np.full(isomorphism.COUNT, np.nan)
            if name in self.file.names:
                present = self._rows >= 0
                values[present] = self.file.values(name)[self._rows[present]]
            self._columns[name] = values
        return self._columns[name]

    def number_of(self, architecture: str) -> int:
        """The architecture's number; UserError if it is none, or if the table lacks it."""
        number = isomorphism.code(operations_of(architecture))
        if self._rows[number] < 0:
            raise UserError(
                f"{self.path.name} lacks the architecture {architecture}: it holds "
                f"{int((self._rows >= 0).sum())} of {isomorphism.COUNT}"
            )
        return number

    def seeds(self, dataset: str, epochs: int | None = None) -> list[str]:
        """The seeds with results of their own."""
        budget = self.budget(dataset, epochs)
        found = {column.seed for column in self.results if (column.dataset, column.epochs) == (dataset, budget)}
        return sorted(found - {MEAN}, key=lambda seed: (len(seed), seed))

    def noise(self, dataset: str, quantity: str, epochs: int | None = None) -> float | None:
        """The standard deviation of a quantity between seeds of one architecture, over all; None without seeds."""
        seeds = [self.values(dataset, quantity, epochs, seed) for seed in self.seeds(dataset, epochs)]
        if len(seeds) < 2:
            return None
        stacked = np.stack(seeds)
        several = (~np.isnan(stacked)).sum(axis=0) > 1
        return float(np.sqrt(np.nanvar(stacked[:, several], axis=0, ddof=1).mean())) if several.any() else None

    def accuracies(self, architecture: str, dataset: str, epochs: int | None = None) -> dict[str, float]:
        """Split -> mean accuracy over the seeds, percent, of the splits that the table has."""
        number = self.number_of(architecture)
        found = {split: float(self.values(dataset, f"{split}_accuracy", epochs)[number]) for split in SPLITS}
        return {split: value for split, value in found.items() if not np.isnan(value)}

    def look_up(self, architecture: str) -> dict[str, dict[str, float]]:
        """Data set -> split -> mean accuracy in percent, at the largest budget of epochs.

        Empty if the table lacks the architecture: a search goes on. CIFAR-10 is as trained on its whole training set;
        what the benchmark trained on the train half (`cifar10-valid`) is left to :meth:`accuracies`.

        Raises:
            UserError: the text is no architecture.
        """
        if self._rows[isomorphism.code(operations_of(architecture))] < 0:
            return {}
        datasets = [dataset for dataset in self.datasets if dataset != "cifar10-valid"]
        found = {dataset: self.accuracies(architecture, dataset) for dataset in datasets}
        return {dataset: accuracies for dataset, accuracies in found.items() if accuracies}

    def standing(self, architecture: str, dataset: str, epochs: int | None = None, split: str = "test") -> Standing:
        """Where the architecture stands among all that the table has, by its mean accuracy.

        Raises:
            UserError: the text is no architecture; the table lacks it, the data set, the epochs or the split.
        """
        number = self.number_of(architecture)
        values = self.values(dataset, f"{split}_accuracy", epochs)
        own = values[number]
        if np.isnan(own):
            raise UserError(f"{self.path.name} has no {split} accuracy of {architecture} on {dataset}")
        known = ~np.isnan(values)
        classes = isomorphism.representatives()
        sums = np.bincount(classes[known], weights=values[known], minlength=isomorphism.COUNT)
        counts = np.bincount(classes[known], minlength=isomorphism.COUNT)
        means = sums[counts > 0] / counts[counts > 0]
        class_mean = sums[classes[number]] / counts[classes[number]]
        rank, total = 1 + int((values > own).sum()), int(known.sum())
        return Standing(
            rank=rank,
            rank_unique=1 + int((means > class_mean + 1e-9).sum()),
            total=total,
            total_unique=len(means),
            percentile=100.0 * (total - rank) / max(1, total - 1),
            regret=float(np.nanmax(values) - own),
            accuracy=float(own),
        )


def find_table(data_root: Path, dataset: str) -> Table | None:
    """The table that tells true accuracies on a data set.

    For digits the embedded one. For the others the imported table in `data_root`; failing that, an official file
    there is imported first, once, which is logged. None where there is neither: say :data:`TABLE_HINT` then.

    Raises:
        UserError: a file is there, but damaged.
    """
    if dataset == "digits":
        return Table(DIGITS_TABLE) if DIGITS_TABLE.is_file() else None
    path = data_root / TABLE_NAME
    if path.is_file():
        return Table(path)
    from nasbench201.table.importing import OFFICIAL, import_file

    for name in OFFICIAL:
        official = data_root / name
        if official.exists():
            log.info("importing %s into %s, once; the full file takes some ten minutes", official, path)
            log.info("%s: %s", path.name, import_file(official, path))
            return Table(path)
    return None
