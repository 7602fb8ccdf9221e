"""A plan's jobs: every search once, every selection from it, every training of what was selected, a report."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darts_pt.run.errors import UserError
from darts_pt.space import SPACES
from runs.run import Run, search, selection, training
from sweep.options import PlanOptions
from sweep.plan import STAGES, Grid, Place, Plan, Resources

REPORT = "report"


@dataclass(frozen=True)
class Job:
    """One run of a plan, or its report.

    Attributes:
        name: unique in the sweep, and fit for a file's name.
        stage: search, select, evaluate or report.
        selection: empty for a search.
        run: None for the report.
        needs: names of the jobs that must have ended before.
        resources: what it is given.
        place: what in the plan asks for it.
        arguments: the report's options.
    """

    name: str
    stage: str
    method: str
    selection: str
    run: Run | None
    needs: tuple[str, ...]
    resources: Resources
    place: Place = ()
    arguments: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Method and selection: `darts + pt`; a search has only the first."""
        return f"{self.method} + {self.selection}" if self.selection else self.method

    @property
    def options(self) -> Any:
        return self.run.resolved if self.run else None

    @property
    def setting(self) -> tuple[str, str]:
        """Space and data set."""
        return (self.run.space, self.run.options.dataset) if self.run else ("", "")

    @property
    def seed(self) -> int:
        return self.run.options.seed if self.run else 0

    @property
    def folder(self) -> Path | None:
        """The experiment, as far as it can be told now; None if that depends on a job that has not ended."""
        folder = self.run.folder if self.run else None
        return None if folder is None or "*" in folder.name else folder

    @property
    def is_done(self) -> bool:
        """Whether the experiment has come to its end. The report never has: what it tells of may have changed."""
        if self.run is None or self.folder is None or not self.run.is_done:
            return False
        # Selections start from the last checkpoint.
        return self.stage != "search" or (self.folder / f"checkpoint_{self.options.epochs}.pth.tar").is_file()

    def command(self, gpu: bool, made: Sequence[Path] = ()) -> list[str]:
        """The command line once its needs are done: from the beginning, or on from its checkpoint.

        Args:
            gpu: whether it has been given (a part of) one.
            made: for the report, the experiments that it is about.
        """
        if self.run is None:
            return [sys.executable, "-m", "report.page", *map(str, made), *self.arguments]
        options = dataclasses.replace(self.run.next_options, gpu="auto" if gpu else "cpu")
        return [sys.executable, *self.run.command(options)[1:]]


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
        UserError: an unknown option, a combination that is not defined, a job that is there twice, or experiments that
            were made with other options; each names the place in the plan.
    """
    return _Expansion(plan, experiments.resolve(), data_root.resolve(), output.resolve()).graph()


class _Expansion:
    def __init__(self, plan: Plan, experiments: Path, data_root: Path, output: Path) -> None:
        self.plan, self.output = plan, output
        self.common: dict[str, Any] = {"experiments": experiments, "data_root": data_root}
        self.common |= {"data": plan.data} if plan.data else {}
        self.jobs: dict[str, Job] = {}
        self.options = PlanOptions(plan)

    def graph(self) -> Graph:
        self.options.check_tables()
        for grid in self.plan.grids:
            for space in grid.spaces:
                for dataset in grid.datasets:
                    self._check_data(grid, dataset)
                    for method in grid.methods:
                        self._jobs_of(grid, space, dataset, method)
        jobs = sorted(self.jobs.values(), key=lambda job: STAGES.index(job.stage))
        for job in jobs:
            try:
                assert job.run is not None
                job.run.check_options('move it away, or say tag = "…" in the plan for experiments of other names')
            except UserError as error:
                raise self.plan.refused(job.place, str(error)) from None
        report = [self._report(jobs)] if self.plan.report is not None else []
        return Graph(self.plan, (*jobs, *report), self.output)

    def _check_data(self, grid: Grid, dataset: str) -> None:
        place = grid.place("datasets", dataset)
        if dataset == "folder" and self.plan.data is None:
            raise self.plan.refused(place, "say where the folder is: data = DIR")
        if dataset != "folder" and self.plan.data is not None:
            raise self.plan.refused(place, f"data is for the dataset folder, not for {dataset}")

    def _jobs_of(self, grid: Grid, space: str, dataset: str, method: str) -> None:
        """The jobs of one search method: for every seed a search, its selections, their trainings."""
        from darts_pt.commands.own_options import check_selection

        for chosen in grid.selections:
            try:
                check_selection(method, chosen)
            except UserError as error:
                raise self.plan.refused(grid.place("selections", chosen), str(error)) from None
        for seed in grid.seeds:
            name = f"search-{method}-{space}-{dataset}-{seed}"
            if name not in self.jobs:
                options = self._options("search", space, dataset, method=method, seed=seed)
                self._add(name, "search", method, "", search(SPACES[space], options), (), grid.place("methods", method))
            for chosen in grid.selections:
                self._selection(grid, self.jobs[name], chosen)

    def _selection(self, grid: Grid, searched: Job, chosen: str) -> None:
        assert searched.run is not None
        (space, dataset), method, seed = searched.setting, searched.method, searched.seed
        where, place = f"{method}+{chosen}-{space}-{dataset}-{seed}", grid.place("selections", chosen)
        if f"select-{where}" in self.jobs:
            twice = f"{method} with {chosen} on {space}, {dataset}, seed {seed} is there twice"
            raise self.plan.refused(grid.at, twice)
        options = self._options("select", space, dataset, method=method, seed=seed, selection=chosen)
        run = selection(searched.run, options)
        self._add(f"select-{where}", "select", method, chosen, run, (searched.name,), place)
        commands, has_table = SPACES[space].commands, SPACES[space].at(self.common["data_root"]).has_table(dataset)
        if "training" in commands and (self.plan.train_nasbench201 or not has_table):
            options = self._options("evaluate", space, dataset, seed=seed)
            trained = training(run, options)
            self._add(f"train-{where}", "evaluate", method, chosen, trained, (f"select-{where}",), place)

    def _options(self, stage: str, space: str, dataset: str, **own: Any) -> Any:
        """A job's options: what the plan's tables say, and `own`."""
        tag = {"expid_tag": self.plan.tag} if self.plan.tag and stage != "select" else {}
        given = self.options.of(stage, space, dataset, own.get("method"))
        return dataclasses.replace(given, dataset=dataset, **self.common, **tag, **own)

    def _add(
        self, name: str, stage: str, method: str, selection: str, run: Run, needs: tuple[str, ...], place: Place
    ) -> None:
        self.jobs[name] = Job(name, stage, method, selection, run, needs, self.plan.resources[stage], place)

    def _report(self, jobs: Sequence[Job]) -> Job:
        """The last job: a page on all experiments of the sweep, also if some have failed."""
        words = [*self.options.of_report(), "--output", str(self.output / REPORT)]
        words += ["--experiments", str(self.common["experiments"])]
        words += [] if "title" in (self.plan.report or {}) else ["--title", f"Sweep {self.plan.name}"]
        needs = tuple(job.name for job in jobs)
        return Job(REPORT, REPORT, "", "", None, needs, Resources(1.0, 0.0), arguments=tuple(words))


def epochs_done(folder: Path) -> int | None:
    """The epochs that a run has recorded so far, from the end of its timing.jsonl."""
    try:
        with (folder / "timing.jsonl").open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 4096))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        try:
            return int(json.loads(line)["epoch"])
        except (ValueError, KeyError, TypeError):
            continue
    return None
