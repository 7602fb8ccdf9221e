"""Search methods and selections by name, each one file in this package or in an installed one.

A file declares itself by one statement of literals at its top, `METHOD = Method(…)` or `SELECTION = Selection(…)`. The
statement is read without importing the file, so that commands know all names, options and defaults before torch is loaded.
"""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.util
import pkgutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from darts_pt.run.errors import ArgumentError


@dataclass(frozen=True)
class Option:
    """An argument that only this method or selection has; commands offer it as an option of that name.

    Attributes:
        default: as in the method's paper; None if it depends on the run.
        help: one sentence without a full stop.
        kind: type of the values, by default that of `default`.
        above, low, high: the values allowed: more than `above`, from `low` to `high`.
        choices: the only values allowed.
        in_name: its part of a selection's folder name, with {} for the value.
        for_supernet: an argument of the space's supernet.
    """

    name: str
    default: Any
    help: str
    kind: type | None = None
    above: float | None = None
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    in_name: str = ""
    for_supernet: bool = False

    @property
    def value_type(self) -> type:
        return self.kind or type(self.default)

    def check(self, value: Any) -> None:
        """Raises ArgumentError unless `value` is allowed."""
        if self.choices and value not in self.choices:
            raise ArgumentError(self.name, f"expected one of {', '.join(self.choices)}, got {value}")
        if self.above is not None and not value > self.above:
            raise ArgumentError(self.name, f"expected a number above {self.above}, got {value}")
        if (self.low is not None and not value >= self.low) or (self.high is not None and not value <= self.high):
            upper = "up" if self.high is None else f"to {self.high}"
            raise ArgumentError(self.name, f"expected a number from {self.low} {upper}, got {value}")


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """The declaration of a method or selection.

    Attributes:
        title: its name in tables, figures and reports.
        summary: a clause for help texts and docs, without a full stop.
        implementation: the class or function in the same file.
        options: its own arguments.
        name, module: its name in commands, and its file; the registry fills them in.
    """

    title: str
    summary: str
    implementation: str
    options: tuple[Option, ...] = ()
    name: str = ""
    module: str = ""

    @property
    def defaults(self) -> dict[str, Any]:
        return {option.name: option.default for option in self.options}

    def load(self) -> Any:
        """Import the file and return the implementation."""
        return getattr(importlib.import_module(self.module), self.implementation)


Declared = TypeVar("Declared", bound=Declaration)


class Registry(Mapping[str, Declared], Generic[Declared]):
    """Name -> declaration; `sdarts-rs` is in sdarts_rs.py. Sorted by name, those of this package first.

    Args:
        package: its modules have one declaration each.
        kind: the class of the declarations; the variable in the file has its name in capitals.
        group: the entry points (name = module) of other packages.
    """

    def __init__(self, package: str, kind: type[Declared], group: str) -> None:
        self._package = package
        self._kind = kind
        self._group = group

    def _modules(self) -> dict[str, str]:
        """Name -> module."""
        package: ModuleType = importlib.import_module(self._package)
        found = {
            module.name.replace("_", "-"): f"{self._package}.{module.name}"
            for module in pkgutil.iter_modules(package.__path__)
        }
        others = _installed(self._group, tuple(sys.path))
        return {name: modules[name] for modules in (found, others) for name in sorted(modules)}

    def __getitem__(self, name: str) -> Declared:
        module = self._modules()[name]
        specification = importlib.util.find_spec(module)
        if specification is None or specification.origin is None:
            raise ImportError(f"{self._group}: the module {module} of {name} cannot be found")
        declared = _read(Path(specification.origin), self._kind)
        return replace(declared, name=name, module=module)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules())

    def __len__(self) -> int:
        return len(self._modules())


@cache
def _installed(group: str, path: tuple[str, ...]) -> dict[str, str]:
    """Name -> module, of the entry points of packages on `path`, which is sys.path.

    Cached, since names are looked up by the thousand and this reads the metadata of every installed package.
    """
    return {point.name: point.value for point in importlib.metadata.entry_points(group=group)}


@cache
def _read(path: Path, kind: type[Declared]) -> Declared:
    """Evaluate the declaration in a file, and nothing else of it."""
    attribute = kind.__name__.upper()
    for statement in ast.parse(path.read_text(encoding="utf-8"), str(path)).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == attribute:
            code = compile(ast.Expression(statement.value), str(path), "eval")
            words = {kind.__name__: kind, "Option": Option, "int": int, "float": float, "str": str}
            return eval(code, {"__builtins__": {}}, words)
    raise ImportError(f"{path} lacks a declaration: expected {attribute} = {kind.__name__}(…)")
