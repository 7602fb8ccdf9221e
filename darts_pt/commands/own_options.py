"""The options that methods and selections declare, as fields of the commands' dataclasses."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from darts_pt.methods import METHODS
from darts_pt.registry import Declaration, Option, Registry
from darts_pt.run.errors import UserError, listed
from darts_pt.selections import SELECTIONS


def _own_options(registry: Registry[Any]) -> dict[str, tuple[Option, list[str]]]:
    """Option name -> the option and the methods or selections that declare it."""
    found: dict[str, tuple[Option, list[str]]] = {}
    for name, declared in registry.items():
        for option in declared.options:
            found.setdefault(option.name, (option, []))[1].append(name)
    return found


_METAVARS = {int: "N", float: "X", str: "NAME"}


def _field(option: Option, owners: list[str], is_open: bool) -> tuple[str, Any, Any]:
    """The dataclass field of a declared option; an open one has the default None."""
    default = None if is_open else option.default
    usual = "" if option.default is None or not is_open else f" ({option.default:g})"
    hint: Any = {"help_behavior_hint": ""} if is_open else {}
    kind: Any = Literal[option.choices] if option.choices else option.value_type  # type: ignore[valid-type]
    metavar = "{" + ",".join(option.choices) + "}" if option.choices else _METAVARS[option.value_type]
    argument = tyro.conf.arg(metavar=metavar, help=f"{', '.join(owners)}: {option.help}{usual}.", **hint)
    return option.name, Annotated[kind | None if is_open else kind, argument], default


SETTINGS = _own_options(METHODS)
"""The options that methods declare; None leaves the value to the method."""
SELECTION_SETTINGS = _own_options(SELECTIONS)


def check_values(options: Any, settings: Mapping[str, tuple[Option, list[str]]]) -> None:
    """Raises ArgumentError if a declared option has a value that its declaration does not allow."""
    for name, (option, _) in settings.items():
        if getattr(options, name) is not None:
            option.check(getattr(options, name))


if TYPE_CHECKING:

    class MethodSettings: ...

    class SelectionSettings: ...

else:
    MethodSettings = dataclasses.make_dataclass(
        "MethodSettings", [_field(*own, is_open=True) for own in SETTINGS.values()], frozen=True, kw_only=True
    )
    SelectionSettings = dataclasses.make_dataclass(
        "SelectionSettings",
        [_field(*own, is_open=False) for own in SELECTION_SETTINGS.values()],
        frozen=True,
        kw_only=True,
    )


def _summaries(registry: Registry[Any]) -> str:
    return "; ".join(f"{name}: {declared.summary}" for name, declared in registry.items())


_METHODS = "{" + ",".join(METHODS) + "}"
MethodName = Annotated[
    str,
    tyro.conf.arg(
        metavar=_METHODS,
        help=f"The search method; its own options: --method NAME --help. {_summaries(METHODS)}.",
    ),
]
MethodOfTheSearch = Annotated[
    str | None,
    tyro.conf.arg(
        metavar=_METHODS, help="The method that tunes between events.", help_behavior_hint="(default: the search's)"
    ),
]
SelectionName = Annotated[
    str, tyro.conf.arg(metavar="{" + ",".join(SELECTIONS) + "}", help=f"How to select. {_summaries(SELECTIONS)}.")
]


def check_settings(options: Any, method: str) -> None:
    """Raises UserError if the user gives an option of another method."""
    for name, (_, takers) in SETTINGS.items():
        if getattr(options, name) is not None and method not in takers:
            raise UserError(f"--{name} is for --method {' and '.join(takers)}, not for {method}: leave it out")


def settings_of(options: Any, declared: Declaration) -> dict[str, Any]:
    """A method's or selection's own arguments, from the options or their defaults."""
    found = {name: getattr(options, name, None) for name in declared.defaults}
    return {**declared.defaults, **{name: value for name, value in found.items() if value is not None}}


def check_selection(method: str, selection: str) -> None:
    """Raises UserError, with the reason, if the selection is not defined for the method."""
    refuses = METHODS[method].refuses
    if selection in refuses:
        defined = [name for name in SELECTIONS if name not in refuses]
        raise UserError(
            f"--method {method} with --selection {selection}: {refuses[selection]}; expected {listed(defined)}"
        )
