"""The file of a benchmark table: numpy's .npz, one array per column, and a SHA-256 of all of it as the archive's comment.

`number` is each row's architecture (:func:`nasbench201.table.isomorphism.number_of`), `facts` is JSON text on the
table's source. Results are float64 and named `dataset/epochs/quantity/seed`, such as `cifar10/200/test_accuracy/777`;
the seed is `mean` where only the mean is known. Quantities: {train,valid,test}_{accuracy,loss} (percent, nats) and
`seconds` of training. `dataset/parameters` and `dataset/flops` are those of the network. NaN stands for unknown.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from darts_pt.run.errors import UserError
from darts_pt.run.files import atomic_write

FORMAT_VERSION = 3
SPLITS = ("train", "valid", "test")
QUANTITIES = (*(f"{split}_{metric}" for split in SPLITS for metric in ("accuracy", "loss")), "seconds")
MEAN = "mean"
_DIGEST_SIZE = 64  # hexadecimal digits of a SHA-256
_LARGEST = 2**28  # bytes; a table of all that was published has some 10 MB, what it is made from has gigabytes


class ResultColumn(NamedTuple):
    """The parts of a result column's name."""

    dataset: str
    epochs: int
    quantity: str
    seed: str

    @property
    def name(self) -> str:
        return f"{self.dataset}/{self.epochs}/{self.quantity}/{self.seed}"


def result_column(name: str) -> ResultColumn | None:
    """The parts of a column's name; None if the column holds no results."""
    parts = name.split("/")
    if len(parts) != 4 or not parts[1].isdecimal() or parts[2] not in QUANTITIES:
        return None
    return ResultColumn(parts[0], int(parts[1]), parts[2], parts[3])


def write_table(path: Path, numbers: np.ndarray, columns: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
    """Write a table, whole or not at all.

    Args:
        numbers: the architecture of each row.
        columns: name -> float64 [rows].
        facts: plain data on the source of the numbers.
    """
    text = json.dumps({"format": FORMAT_VERSION, **facts}, ensure_ascii=False)
    arrays: dict[str, Any] = {"number": numbers.astype(np.int16), "facts": np.array(text), **columns}
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    # Zip's own checksums cover neither its directory nor members that are not read.
    with zipfile.ZipFile(stream, "a") as archive:
        archive.comment = b"0" * _DIGEST_SIZE
    content = stream.getvalue()[:-_DIGEST_SIZE]
    atomic_write(path, content + hashlib.sha256(content).hexdigest().encode())


def read_table(path: Path) -> tuple[dict[str, Any], Mapping[str, np.ndarray]]:
    """A table's facts, and its columns, which are read on demand.

    Raises:
        UserError: the file is missing, truncated, damaged, or of another kind.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such table; make one with: python -m nasbench201.table import FILE")
    content = path.read_bytes() if path.stat().st_size < _LARGEST else b""
    if hashlib.sha256(content[:-_DIGEST_SIZE]).hexdigest().encode() != content[-_DIGEST_SIZE:]:
        raise UserError(
            f"{path} is not a benchmark table, is damaged, or was made by an earlier version: make it again with "
            "python -m nasbench201.table import FILE"
        )
    columns = np.load(io.BytesIO(content))
    facts = json.loads(str(columns["facts"]))
    if facts["format"] != FORMAT_VERSION:
        raise UserError(f"{path} is a table of format {facts['format']}, expected {FORMAT_VERSION}: import it again")
    return facts, columns
