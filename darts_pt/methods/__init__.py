"""The search methods, one a file. A new method is a new file here, or in a package of your own: docs/extending.md.

A class derives from :class:`darts_pt.architect.Architect` and overrides what it changes: how mixing weights are made,
how alpha is stepped, which edges are decided during the search.
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
        passes: the work of a step in forward passes, a backward pass counted as two; DARTS has 6. Counted, not measured.
        script: its name in scripts and folders, if not `name`.
        refuses: selection -> why it is not defined for this method.
        exclusive: why no other method can tune its supernets, nor it theirs; empty if they can.
        not_replayable: why its passes cannot be recorded as CUDA graphs; empty if they can.
        decides_during_search: whether it decides edges while the supernet is searched.
    """

    passes: float = 6
    script: str = ""
    refuses: Mapping[str, str] = field(default_factory=dict)
    exclusive: str = ""
    not_replayable: str = ""
    decides_during_search: bool = False

    @property
    def script_name(self) -> str:
        return self.script or self.name


METHODS = Registry(__name__, Method, "darts_pt.methods")
"""The search methods by name."""
