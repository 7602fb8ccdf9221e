"""The selections, one a module: how a trained (or untrained) supernet becomes an architecture. Each defines SELECTION.

A new selection is a new file here; nothing else needs to know it. docs/extending.md shows one. What they choose by is a
:class:`darts_pt.selection.SelectionRule`; the loops that ask it are in :mod:`darts_pt.projection`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from darts_pt.registry import Registry

if TYPE_CHECKING:
    from darts_pt.commands.options import SelectionOptions
    from darts_pt.search import SupernetTraining
    from darts_pt.selection import Criterion, SelectionRule


class Circumstances(NamedTuple):
    """What a selection's rule is made from.

    Attributes:
        training: the supernet, its data and its generators.
        operation_criterion, edge_criterion: per cell type, what is compared in operation and in topology events.
        options: the command's options.
    """

    training: SupernetTraining
    operation_criterion: dict[str, Criterion]
    edge_criterion: dict[str, Criterion]
    options: SelectionOptions


def _no_parts(options: Any) -> list[str]:
    return []


@dataclass(frozen=True)
class SelectionMethod:
    """A selection.

    Attributes:
        rule: makes what chooses operations and edges.
        tunes: whether events are some epochs apart and the supernet is tuned in between; else all happen at once.
        trained: whether the searched weights and alpha are taken over; else the supernet is a fresh one.
        name_parts: the options that tell two such selections apart, as they stand in the names of their files.
    """

    rule: Callable[[Circumstances], SelectionRule]
    tunes: bool = True
    trained: bool = True
    name_parts: Callable[[Any], list[str]] = _no_parts


SELECTIONS: Registry[SelectionMethod] = Registry(__name__, Path(__file__).parent, "SELECTION")
"""Selections by the names that `--selection` takes."""
