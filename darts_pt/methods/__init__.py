"""The search methods, one per file. A new method is a new file here or in your own package (docs/extending.md).

A method is a class derived from :class:`darts_pt.architect.Architect`, which says what it may override.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from darts_pt.registry import Declaration, Option, Registry

__all__ = ["METHODS", "Method", "Option"]


@dataclass(frozen=True, kw_only=True)
class Method(Declaration):
    """The declaration of a search method.

    Attributes:
        passes: the work of a step in forward passes, by count; a backward pass counts as two, so DARTS has 6.
        script: its name in scripts and folders, if not `name`.
        refuses: selection -> the reason why it is not defined for this method.
        exclusive: the reason why no other method can tune its supernets, nor it theirs; empty if they can.
        not_replayable: the reason why its passes cannot be recorded as CUDA graphs; empty if they can.
        decides_during_search: True if it decides edges during the search.
        trains_alpha: False if alpha stays random, so that magnitude has nothing to select from.
    """

    passes: float = 6
    script: str = ""
    refuses: Mapping[str, str] = field(default_factory=dict)
    exclusive: str = ""
    not_replayable: str = ""
    decides_during_search: bool = False
    trains_alpha: bool = True

    @property
    def script_name(self) -> str:
        return self.script or self.name


METHODS = Registry(__name__, Method, "darts_pt.methods")
"""The search methods by name."""
