"""A plan's options, checked by the commands that will get them.

What a command would refuse is refused here, with the line of the plan.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from darts_pt.commands.command_line import parse
from darts_pt.methods import METHODS
from darts_pt.run.errors import UserError
from darts_pt.run.suggestions import did_you_mean, listed
from sweep.jobs import MODULES, Stage
from sweep.plan import DATASETS, FAMILIES, SPACES, STAGES, Plan, family_of

_FROM_LISTS = {
    "seed": "seeds", "dataset": "datasets", "space": "spaces", "method": "methods", "selection": "selections",
    "data": "data", "expid_tag": "tag",
}  # fmt: skip
"""Options that the plan says elsewhere: option -> key."""
_OWN = ("gpu", "experiments", "data_root", "overwrite", "arch", "script", "log_tag", "max_nodes")
_OWN += ("resume_epoch", "resume_expid", "dev_resume_epoch", "dev_resume_log")
"""Options that the sweep sets by itself."""
_OF_THE_SEARCH = ("epochs", "ckpt_interval")
"""Options that a selection takes, but only to find the end of the search, which the sweep knows."""
_REPORTS_OWN = ("experiment", "experiments", "output")


class CommandOptions:
    """The options that a plan's tables give to its commands."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._known: dict[tuple[str, ...], tuple[Any, tuple[str, ...]]] = {}

    def of(self, stage: Stage, space: str, dataset: str, method: str | None) -> tuple[Any, tuple[str, ...]]:
        """The command's options as the plan's tables give them, and the same as a command line; each option checked."""
        key = (stage, space, dataset, method or "")
        if key not in self._known:
            kind = _option_types(family_of(space))[stage]
            command = MODULES[stage, family_of(space)]
            needed = {"select": ("--resume_expid", "?"), "evaluate": ("--arch", _placeholder(space))}.get(stage, ())
            given: dict[str, tuple[str, ...]] = {}
            place: tuple[str, ...] = (stage,)
            for table in ((), (family_of(space),), (space,), (dataset,), (method,) if method else ()):
                for name, value in self._table(stage, table).items():
                    place = (stage, *table, name)
                    given[name] = self._words(place, value, kind, command)
                    self._check_setting(place, self._parse(kind, command, place, [*needed, *given[name]]), method)
            words = tuple(word for part in given.values() for word in part)
            self._known[key] = self._parse(kind, command, place, [*needed, *words]), words
        return self._known[key]

    def _check_setting(self, place: tuple[str, ...], options: Any, method: str | None) -> None:
        """Refuses a search method's own number where it would go to another method."""
        from darts_pt.commands.method_options import check_settings

        if method is not None:
            try:
                check_settings(options, method)
            except UserError as error:
                narrow = f"; options of one method stand in [{place[0]}.METHOD]"
                raise self.plan.refused(place, f"{error}{narrow}") from None

    def _table(self, stage: str, narrow: tuple[str, ...]) -> Mapping[str, Any]:
        """The options directly in a table of the plan."""
        table: Mapping[str, Any] = self.plan.options[stage]
        for name in narrow:
            table = table.get(name, {})
        return {key: value for key, value in table.items() if not isinstance(value, dict)}

    def _words(self, place: tuple[str, ...], value: Any, kind: type, command: str) -> tuple[str, ...]:
        """`--option value`, after checking that it is an option and one that plans may set."""
        name = place[-1]
        known = {field.name for field in dataclasses.fields(kind)}
        if name in _FROM_LISTS:
            raise self.plan.refused(place, f"{name} is not set here: a plan says it by {_FROM_LISTS[name]!r}")
        if name in _OWN or (place[0] == "select" and name in _OF_THE_SEARCH):
            raise self.plan.refused(place, f"{name} is set by the sweep itself: leave it out")
        if name not in known:
            close = did_you_mean(name, known)
            narrower = f"; options of one family stand in [{place[0]}.sota] or [{place[0]}.nasbench201]"
            raise self.plan.refused(place, f"unknown option {name!r} of {command}{close or narrower}")
        if value is True or value is False:
            return (f"--{name}",) if value else (f"--no_{name}",)
        if isinstance(value, list):
            return (f"--{name}", *map(str, value))
        if not isinstance(value, str | int | float):
            raise self.plan.refused(place, f"{name}: expected a number, a text, true or false, got {value!r}")
        return f"--{name}", str(value)

    def _parse(self, kind: type, command: str, place: tuple[str, ...], words: Sequence[str]) -> Any:
        try:
            return parse(kind, words, command)
        except UserError as error:
            raise self.plan.refused(place, str(error).replace(" (--help explains every option)", "")) from None

    def of_report(self) -> list[str]:
        """The report's options as a command line, checked."""
        from report.page import PageOptions

        words: list[str] = []
        for name, value in (self.plan.report or {}).items():
            place = ("report", name)
            if name in _REPORTS_OWN:
                raise self.plan.refused(place, f"{name} is set by the sweep itself: leave it out")
            words += self._words(place, value, PageOptions, "report.page")
            self._parse(PageOptions, "report.page", place, words)
        return words

    def check_tables(self) -> None:
        """Refuses tables that no job takes its options from."""
        for stage in STAGES:
            self._check_narrow_tables(stage)

    def _check_narrow_tables(self, stage: str) -> None:
        names = (*FAMILIES, *SPACES, *DATASETS, *(METHODS if stage != "evaluate" else ()))
        used = {name for grid in self.plan.grids for name in (*grid.spaces, *grid.datasets, *grid.methods)}
        used |= {family_of(name) for name in used if name in SPACES}
        for name, value in self.plan.options[stage].items():
            if not isinstance(value, dict):
                continue
            place = (stage, name)
            if name not in names:
                close = did_you_mean(name, names)
                raise self.plan.refused(place, f"unknown table{close}; expected one of {listed(names, most=20)}")
            if name not in used:
                raise self.plan.refused(place, f"no job of this plan is of {name}")
            for key, inner in value.items():
                if isinstance(inner, dict):
                    raise self.plan.refused((*place, key), f"{key}: expected an option's value, not a table")


def _option_types(family: str) -> dict[str, type]:
    if family == "nasbench201":
        from nasbench201.space import NasBench201SearchOptions, NasBench201SelectionOptions
        from nasbench201.train import NasBench201TrainOptions

        return {
            "search": NasBench201SearchOptions,
            "select": NasBench201SelectionOptions,
            "evaluate": NasBench201TrainOptions,
        }
    from sota.space import SotaSearchOptions, SotaSelectionOptions
    from sota.train import SotaTrainOptions

    return {"search": SotaSearchOptions, "select": SotaSelectionOptions, "evaluate": SotaTrainOptions}


def _placeholder(space: str) -> str:
    """An architecture that stands for the one to be selected, while options are checked."""
    if space == "nasbench201":
        return "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    return "selected"


def space_of(space: str, data_root: Path) -> Any:
    """What the commands know of a space."""
    if space == "nasbench201":
        from nasbench201.space import NasBench201Space

        return NasBench201Space(data_root)
    from sota.space import SotaSpace

    return SotaSpace()


def with_presets(stage: str, space: str, options: Any, data_root: Path) -> Any:
    """What the command itself fills in: for searches and trainings all, for selections nothing (the search tells)."""
    from darts_pt.commands.options import with_preset

    if stage == "search":
        preset = space_of(space, data_root).preset(options)
        return with_preset(options, {**preset, **METHODS[options.method].defaults})
    if stage == "evaluate":
        module = __import__("nasbench201.train" if space == "nasbench201" else "sota.train", fromlist=["PRESETS"])
        return with_preset(options, module.PRESETS.get(options.dataset, module.PROTOCOL))
    return options
