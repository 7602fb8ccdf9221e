"""From a plan to its jobs: every search once, every selection from it, every training of what was selected, a report.

The plan's options are those of the commands themselves and are checked by the commands' own option classes, so that what
a command would refuse is refused here, with the line of the plan.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from darts_pt.chosen import GENOTYPE_FILE
from darts_pt.errors import UserError
from darts_pt.methods import METHODS
from darts_pt.options import parse
from darts_pt.suggestions import did_you_mean, listed
from sweep.jobs import MODULES, Job, Stage, folder_of, is_begun
from sweep.plan import DATASETS, FAMILIES, SPACES, STAGES, Grid, Plan, Resources, family_of

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
_SCRIPTS = {"cifar100": "eval-c100", "svhn": "eval-svhn"}
"""Data set -> the script of exp_scripts/ that trains on it; it stands in the names of trainings of S1–S5."""
_REPORTS_OWN = ("experiment", "experiments", "output")


@dataclass(frozen=True)
class Graph:
    """The jobs of a sweep in an order in which each comes after what it needs; the report, if there is one, last."""

    plan: Plan
    jobs: tuple[Job, ...]
    output: Path

    def __getitem__(self, name: str) -> Job:
        return next(job for job in self.jobs if job.name == name)


def expand(plan: Plan, experiments: Path, data_root: Path, output: Path) -> Graph:
    """All jobs of a plan.

    Args:
        output: where the sweep's own files go: logs, results, the report.

    Raises:
        UserError: an option that is none, a combination that is not defined, a job that is there twice, or experiments
            that were made with other options; each names the line of the plan.
    """
    return _Expansion(plan, experiments.resolve(), data_root.resolve(), output.resolve()).graph()


@dataclass
class _Expansion:
    plan: Plan
    experiments: Path
    data_root: Path
    output: Path
    jobs: dict[str, Job] = field(default_factory=dict)
    checked: dict[tuple[str, ...], tuple[Any, tuple[str, ...]]] = field(default_factory=dict)
    tables: dict[str, bool] = field(default_factory=dict)

    def graph(self) -> Graph:
        for stage in STAGES:
            self._check_narrow_tables(stage)
        for number, grid in enumerate(self.plan.grids):
            for space in grid.spaces:
                for dataset in grid.datasets:
                    self._check_data(grid, dataset)
                    for method in grid.methods:
                        self._pairs(grid, number, space, dataset, method)
        order = {stage: index for index, stage in enumerate(STAGES)}
        jobs = sorted(self.jobs.values(), key=lambda job: order[job.stage])
        for job in jobs:
            self._check_existing(job)
        report = [self._report(jobs)] if self.plan.report is not None else []
        return Graph(self.plan, (*jobs, *report), self.output)

    def _check_data(self, grid: Grid, dataset: str) -> None:
        if dataset == "folder" and self.plan.data is None:
            raise self.plan.refused(grid.where["datasets"], "dataset folder: say where it is: data = DIR", dataset)
        if dataset != "folder" and self.plan.data is not None:
            raise self.plan.refused(
                grid.where["datasets"], f"data is for the dataset folder, not for {dataset}", dataset
            )

    def _pairs(self, grid: Grid, number: int, space: str, dataset: str, method: str) -> None:
        """The jobs of one search method: for every seed a search, its selections, their trainings."""
        from darts_pt.method_options import check_selection

        for selection in grid.selections:
            try:
                check_selection(method, selection)
            except UserError as error:
                raise self.plan.refused(grid.where["selections"], str(error), selection) from None
        for seed in grid.seeds:
            search = self._search(grid, space, dataset, method, seed)
            for selection in grid.selections:
                self._selection(grid, number, search, selection)

    def _search(self, grid: Grid, space: str, dataset: str, method: str, seed: int) -> Job:
        """The search, which grids and selections share."""
        name = f"search-{method}-{space}-{dataset}-{seed}"
        if name not in self.jobs:
            options, arguments = self._options("search", space, dataset, method=method, seed=seed)
            folder = _spaces(space, self.data_root).search_folder(options)
            self.jobs[name] = Job(
                name, "search", space, dataset, method, "", seed, options, arguments, folder, None, (),
                self.plan.resources["search"], self.plan.lines.of(grid.where["methods"], method),
            )  # fmt: skip
        return self.jobs[name]

    def _selection(self, grid: Grid, number: int, search: Job, selection: str) -> None:
        from darts_pt.commands import selection_pattern

        where = f"{search.space}-{search.dataset}-{search.seed}"
        name = f"select-{search.method}+{selection}-{where}"
        line = self.plan.lines.of(grid.where["selections"], selection)
        if name in self.jobs:
            there = self.jobs[name].line
            raise UserError(
                f"{self.plan.path.name}:{self.plan.lines.of(('grid', number))}: {search.method} with {selection} on "
                f"{search.space}, {search.dataset}, seed {search.seed} is there twice (line {there} asks for it too)"
            )
        space, dataset, seed, method = search.space, search.dataset, search.seed, search.method
        options, arguments = self._options("select", space, dataset, method=method, seed=seed, selection=selection)
        assert search.folder is not None
        folder = search.folder / selection_pattern(options, search.options.epochs)
        selected = Job(
            name, "select", space, dataset, method, selection, seed, options, arguments, folder, search,
            (search.name,), self.plan.resources["select"], line,
        )  # fmt: skip
        self.jobs[name] = selected
        if space == "nasbench201" and not self.plan.train_nasbench201 and self._has_table(dataset):
            return
        name = f"train-{method}+{selection}-{where}"
        options, arguments = self._options("evaluate", space, dataset, seed=seed)
        self.jobs[name] = Job(
            name, "evaluate", space, dataset, method, selection, seed, options, arguments, None, selected,
            (selected.name,), self.plan.resources["evaluate"], line,
        )  # fmt: skip

    def _has_table(self, dataset: str) -> bool:
        if dataset not in self.tables:
            from nasbench201.table import find_table

            self.tables[dataset] = find_table(self.data_root, dataset) is not None
        return self.tables[dataset]

    # Options ---------------------------------------------------------------------------------------------------------

    def _options(self, stage: Stage, space: str, dataset: str, **own: Any) -> tuple[Any, tuple[str, ...]]:
        """A job's options and arguments: what the plan's tables say, and `own`."""
        base, given = self._checked(stage, space, dataset, own.get("method"))
        own |= {"dataset": dataset, "experiments": self.experiments, "data_root": self.data_root}
        own |= {"data": self.plan.data} if self.plan.data else {}
        own |= {"expid_tag": self.plan.tag} if self.plan.tag and stage != "select" else {}
        own |= {"space": space} if stage == "search" and space != "nasbench201" else {}
        own |= {"script": _SCRIPTS.get(dataset, "eval")} if stage == "evaluate" and space != "nasbench201" else {}
        arguments = [word for key, value in own.items() for word in (f"--{key}", str(value))]
        options = _with_presets(stage, space, dataclasses.replace(base, **own), self.data_root)
        return options, (*arguments, *given)

    def _checked(self, stage: Stage, space: str, dataset: str, method: str | None) -> tuple[Any, tuple[str, ...]]:
        """The command's options as the plan's tables give them, and the same as a command line; each option checked."""
        key = (stage, space, dataset, method or "")
        if key not in self.checked:
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
            self.checked[key] = self._parse(kind, command, place, [*needed, *words]), words
        return self.checked[key]

    def _check_setting(self, place: tuple[str, ...], options: Any, method: str | None) -> None:
        """Refuses a search method's own number where it would go to another method."""
        from darts_pt.method_options import check_settings

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

    def _check_narrow_tables(self, stage: str) -> None:
        """Refuses tables that no job takes its options from."""
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

    # What there is ---------------------------------------------------------------------------------------------------

    def _check_existing(self, job: Job) -> None:
        """An experiment of that name that was run with other options would be neither reused nor resumed."""
        from darts_pt.resume import check_same_options

        folder = folder_of(job)
        if folder is None or not (is_begun(folder) or (folder / GENOTYPE_FILE).is_file()):
            return
        options = {name: value for name, value in dataclasses.asdict(job.options).items() if value is not None}
        if job.stage == "evaluate":
            options.pop("arch")
        if job.stage == "search":
            options.pop("proj_intv", None)
        try:
            check_same_options(folder, options)
        except UserError as error:
            advice = 'say tag = "…" in the plan for experiments of other names'
            raise UserError(f"{self.plan.path.name}:{job.line}: {error}, or {advice}") from None

    def _report(self, jobs: Sequence[Job]) -> Job:
        """The last job: a page on all experiments of the sweep, also if some have failed."""
        from report.page import PageOptions

        words: list[str] = []
        for name, value in (self.plan.report or {}).items():
            place = ("report", name)
            if name in _REPORTS_OWN:
                raise self.plan.refused(place, f"{name} is set by the sweep itself: leave it out")
            words += self._words(place, value, PageOptions, "report.page")
            self._parse(PageOptions, "report.page", place, words)
        folder = self.output / "report"
        words += ["--output", str(folder), "--experiments", str(self.experiments)]
        words += [] if "title" in (self.plan.report or {}) else ["--title", f"Sweep {self.plan.name}"]
        needs = tuple(job.name for job in jobs)
        options = parse(PageOptions, words, "report.page")
        return Job(
            "report", "report", "", "", "", "", 0, options, tuple(words), folder, None, needs, Resources(1.0, 0.0)
        )


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


def _spaces(space: str, data_root: Path) -> Any:
    if space == "nasbench201":
        from nasbench201.space import NasBench201Space

        return NasBench201Space(data_root)
    from sota.space import SotaSpace

    return SotaSpace()


def _with_presets(stage: str, space: str, options: Any, data_root: Path) -> Any:
    """What the command itself fills in: for searches and trainings all, for selections nothing (the search tells)."""
    from darts_pt.run_options import with_preset

    if stage == "search":
        preset = _spaces(space, data_root).preset(options)
        return with_preset(options, {**preset, **METHODS[options.method].defaults})
    if stage == "evaluate":
        module = __import__("nasbench201.train" if space == "nasbench201" else "sota.train", fromlist=["PRESETS"])
        return with_preset(options, module.PRESETS.get(options.dataset, module.PROTOCOL))
    return options
