"""The search methods, one a module. Each defines METHOD, a subclass of :class:`darts_pt.architect.Architect` that says
what it changes: how mixing weights are made, how alpha is stepped, which edges are decided during the search.

A new method is a new file here; nothing else needs to know it. docs/extending.md shows one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from darts_pt.registry import Registry
from darts_pt.run.provenance import PROJECT_ROOT

if TYPE_CHECKING:
    from darts_pt.architect import Architect

METHODS: Registry[type[Architect]] = Registry(__name__, Path(__file__).parent, "METHOD")
"""Search methods by the names that `--method` takes."""

_SCRIPTS = {"darts-2nd": "darts2nd"}


def script_name(method: str) -> str:
    """How a method is called in the names of scripts and experiment folders."""
    return _SCRIPTS.get(method, method)


def selection_script(method: str, family: str) -> str:
    """The script that selects from a supernet of `method`, with its first options; `family` is '201' or 'sota'."""
    script = f"{script_name(method)}-proj-{family}.sh"
    if (PROJECT_ROOT / "exp_scripts" / script).is_file():
        return script
    return f"darts-proj-{family}.sh --method {method}"
