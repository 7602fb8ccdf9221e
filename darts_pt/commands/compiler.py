"""torch's compiler is loaded when somebody asks for it, not by every command."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

NAME = "torch._dynamo"


def postpone_compiler() -> None:
    """Call it before torch is imported: an optimiser would load the compiler (3 s) only to tell it to keep out."""
    if NAME not in sys.modules:
        sys.modules[NAME] = _Compiler(NAME)


class _Compiler(ModuleType):
    """Says what optimisers want to hear, and makes way for the compiler when anything else is asked."""

    @staticmethod
    def disable(function: Callable[..., Any], *_: Any, **__: Any) -> Callable[..., Any]:
        return function

    @staticmethod
    def graph_break(*_: Any, **__: Any) -> None: ...

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__path__":  # Those of any module, such as by warnings.
            raise AttributeError(name)
        if sys.modules.get(NAME) is self:
            del sys.modules[NAME]
        return getattr(importlib.import_module(NAME), name)
