"""Unpickle the published benchmark files: run no code of theirs, and hand over each dict as soon as it is complete."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import IO, Any, ClassVar

import numpy as np


class _Ignored:
    """Stands in for tensors, their storages and arrays: only single numbers are needed."""

    def __init__(self, *parts: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


class _Dtype:
    """Stands in for numpy.dtype, whose own unpickling trusts the file; numeric types only."""

    def __init__(self, name: str, *flags: object) -> None:
        self.dtype = np.dtype(str(name)).newbyteorder("<")
        if self.dtype.kind not in "buif":
            raise pickle.UnpicklingError(f"it holds values of the type {name!r}, not numbers")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.dtype = self.dtype.newbyteorder(">" if state[1] == ">" else "<")


def _scalar(dtype: _Dtype, content: bytes | str) -> int | float:
    return np.frombuffer(content.encode("latin1") if isinstance(content, str) else content, dtype.dtype)[0].item()


def _encode(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r}")
    return text.encode("latin1")


_STAND_INS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): dict,
    ("collections", "defaultdict"): lambda *factory: {},
    ("torch._utils", "_rebuild_tensor_v2"): _Ignored,
    ("torch._utils", "_rebuild_parameter"): _Ignored,
    ("torch.storage", "_load_from_bytes"): _Ignored,
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Ignored,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): lambda: b"",  # how protocol 2 writes empty bytes
}
for _module in ("builtins", "__builtin__"):
    _STAND_INS |= {(_module, "set"): set, (_module, "frozenset"): set, (_module, "dict"): dict}
for _package in ("numpy.core", "numpy._core"):  # the name before and since NumPy 2
    _STAND_INS[f"{_package}.multiarray", "_reconstruct"] = _Ignored
    _STAND_INS[f"{_package}.multiarray", "scalar"] = _scalar
    _STAND_INS[f"{_package}.numeric", "_frombuffer"] = _Ignored


def stand_in(module_name: str, global_name: str) -> Any:
    """The stand-in for a global of the pickle, which could name any function and have it called.

    Raises:
        pickle.UnpicklingError: there is no stand-in.
    """
    if module_name == "torch" and global_name.endswith("Storage"):
        return _Ignored
    try:
        return _STAND_INS[module_name, global_name]
    except KeyError:
        raise pickle.UnpicklingError(
            f"it asks for {module_name}.{global_name}, which is neither plain data nor a number"
        ) from None


class Forgotten(Exception):
    """The pickle refers to an object that was dropped."""


class Memo(dict[int, Any]):
    """The objects that a pickle may refer to again, by number.

    Args:
        forgets: drop all objects at the end of their training but strings (each text once), numeric types and stand-ins.
            The published files share nothing else between trainings.
    """

    def __init__(self, forgets: bool) -> None:
        super().__init__()
        self._forgets = forgets
        self._texts: set[str] = set()
        self._recent: dict[int, Any] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __setitem__(self, key: int, value: Any) -> None:
        self._count += 1
        is_new_text = type(value) is str and value not in self._texts
        if is_new_text:
            self._texts.add(value)
        if is_new_text or isinstance(value, _Dtype) or callable(value) or not self._forgets:
            super().__setitem__(key, value)
        else:
            self._recent[key] = value

    def __missing__(self, key: int) -> Any:
        try:
            return self._recent[key]
        except KeyError:
            raise Forgotten from None

    def forget(self) -> None:
        """Drop the objects of a complete training."""
        self._recent.clear()


class StreamingUnpickler(pickle._Unpickler):
    """Python's pure-Python unpickler, which hands over each dict when it is complete.

    Args:
        complete: gets every dict of two items or more; True lets the memo drop the objects so far.
    """

    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, stream: IO[bytes], complete: Callable[[dict[Any, Any]], bool], memo: Memo) -> None:
        super().__init__(stream, encoding="latin1")
        self.memo = memo
        self._complete = complete

    def find_class(self, module_name: str, global_name: str) -> Any:
        return stand_in(module_name, global_name)

    def persistent_load(self, pid: Any) -> None:
        return None

    def load_setitems(self) -> None:
        super().load_setitems()  # pyright: ignore[reportAttributeAccessIssue]
        value = self.stack[-1]  # pyright: ignore[reportAttributeAccessIssue]
        if type(value) is dict and self._complete(value):
            self.memo.forget()

    dispatch[pickle.SETITEMS[0]] = load_setitems
