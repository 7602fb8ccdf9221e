"""The method of *Rethinking Architecture Selection in Differentiable NAS*, for any network (docs/api.md).

The public names are imported when they are first used, so that importing this package is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from darts_pt.version import __version__

if TYPE_CHECKING:
    from darts_pt.library.derive import derive
    from darts_pt.library.fit import search, select
    from darts_pt.library.mixed import MixedInputs, MixedOperation
    from darts_pt.library.result import Event, Result
    from darts_pt.methods import METHODS
    from darts_pt.selections import SELECTIONS

__all__ = [
    "METHODS",
    "SELECTIONS",
    "Event",
    "MixedInputs",
    "MixedOperation",
    "Result",
    "__version__",
    "derive",
    "search",
    "select",
]

_HOMES = {
    "METHODS": "methods",
    "SELECTIONS": "selections",
    "Event": "library.result",
    "MixedInputs": "library.mixed",
    "MixedOperation": "library.mixed",
    "Result": "library.result",
    "derive": "library.derive",
    "search": "library.fit",
    "select": "library.fit",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
