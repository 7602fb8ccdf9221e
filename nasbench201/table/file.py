"""The compact benchmark table: one Parquet file of a row per architecture, read column by column in milliseconds.

Columns: `architecture`, `number` (:func:`nasbench201.table.isomorphism.code` of it), and results named
`dataset/epochs/quantity/seed`, such as `cifar10/200/test_accuracy/777`; the mean over the seeds is `…/mean`.
Quantities: {train,valid,test}_{accuracy,loss} (percent, nats), `seconds` (of training), and, under the data set alone,
`dataset/parameters` and `dataset/flops`. What is unknown is null. The file carries a checksum over all of it; the facts
(where the table came from) are JSON in the file's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from darts_pt.run.errors import UserError
from darts_pt.run.files import atomic_path
from nasbench201.architecture import operations_of
from nasbench201.table import isomorphism, seal

_FACTS = b"nasbench201.table"
FORMAT_VERSION = 2
UNSEALED_VERSION = 1
"""The same without a checksum over the whole file; its pages have theirs."""
SPLITS = ("train", "valid", "test")
QUANTITIES = (*(f"{split}_{metric}" for split in SPLITS for metric in ("accuracy", "loss")), "seconds")
MEAN = "mean"


class ResultColumn(NamedTuple):
    """The name of a column of results, taken apart."""

    dataset: str
    epochs: int
    quantity: str
    seed: str

    @property
    def name(self) -> str:
        return f"{self.dataset}/{self.epochs}/{self.quantity}/{self.seed}"


def result_column(name: str) -> ResultColumn | None:
    """A column's name taken apart; None for the columns that are no results."""
    parts = name.split("/")
    if len(parts) != 4 or not parts[1].isdecimal() or parts[2] not in QUANTITIES:
        return None
    return ResultColumn(parts[0], int(parts[1]), parts[2], parts[3])


def write_table(
    path: Path, architectures: Sequence[str], columns: Mapping[str, np.ndarray], facts: Mapping[str, Any]
) -> None:
    """Write a table whole or not at all.

    Args:
        columns: name -> one number per architecture; NaN where it is unknown.
        facts: plain data on where the numbers came from.

    Raises:
        UserError: for a text that is no architecture, or one that occurs twice.
    """
    numbers = [isomorphism.code(operations_of(text)) for text in architectures]
    if len(set(numbers)) < len(numbers):
        twice = next(text for text in architectures if list(architectures).count(text) > 1)
        raise UserError(f"the architecture {twice} occurs twice")
    arrays = {"architecture": _strings(architectures), "number": _numbers(np.array(numbers))}
    for name, values in columns.items():
        arrays[name] = _numbers(values)
    table = pa.table(arrays)
    content = json.dumps({"format": FORMAT_VERSION, **facts}, ensure_ascii=False)
    table = table.replace_schema_metadata({_FACTS: content.encode(), seal.KEY: seal.UNSEALED})
    with atomic_path(path) as temporary:
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            use_dictionary=False,
            column_encoding=dict.fromkeys(columns, "BYTE_STREAM_SPLIT"),
            write_page_checksum=True,
        )
        seal.seal(temporary)


class TableFile:
    """An open table: names of the columns at once, their values when asked for.

    Raises:
        UserError: the file is missing, truncated, damaged, or of another kind.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise UserError(f"{path}: there is no such table; make one with: python -m nasbench201.table import FILE")
        try:
            self._file = pq.ParquetFile(path, memory_map=True, page_checksum_verification=True)
            metadata = self._file.metadata.metadata or {}
            self.facts: dict[str, Any] = json.loads(metadata[_FACTS])
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise self._broken(error) from error
        if not isinstance(self.facts, dict) or self.facts.get("format") not in (FORMAT_VERSION, UNSEALED_VERSION):
            told = self.facts.get("format") if isinstance(self.facts, dict) else None
            raise UserError(f"{path} is a table of format {told}, expected {FORMAT_VERSION}: import it again")
        sealed = self.facts["format"] == FORMAT_VERSION or seal.KEY in metadata
        if sealed and (reason := seal.damage(path, metadata)):
            raise self._broken(ValueError(reason))
        self.names: tuple[str, ...] = tuple(self._file.schema_arrow.names)

    def values(self, name: str) -> np.ndarray:
        """A column of numbers, float64 [rows]; NaN where the file has none."""
        return _values(self._read(name))

    def _read(self, name: str) -> pa.Array:
        try:
            return self._file.read(columns=[name]).column(0).combine_chunks()
        except (pa.ArrowException, OSError) as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> UserError:
        if isinstance(error, KeyError):
            reason = "it is Parquet, but not of this project"
        else:
            reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        return UserError(
            f"{self.path} is no benchmark table, or a damaged one ({reason}): make it anew with "
            "python -m nasbench201.table import FILE"
        )


# To and from Arrow by its buffers: pa.array and Array.to_numpy import pandas, where it is installed, which takes seconds.


def _strings(texts: Sequence[str]) -> pa.Array:
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.Array.from_buffers(pa.string(), len(texts), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))])


def _numbers(values: np.ndarray) -> pa.Array:
    """NaN becomes null: that is what it means, and other readers of Parquet understand it."""
    values = np.ascontiguousarray(values, np.float64)
    known = pa.py_buffer(np.packbits(~np.isnan(values), bitorder="little"))
    return pa.Array.from_buffers(pa.float64(), len(values), [known, pa.py_buffer(values)])


def _values(array: pa.Array) -> np.ndarray:
    known, content = array.cast(pa.float64()).buffers()
    if content is None:
        return np.empty(0)
    values = np.frombuffer(content, np.float64, len(array), array.offset * 8)
    if array.null_count == 0 or known is None:
        return values
    bits = np.unpackbits(np.frombuffer(known, np.uint8), bitorder="little")
    return np.where(bits[array.offset : array.offset + len(array)] == 1, values, np.nan)
