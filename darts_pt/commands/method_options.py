"""The options of search methods: which one, and the numbers of its own. Cheap to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from darts_pt.commands.command_line import RunOptions, in_range, one_of, positive
from darts_pt.methods import METHODS
from darts_pt.run.errors import UserError
from darts_pt.run.suggestions import listed
from darts_pt.selections import SELECTIONS

if TYPE_CHECKING:
    from darts_pt.architect import Architect

_PAPERS = "(default: its paper's)"
MethodName = Annotated[str, tyro.conf.arg(metavar="{" + ",".join(METHODS) + "}")]
MethodOfTheSearch = Annotated[
    str | None, tyro.conf.arg(metavar="{" + ",".join(METHODS) + "}", help_behavior_hint="(default: the search's)")
]
SelectionName = Annotated[str, tyro.conf.arg(metavar="{" + ",".join(SELECTIONS) + "}")]
SettingInt = Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint=_PAPERS)]
SettingFloat = Annotated[float | None, tyro.conf.arg(metavar="FLOAT", help_behavior_hint=_PAPERS)]
"""An option of some methods; None leaves the value to the method (`Architect.defaults`)."""


@dataclass(frozen=True, kw_only=True)
class MethodOptions(RunOptions):
    """A search method's own numbers. A method takes those that its `defaults` name; giving it another is an error."""

    epsilon_alpha: SettingFloat = None
    """sdarts-rs, sdarts-adv: what the radius of the perturbation grows to over the search (0.3); constant in selection."""
    tau_max: SettingFloat = None
    """gdas: temperature of the first epoch (10)."""
    tau_min: SettingFloat = None
    """gdas: temperature of the last epoch and of selection (0.1)."""
    sgas_warmup: SettingInt = None
    """sgas: epochs before the first decision (a fifth of the search, as in the paper: 10 of 50)."""
    sgas_interval: SettingInt = None
    """sgas: epochs between two decisions (a tenth of the search, as in the paper: 5 of 50)."""
    partial_channels: SettingInt = None
    """pc-darts: one in so many channels passes through the operations (4)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("method", "selection"):
            value, registry = getattr(self, name, None), {"method": METHODS, "selection": SELECTIONS}[name]
            if value is not None:
                one_of(name, value, registry)
        if self.epsilon_alpha is not None:
            in_range("epsilon_alpha", self.epsilon_alpha, 0, 1)
        for name in ("tau_max", "tau_min", "sgas_warmup", "sgas_interval", "partial_channels"):
            if getattr(self, name) is not None:
                positive(name, getattr(self, name))


SETTINGS = tuple(MethodOptions.__annotations__)
"""The options of single methods."""


def check_settings(options: MethodOptions, method: str) -> None:
    """Refuses settings that the user gives to a method that has no such thing.

    Raises:
        UserError: naming the methods that have it.
    """
    for name in SETTINGS:
        if getattr(options, name) is not None and name not in METHODS[method].defaults:
            takers = [other for other in METHODS if name in METHODS[other].defaults]
            raise UserError(f"--{name} is for --method {' and '.join(takers)}, not for {method}: leave it out")


def settings_of(options: MethodOptions, method: type[Architect]) -> Mapping[str, Any]:
    """The settings of `method` with the values that the options give."""
    chosen = {name: getattr(options, name, None) for name in method.defaults}
    return {**method.defaults, **{name: value for name, value in chosen.items() if value is not None}}


def check_selection(method: str, selection: str) -> None:
    """Refuses combinations that are not defined.

    Raises:
        UserError: naming both and saying why.
    """
    reason = METHODS[method].refused.get(selection)
    if reason:
        defined = [name for name in SELECTIONS if name not in METHODS[method].refused]
        raise UserError(f"--method {method} with --selection {selection}: {reason}; expected {listed(defined)}")
