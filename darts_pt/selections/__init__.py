"""The selections, one per file: how a supernet becomes an architecture. A new one is a new file (docs/extending.md).

The implementation makes a :class:`darts_pt.selection.SelectionRule`.
"""

from __future__ import annotations

from dataclasses import dataclass

from darts_pt.registry import Declaration, Option, Registry

__all__ = ["SELECTIONS", "Option", "Selection"]


@dataclass(frozen=True, kw_only=True)
class Selection(Declaration):
    """The declaration of a selection. `implementation` names a function
    (training: SupernetTraining, criteria: Criteria, settings: its options by name) -> SelectionRule.

    Attributes:
        tunes: tune the supernet between events; else all are carried out at once.
        trained: start from the searched weights and alpha; else from a fresh supernet.
        compares: it compares accuracies or losses, so the options of criteria apply.
    """

    tunes: bool = True
    trained: bool = True
    compares: bool = False


SELECTIONS = Registry(__name__, Selection, "darts_pt.selections")
"""The selections by name."""
