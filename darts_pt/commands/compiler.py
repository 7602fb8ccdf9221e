"""Load torch's compiler only when it is used, not in every command."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

NAME = "torch._dynamo"


def postpone_compiler() -> None:
    """Call this before torch is imported: optimisers load the compiler (3 s) only to exclude themselves from it."""
    if NAME not in sys.modules:
        sys.modules[NAME] = _Compiler(NAME)


class _Compiler(ModuleType):
    """Stands in for the compiler: answers optimisers, and loads the real module for any other attribute."""

    @staticmethod
    def disable(function: Callable[..., Any], *_: Any, **__: Any) -> Callable[..., Any]:
        return function

    @staticmethod
    def graph_break(*_: Any, **__: Any) -> None: ...

    def __getattr__(self, name: str) -> Any:
        # warnings, for example, asks every module for names of this kind.
        if name.startswith("__") and name != "__path__":
            raise AttributeError(name)
        if sys.modules.get(NAME) is self:
            del sys.modules[NAME]
        return getattr(importlib.import_module(NAME), name)
