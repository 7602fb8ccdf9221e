"""NumPy's numbers in a pickle, read without NumPy's own unpickling, which trusts the file."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np


class _Dtype:
    """Stands in for numpy.dtype: a type of numbers."""

    def __init__(self, name: str, *flags: object):
        self.dtype = np.dtype(str(name)).newbyteorder("<")
        if self.dtype.kind not in "buif":
            raise pickle.UnpicklingError(f"it holds values of the type {name!r}, not numbers")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.dtype = self.dtype.newbyteorder(">" if state[1] == ">" else "<")


class _Array:
    """Stands in for an array and leaves its numbers out: only single ones are looked at."""

    def __init__(self, *parts: object):
        pass

    def __setstate__(self, state: object) -> None:
        pass


def _scalar(dtype: _Dtype, content: bytes | str) -> int | float:
    return np.frombuffer(content.encode("latin1") if isinstance(content, str) else content, dtype.dtype)[0].item()


def _encode(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r}")
    return text.encode("latin1")


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): lambda: b"",  # how protocol 2 writes empty bytes
}
for _package in ("numpy.core", "numpy._core"):  # the name before and since NumPy 2
    _STAND_INS[f"{_package}.multiarray", "_reconstruct"] = _Array
    _STAND_INS[f"{_package}.multiarray", "scalar"] = _scalar
    _STAND_INS[f"{_package}.numeric", "_frombuffer"] = _Array


def stand_in(module_name: str, global_name: str) -> Any:
    """What is used in place of a global that a pickle names: a pickle may name any function and have it called.

    Raises:
        pickle.UnpicklingError: it is none of those above.
    """
    try:
        return _STAND_INS[module_name, global_name]
    except KeyError:
        raise pickle.UnpicklingError(
            f"it asks for {module_name}.{global_name}, which is neither plain data nor a number"
        ) from None
