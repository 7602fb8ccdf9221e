"""Reading pickled data sets without running what is in them: plain data and numeric arrays, and nothing else."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from darts_pt.run.errors import UserError


class _PlainDtype:
    """Stands in for numpy.dtype in a pickle: a numeric type, without numpy's own code that trusts the file."""

    def __init__(self, name: str, *flags: object):
        self.code = np.dtype(str(name)).newbyteorder("<").str
        if np.dtype(self.code).kind not in "buif":
            raise pickle.UnpicklingError(f"it holds an array of the type {name!r}, not of numbers")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.code = np.dtype(self.code).newbyteorder(">" if state[1] == ">" else "<").str


class _PlainArray:
    """Stands in for an array while it is read; :func:`_plain` turns it into the array."""

    def __init__(self, *empty: object):
        self.array: np.ndarray | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, dtype, fortran_order, content = state
        # Python 2 wrote the bytes as a string, which 'latin1' decodes one to one.
        content = content.encode("latin1") if isinstance(content, str) else content
        self.array = _array(content, dtype, shape, "F" if fortran_order else "C")


def _array(content: bytes | bytearray, dtype: _PlainDtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    # A copy, since torch wants memory that may be written to.
    return np.frombuffer(content, dtype.code).reshape(shape, order="F" if order == "F" else "C").copy()


def _from_buffer(content: bytes | bytearray, dtype: _PlainDtype, shape: tuple[int, ...], order: str) -> _PlainArray:
    plain = _PlainArray()
    plain.array = _array(content, dtype, shape, order)
    return plain


def _scalar(dtype: _PlainDtype, content: bytes | str) -> int | float:
    return np.frombuffer(_encode(content, "latin1") if isinstance(content, str) else content, dtype.code)[0].item()


def _encode(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r}")
    return text.encode("latin1")


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy", "dtype"): _PlainDtype,
    ("numpy", "ndarray"): _PlainArray,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): lambda: b"",  # how protocol 2 writes empty bytes
}
for _package in ("numpy.core", "numpy._core"):  # the name before and since NumPy 2
    _STAND_INS[f"{_package}.multiarray", "_reconstruct"] = _PlainArray
    _STAND_INS[f"{_package}.multiarray", "scalar"] = _scalar
    _STAND_INS[f"{_package}.numeric", "_frombuffer"] = _from_buffer


def stand_in(module_name: str, global_name: str) -> Any:
    """What is used in place of a global that a pickle names: a pickle may name any function and have it called.

    Raises:
        pickle.UnpicklingError: it is none of those above.
    """
    try:
        return _STAND_INS[module_name, global_name]
    except KeyError:
        raise pickle.UnpicklingError(
            f"it asks for {module_name}.{global_name}, which is neither plain data nor an array of numbers"
        ) from None


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        return stand_in(module_name, global_name)


def _plain(value: Any, done: dict[int, Any]) -> Any:
    """Stand-ins replaced by what they stand for, in dicts, lists and tuples.

    Args:
        done: id -> what has been made of an object: a small file may hold one list in very many places.
    """
    if isinstance(value, _PlainArray):
        return value.array
    if not isinstance(value, (dict, list, tuple)):
        return value
    if id(value) not in done:
        if isinstance(value, dict):
            done[id(value)] = {_plain(key, done): _plain(item, done) for key, item in value.items()}
        else:
            done[id(value)] = type(value)(_plain(item, done) for item in value)
    return done[id(value)]


def load_pickle(path: Path) -> Any:
    """The content of a pickle of any protocol, Python 2's included: plain data and arrays of numbers. Runs no code.

    Raises:
        UserError: if the file is truncated or no pickle, or asks for anything else.
    """
    try:
        with path.open("rb") as file:
            return _plain(_PlainUnpickler(file, encoding="latin1").load(), {})
    except Exception as error:  # a broken or hostile pickle can raise anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{path} cannot be read ({reason}): delete it and get the data set again") from error
