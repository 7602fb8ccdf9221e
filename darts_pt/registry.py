"""Things that are added by adding a file: each module of a package defines one, and its file name is the thing's name."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

Thing = TypeVar("Thing")


class Registry(Mapping[str, Thing], Generic[Thing]):
    """Name -> what the package's module of that name defines; `sdarts-rs` is in sdarts_rs.py.

    The names are those of the files, so that listing them imports nothing; looking one up imports its module.

    Args:
        package: the package's `__name__`.
        folder: the package's folder.
        attribute: the name under which each module defines its thing.
    """

    def __init__(self, package: str, folder: Path, attribute: str) -> None:
        self._package = package
        self._attribute = attribute
        self.names = tuple(sorted(path.stem.replace("_", "-") for path in folder.glob("[a-z]*.py")))

    def __getitem__(self, name: str) -> Thing:
        if name not in self.names:
            raise KeyError(name)
        module: Any = importlib.import_module(f"{self._package}.{name.replace('-', '_')}")
        return getattr(module, self._attribute)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)
