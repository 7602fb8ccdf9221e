"""Converting a published benchmark file or a CSV into a compact table; memory does not grow with the file."""

from __future__ import annotations

import csv
import gzip
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from darts_pt.run.errors import UserError, listed
from nasbench201.table.file import MEAN, ResultColumn, write_table
from nasbench201.table.isomorphism import COUNT, number_of
from nasbench201.table.published import Training, read_published

_CSV_RESULT = re.compile(r"(?P<dataset>.+)_(?P<split>train|valid|test)(_(?P<metric>accuracy|loss))?_(?P<epochs>\d+)")
_CSV_DATASETS = {"imagenet16_120": "imagenet16-120", "cifar10_valid": "cifar10-valid"}
_TEXT: dict[str, Any] = {"encoding": "utf-8", "newline": ""}


class Collector:
    """Collects results by column and architecture."""

    def __init__(self) -> None:
        self.columns: dict[str, np.ndarray] = {}
        self.present = np.zeros(COUNT, bool)

    def put(self, number: int, column: str, value: float) -> None:
        """Set one value."""
        self.present[number] = True
        if column not in self.columns:
            self.columns[column] = np.full(COUNT, np.nan)
        self.columns[column][number] = value

    def add(self, architecture: str, training: Training) -> None:
        """Add a training of an architecture."""
        number, dataset = number_of(architecture), training.dataset
        for quantity, value in training.quantities.items():
            self.put(number, ResultColumn(dataset, training.epochs, quantity, str(training.seed)).name, value)
        self.put(number, f"{dataset}/parameters", training.parameters)
        self.put(number, f"{dataset}/flops", training.flops)


def import_file(source: Path, target: Path, md5: str | None = None, note: str = "") -> str:
    """Convert a benchmark file; returns a sentence on its content.

    Args:
        source: NAS-Bench-201's .pth, NATS-Bench's topology file or folder, or a CSV (.csv, .csv.gz) with a column `arch`.
        target: the table to write, whole or not at all.
        md5: the expected MD5 of the file; None skips the check.
        note: kept in the table, beside the file's name and MD5.

    Raises:
        UserError: the file is missing, has another MD5, is truncated, or of another kind.
    """
    if not source.exists():
        raise UserError(f"{source}: there is no such file or folder")
    facts = {"source": source.name, **({"note": note} if note else {}), **_checked_md5(source, md5)}
    collector = Collector()
    if source.is_file() and re.search(r"\.csv(\.gz)?$", source.name):
        read_csv(source, collector)
    else:
        read_published(source, collector.add)
    numbers = np.flatnonzero(collector.present)
    if not len(numbers):
        raise UserError(f"{source} holds no results of NAS-Bench-201: expected a published benchmark file or a CSV")
    columns = {name: values[numbers] for name, values in sorted(collector.columns.items())}
    write_table(target, numbers, columns, facts)
    datasets = dict.fromkeys(name.split("/")[0] for name in columns)
    return f"{len(numbers)} architectures, {', '.join(datasets)}"


def _checked_md5(path: Path, expected: str | None) -> dict[str, str]:
    """The file's MD5 for the facts, nothing for a folder; UserError if it is not the expected one."""
    if path.is_dir():
        if expected is not None:
            raise UserError(f"{path} is a folder: --md5 goes with a file")
        return {}
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(2**22):
            digest.update(block)
    if expected is not None and digest.hexdigest() != expected.lower():
        raise UserError(f"{path} has the MD5 {digest.hexdigest()}, expected {expected}: it is damaged, get it again")
    return {"md5": digest.hexdigest()}


def read_csv(path: Path, collector: Collector) -> None:
    """Collect the columns `dataset_split_epochs` (accuracy, percent) or `dataset_split_{accuracy,loss}_epochs`.

    Raises:
        UserError: the column `arch` or all result columns are missing, or a cell is not a number.
    """
    with _csv_reader(path) as reader:
        header = next(reader, [])
        names = [_csv_column(name) for name in header]
        if "arch" not in header or not any(names):
            raise UserError(
                f"{path}: expected a column 'arch' and columns of results such as cifar10_test_200, found "
                f"{listed(header) or 'nothing'}"
            )
        arch = header.index("arch")
        chosen = [(position, name) for position, name in enumerate(names) if name]
        for row in filter(None, reader):
            place = f"{path}, line {reader.line_num}"
            if len(row) != len(header):
                raise UserError(
                    f"{place} has {len(row)} cells, expected {len(header)}: the file is truncated or damaged"
                )
            number = number_of(row[arch])
            if collector.present[number]:
                raise UserError(f"{place}: the architecture {row[arch]} occurs twice")
            for position, name in chosen:
                try:
                    collector.put(number, name, float(row[position] or "nan"))
                except ValueError:
                    raise UserError(f"{place}: {header[position]} is {row[position]!r}, expected a number") from None


@contextmanager
def _csv_reader(path: Path) -> Iterator[Any]:
    try:
        with gzip.open(path, "rt", **_TEXT) if path.suffix == ".gz" else path.open(**_TEXT) as file:
            yield csv.reader(file)
    except (EOFError, gzip.BadGzipFile, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is truncated or not a CSV file ({error}): get it again") from error


def _csv_column(name: str) -> str | None:
    found = _CSV_RESULT.fullmatch(name.strip().lower())
    if found is None:
        return None
    dataset = _CSV_DATASETS.get(found["dataset"], found["dataset"])
    quantity = f"{found['split']}_{found['metric'] or 'accuracy'}"
    return ResultColumn(dataset, int(found["epochs"]), quantity, MEAN).name
