"""Making a compact table out of a published benchmark file or a CSV; memory does not grow with the file."""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from darts_pt.run.errors import UserError
from darts_pt.run.suggestions import listed
from nasbench201.architecture import operations_of
from nasbench201.table import isomorphism, published_hash
from nasbench201.table.file import MEAN, SPLITS, ResultColumn, result_column, write_table
from nasbench201.table.official_files import Training, read_official

OFFICIAL = ("NAS-Bench-201-v1_1-096897.pth", "NAS-Bench-201-v1_0-e61699.pth", "NATS-tss-v1_0-3ffb9-simple")
"""Names of published files and folders, the richest first."""

_CSV_RESULT = re.compile(r"(?P<dataset>.+)_(?P<split>train|valid|test)(_(?P<metric>accuracy|loss))?_(?P<epochs>\d+)")
_TEXT: dict[str, Any] = {"encoding": "utf-8", "newline": ""}
_CSV_DATASETS = {"imagenet16_120": "imagenet16-120", "cifar10_valid": "cifar10-valid"}


class Collector:
    """Results by architecture and column as they come; then the table."""

    def __init__(self) -> None:
        self.columns: dict[str, np.ndarray] = {}
        self.present = np.zeros(isomorphism.COUNT, bool)

    def add(self, architecture: str, trainings: list[Training]) -> None:
        """Take the trainings of an architecture."""
        number = isomorphism.code(operations_of(architecture))
        self.present[number] = True
        for training in trainings:
            for quantity, value in training.quantities.items():
                name = ResultColumn(training.dataset, training.epochs, quantity, str(training.seed)).name
                self.put(number, name, value)
            self.put(number, f"{training.dataset}/parameters", training.parameters)
            self.put(number, f"{training.dataset}/flops", training.flops)

    def put(self, number: int, column: str, value: float) -> None:
        """Set one number."""
        self.present[number] = True
        if column not in self.columns:
            self.columns[column] = np.full(isomorphism.COUNT, np.nan)
        self.columns[column][number] = value

    def write(self, path: Path, facts: dict[str, Any]) -> None:
        """Write the table, with the mean over the seeds beside the seeds."""
        numbers = np.flatnonzero(self.present)
        columns = {name: values[numbers] for name, values in sorted(self.columns.items())} | self._means(numbers)
        architectures = [isomorphism.architecture_at(number) for number in numbers.tolist()]
        write_table(path, architectures, columns, facts)

    def _means(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        seeds: dict[ResultColumn, list[np.ndarray]] = {}
        for name, values in self.columns.items():
            column = result_column(name)
            if column is not None and column.seed != MEAN:
                seeds.setdefault(column._replace(seed=MEAN), []).append(values[numbers])
        means = {}
        for column, found in seeds.items():
            stacked = np.stack(found)
            known = ~np.isnan(stacked)
            counts = known.sum(axis=0)
            sums = np.where(known, stacked, 0.0).sum(axis=0)
            means[column.name] = np.divide(sums, counts, out=np.full(len(numbers), np.nan), where=counts > 0)
        return means


def import_file(source: Path, target: Path, md5: str | None = None) -> str:
    """Convert a benchmark file; a sentence on what was found.

    Args:
        source: NAS-Bench-201's .pth, NATS-Bench's topology file or folder, or a CSV (.csv, .csv.gz) with a column `arch`.
        target: the table to write, whole or not at all.
        md5: what the file's MD5 must be; None does not check.

    Raises:
        UserError: no such file, a wrong checksum, truncated, or of another kind.
    """
    if not source.exists():
        raise UserError(f"{source}: there is no such file or folder")
    hashes, doubt = published_hash.check(source, md5)
    collector = Collector()
    if source.is_file() and re.search(r"\.csv(\.gz)?$", source.name):
        read_csv(source, collector)
    else:
        read_official(source, collector.add)
    collector.write(target, {"source": source.name, **hashes})
    datasets = dict.fromkeys(name.split("/")[0] for name in collector.columns)
    found = f"{int(collector.present.sum())} architectures, {', '.join(datasets)}"
    return f"{found}; {doubt}" if doubt else found


def read_csv(path: Path, collector: Collector) -> None:
    """Take the columns `dataset_split_epochs` (accuracy, percent) or `dataset_split_{accuracy,loss}_epochs`.

    Raises:
        UserError: it has no column `arch`, no results, or a cell that is no number.
    """
    with _csv_reader(path) as reader:
        header = next(reader, [])
        if "arch" not in header:
            raise UserError(f"{path}: expected a column 'arch', found {listed(header) or 'nothing'}")
        names = [_csv_column(name) for name in header]
        if not any(names):
            raise UserError(
                f"{path} has no column of results: expected names such as cifar10_test_200, found {listed(header)}"
            )
        arch = header.index("arch")
        chosen = [(position, name) for position, name in enumerate(names) if name]
        seen: set[int] = set()
        for row in reader:
            if not row:
                continue
            place = f"{path}, line {reader.line_num}"
            if len(row) != len(header):
                raise UserError(
                    f"{place} has {len(row)} cells, expected {len(header)}: the file is truncated or damaged"
                )
            number = isomorphism.code(operations_of(row[arch]))
            if number in seen:
                raise UserError(f"{place}: the architecture {row[arch]} occurs twice")
            seen.add(number)
            for position, name in chosen:
                try:
                    value = float(row[position] or "nan")
                except ValueError:
                    raise UserError(f"{place}: {header[position]} is {row[position]!r}, expected a number") from None
                collector.put(number, name, value)
    if not seen:
        raise UserError(f"{path} has a header but no architectures")


@contextmanager
def _csv_reader(path: Path) -> Iterator[Any]:
    try:
        with gzip.open(path, "rt", **_TEXT) if path.suffix == ".gz" else path.open(**_TEXT) as file:
            yield csv.reader(file)
    except (EOFError, gzip.BadGzipFile, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is truncated or no CSV ({error}): get it again") from error


def _csv_column(name: str) -> str | None:
    found = _CSV_RESULT.fullmatch(name.strip().lower())
    if found is None:
        return None
    dataset = _CSV_DATASETS.get(found["dataset"], found["dataset"])
    assert found["split"] in SPLITS
    quantity = f"{found['split']}_{found['metric'] or 'accuracy'}"
    return ResultColumn(dataset, int(found["epochs"]), quantity, MEAN).name
