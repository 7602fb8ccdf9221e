"""A plan's options, checked by the commands that will get them; errors name the place in the plan."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

from darts_pt.commands.command_line import parse
from darts_pt.commands.own_options import check_settings
from darts_pt.methods import METHODS
from darts_pt.run.errors import UserError, did_you_mean, listed
from darts_pt.space import SPACES, Kind
from sweep.plan import DATASETS, STAGES, Place, Plan

KINDS: dict[str, Kind] = {"search": "search", "select": "selection", "evaluate": "training"}
"""A plan's table -> the command whose options it has."""
_FROM_LISTS = {
    "seed": "seeds", "dataset": "datasets", "space": "spaces", "method": "methods", "selection": "selections",
    "data": "data", "expid_tag": "tag",
}  # fmt: skip
"""Options that a plan sets by another key: option -> key."""
_OWN = (
    "gpu", "experiments", "data_root", "overwrite", "arch", "script", "log_tag", "max_nodes",
    "resume_epoch", "resume_expid", "dev_resume_epoch", "dev_resume_log", "experiment", "output",
)  # fmt: skip
"""Options that the sweep itself sets."""
_OF_THE_SEARCH = ("epochs", "ckpt_interval")
"""Options of a selection that only say where the search ends, which the sweep knows."""
_NEEDED = {"select": ["--resume_expid", "?"], "evaluate": ["--arch", "?"]}
"""Placeholders for options that are known later, so that the others can be checked."""


class PlanOptions:
    """The options of a plan's commands, from its tables."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._known: dict[tuple[str, ...], Any] = {}

    def of(self, stage: str, space: str, dataset: str, method: str | None = None) -> Any:
        """The command's options from the plan's tables, each checked; narrower tables win."""
        key = (stage, space, dataset, method or "")
        if key not in self._known:
            kind = SPACES[space].commands[KINDS[stage]].options
            needed = _NEEDED.get(stage, [])
            given: dict[str, list[str]] = {}
            for table in ((), (SPACES[space].family,), (space,), (dataset,), (method,) if method else ()):
                for name, value in self._table(stage, table).items():
                    place: Place = (stage, *table, name)
                    given[name] = self._words(place, value, kind)
                    with self.plan.at(place):
                        options = parse(kind, [*needed, *given[name]], "sweep")
                        if method is not None:
                            _check_method(options, method, stage)
            with self.plan.at((stage,)):
                self._known[key] = parse(kind, [*needed, *itertools.chain(*given.values())], "sweep")
        return self._known[key]

    def _table(self, stage: str, narrow: tuple[str, ...]) -> Mapping[str, Any]:
        """The options directly in a table of the plan."""
        table: Mapping[str, Any] = self.plan.options[stage]
        for name in narrow:
            table = table.get(name, {})
        return {key: value for key, value in table.items() if not isinstance(value, dict)}

    def _words(self, place: Place, value: Any, kind: type) -> list[str]:
        """`--option value`, after checking that it is an option that plans may set."""
        name, known = str(place[-1]), {field.name for field in dataclasses.fields(kind)}
        if name in _FROM_LISTS:
            raise self.plan.refused(place, f"is not set here: a plan says it by {_FROM_LISTS[name]!r}")
        if name in _OWN or (place[0] == "select" and name in _OF_THE_SEARCH):
            raise self.plan.refused(place, "is set by the sweep itself: leave it out")
        if name not in known:
            families = " or ".join(f"[{place[0]}.{family}]" for family in SPACES.families())
            raise self.plan.refused(
                place, f"unknown option{did_you_mean(name, known) or f'; options of one family stand in {families}'}"
            )
        if isinstance(value, bool):
            return [f"--{name}"] if value else [f"--no_{name}"]
        if isinstance(value, list):
            return [f"--{name}", *map(str, value)]
        if not isinstance(value, str | int | float):
            raise self.plan.refused(place, f"expected a number, a text, true or false, got {value!r}")
        return [f"--{name}", str(value)]

    def of_report(self) -> list[str]:
        """The report's options as a command line, checked."""
        from report.page import PageOptions

        words: list[str] = []
        for name, value in (self.plan.report or {}).items():
            words += self._words(("report", name), value, PageOptions)
            with self.plan.at(("report", name)):
                parse(PageOptions, words, "sweep")
        return words

    def check_tables(self) -> None:
        """Raises UserError for a table that no job uses."""
        used = {name for grid in self.plan.grids for name in (*grid.spaces, *grid.datasets, *grid.methods)}
        used |= {SPACES[name].family for grid in self.plan.grids for name in grid.spaces}
        for stage in STAGES:
            names = dict.fromkeys([*SPACES.families(), *SPACES, *DATASETS, *(METHODS if stage != "evaluate" else ())])
            tables = {name: value for name, value in self.plan.options[stage].items() if isinstance(value, dict)}
            for name, table in tables.items():
                if name not in names:
                    unknown = f"unknown table{did_you_mean(name, names)}; expected one of {listed(names, most=20)}"
                    raise self.plan.refused((stage, name), unknown)
                if name not in used:
                    raise self.plan.refused((stage, name), f"no job of this plan is of {name}")
                for key, inner in table.items():
                    if isinstance(inner, dict):
                        raise self.plan.refused((stage, name, key), "expected an option's value, not a table")


def _check_method(options: Any, method: str, stage: str) -> None:
    """Raises UserError if an option of one search method would go to another."""
    try:
        check_settings(options, method)
    except UserError as error:
        raise UserError(f"{error}; options of one method stand in [{stage}.METHOD]") from None
