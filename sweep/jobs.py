"""A plan's jobs: each search once, the selections from it, the trainings of what they select, and a report."""

from __future__ import annotations

import dataclasses
import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darts_pt.space import SPACES
from runs.reading import read_lines
from runs.run import Run, search, selection, training
from sweep.options import PlanOptions
from sweep.plan import STAGES, Grid, Place, Plan, Resources

REPORT = "report"


@dataclass(frozen=True)
class Job:
    """One run of a plan, or its report.

    Attributes:
        name: unique in the sweep, and valid as a file name.
        stage: search, select, evaluate or report.
        selection: empty for a search.
        run: None for the report.
        needs: names of the jobs that must end first.
        resources: CPUs, GPUs and memory for it.
        place: the place in the plan that asks for it.
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
        """The experiment's folder; None if it depends on a job that has not ended."""
        folder = self.run.folder if self.run else None
        return None if folder is None or "*" in folder.name else folder

    @property
    def is_done(self) -> bool:
        """Whether the experiment is complete. The report never is: its experiments may have changed."""
        if self.run is None or self.folder is None or not self.run.is_done:
            return False
        # Selections start from the last checkpoint.
        return self.stage != "search" or (self.folder / f"checkpoint_{self.options.epochs}.pth.tar").is_file()

    def command(self, gpu: bool, made: Sequence[Path] = ()) -> list[str]:
        """The command line once its needs are done: from the beginning, or from its checkpoint.

        Args:
            gpu: whether the job has (part of) one.
            made: for the report, the experiments in it.
        """
        if self.run is None:
            return [sys.executable, "-m", "report.page", *map(str, made), *self.arguments]
        options = dataclasses.replace(self.run.next_options, gpu="auto" if gpu else "cpu")
        return [sys.executable, *self.run.command(options)[1:]]


@dataclass(frozen=True)
class Graph:
    """The jobs of a sweep, each after those that it needs; the report, if there is one, is last."""

    plan: Plan
    jobs: tuple[Job, ...]
    output: Path

    def __getitem__(self, name: str) -> Job:
        return next(job for job in self.jobs if job.name == name)


def expand(plan: Plan, experiments: Path, data_root: Path, output: Path) -> Graph:
    """All jobs of a plan.

    Args:
        output: folder for the sweep's own files: logs, results, the report.

    Raises:
        UserError: an unknown option, an undefined combination, a duplicate job, or experiments that were made with other
            options; each names the place in the plan.
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
            for dataset in grid.datasets:
                if (dataset == "folder") != (self.plan.data is not None):
                    surplus = f"data is for the dataset folder, not for {dataset}"
                    message = "say where the folder is: data = DIR" if dataset == "folder" else surplus
                    raise self.plan.refused(grid.place("datasets", dataset), message)
            for setting in itertools.product(grid.spaces, grid.datasets, grid.methods):
                for seed in grid.seeds:
                    self._add_jobs(grid, *setting, seed)
        jobs = sorted(self.jobs.values(), key=lambda job: STAGES.index(job.stage))
        for job in jobs:
            with self.plan.at(job.place):
                assert job.run is not None
                job.run.check_options('move it away, or say tag = "…" in the plan for experiments of other names')
        report = [self._report(jobs)] if self.plan.report is not None else []
        return Graph(self.plan, (*jobs, *report), self.output)

    def _add_jobs(self, grid: Grid, space: str, dataset: str, method: str, seed: int) -> None:
        """A search, its selections, their trainings."""
        from darts_pt.commands.own_options import check_selection

        own = {"method": method, "seed": seed}
        run = search(SPACES[space], self._options("search", space, dataset, **own))
        searched = self._added("search", method, "", run, (), grid.place("methods", method))  # Grids share searches.
        has_table = SPACES[space].at(self.common["data_root"]).has_table(run.options.table_dataset or dataset)
        trains = "training" in SPACES[space].commands and (self.plan.train_nasbench201 or not has_table)
        for chosen in grid.selections:
            place = grid.place("selections", chosen)
            with self.plan.at(place):
                check_selection(method, chosen)
            assert searched.run is not None
            run = selection(searched.run, self._options("select", space, dataset, **own, selection=chosen))
            selected = self._added("select", method, chosen, run, (searched.name,), place)
            if selected.run is not run:
                twice = f"{method} with {chosen} on {space}, {dataset}, seed {seed} is there twice"
                raise self.plan.refused(grid.at, twice)
            if trains:
                run = training(run, self._options("evaluate", space, dataset, seed=seed))
                self._added("evaluate", method, chosen, run, (selected.name,), place)

    def _added(self, stage: str, method: str, chosen: str, run: Run, needs: tuple[str, ...], place: Place) -> Job:
        """The job of that run; if its name is taken, the job that has it."""
        verb, label = "train" if stage == "evaluate" else stage, f"{method}+{chosen}" if chosen else method
        name = f"{verb}-{label}-{run.space}-{run.options.dataset}-{run.options.seed}"
        return self.jobs.setdefault(
            name, Job(name, stage, method, chosen, run, needs, self.plan.resources[stage], place)
        )

    def _options(self, stage: str, space: str, dataset: str, **own: Any) -> Any:
        """A job's options: those in the plan's tables, and `own`."""
        tag = {"expid_tag": self.plan.tag} if self.plan.tag and stage != "select" else {}
        given = self.options.of(stage, space, dataset, own.get("method"))
        return dataclasses.replace(given, dataset=dataset, **self.common, **tag, **own)

    def _report(self, jobs: Sequence[Job]) -> Job:
        """The last job: a page on all experiments of the sweep, even if some have failed."""
        words = [*self.options.of_report(), "--output", str(self.output / REPORT)]
        words += ["--experiments", str(self.common["experiments"])]
        words += [] if "title" in (self.plan.report or {}) else ["--title", f"Sweep {self.plan.name}"]
        needs = tuple(job.name for job in jobs)
        return Job(REPORT, REPORT, "", "", None, needs, Resources(1.0, 0.0), arguments=tuple(words))


def epochs_done(folder: Path) -> int | None:
    """The number of epochs that a run has recorded so far."""
    lines = read_lines(folder / "timing.jsonl")
    return lines[-1].get("epoch") if lines else None
