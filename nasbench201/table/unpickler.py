"""Unpickling the published benchmark files: no code of theirs is run, and complete dicts are seen at once, then dropped."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import IO, Any, ClassVar

from nasbench201.table.pickled_numbers import stand_in


def _nothing(*parts: object) -> None:
    """Stands in for tensors and their storages: weights are not looked at."""


_GLOBALS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): dict,
    ("collections", "defaultdict"): lambda *factory: {},
    ("torch._utils", "_rebuild_tensor_v2"): _nothing,
    ("torch._utils", "_rebuild_parameter"): _nothing,
    ("torch.storage", "_load_from_bytes"): _nothing,
    **{(module, name): set for module in ("builtins", "__builtin__") for name in ("set", "frozenset")},
    **{(module, "dict"): dict for module in ("builtins", "__builtin__")},
}


class Forgotten(Exception):
    """The pickle refers to an object that was not kept."""


class Memo(dict[int, Any]):
    """The objects a pickle may refer to again, by number.

    Args:
        forgets: beyond the training they occur in keep only stand-ins for functions, and strings, each text once. The
            published files share nothing else between trainings: names of attributes and data sets.
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
        if is_new_text or callable(value) or not self._forgets:
            super().__setitem__(key, value)
        else:
            self._recent[key] = value

    def __missing__(self, key: int) -> Any:
        try:
            return self._recent[key]
        except KeyError:
            raise Forgotten from None

    def forget(self) -> None:
        """A training is complete."""
        self._recent.clear()


class StreamingUnpickler(pickle._Unpickler):
    """Python's own unpickler in Python, which lets dicts be looked at the moment they are complete.

    Args:
        complete: is shown every dict of two items or more; if it returns True, all that was read so far except strings
            may be forgotten.
    """

    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, stream: IO[bytes], complete: Callable[[dict[Any, Any]], bool], memo: Memo) -> None:
        super().__init__(stream, encoding="latin1")
        self.memo = memo
        self._complete = complete

    def find_class(self, module_name: str, global_name: str) -> Any:
        if module_name == "torch" and global_name.endswith("Storage"):
            return _nothing
        return _GLOBALS.get((module_name, global_name)) or stand_in(module_name, global_name)

    def persistent_load(self, pid: Any) -> None:
        return None

    def load_setitems(self) -> None:
        super().load_setitems()  # pyright: ignore[reportAttributeAccessIssue]
        value = self.stack[-1]  # pyright: ignore[reportAttributeAccessIssue]
        if type(value) is dict and self._complete(value):
            self.memo.forget()

    dispatch[pickle.SETITEMS[0]] = load_setitems
