"""From a plan to its jobs: every search once, every selection from it, every training of what was selected, a report.

The plan's options are those of the commands themselves (:mod:`sweep.command_options`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from darts_pt.commands.command_line import parse
from darts_pt.run.chosen import GENOTYPE_FILE
from darts_pt.run.errors import UserError
from sweep.command_options import CommandOptions, space_of, with_presets
from sweep.jobs import Job, Stage, folder_of, is_begun
from sweep.plan import STAGES, Grid, Plan, Resources

_SCRIPTS = {"cifar100": "eval-c100", "svhn": "eval-svhn"}
"""Data set -> the script of exp_scripts/ that trains on it; it stands in the names of trainings of S1–S5."""


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
    tables: dict[str, bool] = field(default_factory=dict)
    commands: CommandOptions = field(init=False)

    def __post_init__(self) -> None:
        self.commands = CommandOptions(self.plan)

    def graph(self) -> Graph:
        self.commands.check_tables()
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
        from darts_pt.commands.method_options import check_selection

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
            folder = space_of(space, self.data_root).search_folder(options)
            self.jobs[name] = Job(
                name, "search", space, dataset, method, "", seed, options, arguments, folder, None, (),
                self.plan.resources["search"], self.plan.lines.of(grid.where["methods"], method),
            )  # fmt: skip
        return self.jobs[name]

    def _selection(self, grid: Grid, number: int, search: Job, selection: str) -> None:
        from darts_pt.commands.selection import selection_pattern

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
            from nasbench201.table.lookup import find_table

            self.tables[dataset] = find_table(self.data_root, dataset) is not None
        return self.tables[dataset]

    # Options ---------------------------------------------------------------------------------------------------------

    def _options(self, stage: Stage, space: str, dataset: str, **own: Any) -> tuple[Any, tuple[str, ...]]:
        """A job's options and arguments: what the plan's tables say, and `own`."""
        base, given = self.commands.of(stage, space, dataset, own.get("method"))
        own |= {"dataset": dataset, "experiments": self.experiments, "data_root": self.data_root}
        own |= {"data": self.plan.data} if self.plan.data else {}
        own |= {"expid_tag": self.plan.tag} if self.plan.tag and stage != "select" else {}
        own |= {"space": space} if stage == "search" and space != "nasbench201" else {}
        own |= {"script": _SCRIPTS.get(dataset, "eval")} if stage == "evaluate" and space != "nasbench201" else {}
        arguments = [word for key, value in own.items() for word in (f"--{key}", str(value))]
        options = with_presets(stage, space, dataclasses.replace(base, **own), self.data_root)
        return options, (*arguments, *given)

    # What there is ---------------------------------------------------------------------------------------------------

    def _check_existing(self, job: Job) -> None:
        """An experiment of that name that was run with other options would be neither reused nor resumed."""
        from darts_pt.run.resume import check_same_options

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

        words = self.commands.of_report()
        folder = self.output / "report"
        words += ["--output", str(folder), "--experiments", str(self.experiments)]
        words += [] if "title" in (self.plan.report or {}) else ["--title", f"Sweep {self.plan.name}"]
        needs = tuple(job.name for job in jobs)
        options = parse(PageOptions, words, "report.page")
        return Job(
            "report", "report", "", "", "", "", 0, options, tuple(words), folder, None, needs, Resources(1.0, 0.0)
        )
