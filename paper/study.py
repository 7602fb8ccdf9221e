"""The runs behind the paper's figures and tables, for one space and data set at the size of a preset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from darts_pt.commands.options import FREE_OPTIONS, with_preset
from darts_pt.methods import METHODS
from darts_pt.run.config import as_json
from darts_pt.run.errors import UserError
from darts_pt.space import SPACES
from runs import run as runs
from runs.make import Runner
from runs.reading import read_run
from runs.recorded import Recorded
from runs.run import Run


@dataclass(frozen=True)
class Scale:
    """How large the runs are.

    Attributes:
        seeds: of the runs; none means three, from the one that the space's commands take by default.
        interval: tuning epochs between selection events; by space where `intervals` has it.
        ckpt_interval: epochs between a search's checkpoints, from which figure 4 selects; None takes the usual.
        tuning: the most epochs for which a discretised supernet is tuned (figures 1 and 2).
        epochs: of the training from scratch; None takes the command's.
        as_paper: whether trainings have the options of the paper's, such as cutout.
        shuffles: draws of edges in table 1.
        minutes: budget of processor time for the whole set; None for no budget.
        size: value of the searches' option `size`, if any.
    """

    seeds: tuple[int, ...]
    interval: int
    intervals: Mapping[str, int]
    ckpt_interval: int | None
    tuning: int
    epochs: int | None
    as_paper: bool
    shuffles: int
    minutes: float | None = None
    size: str | None = None


SCALES = {
    "digits": Scale((), 1, {"nasbench201": 5}, 10, 3, 10, False, 10, minutes=90),
    "laptop": Scale((1, 2, 3, 4), 5, {}, None, 20, None, True, 10, size="laptop"),
    "paper": Scale((0, 1, 2, 3), 5, {}, None, 20, None, True, 10),
}
"""The presets. `digits` takes minutes on a CPU, `laptop` days; `paper` is what the paper did, days on a GPU. Seed 0 of
`laptop` is that with which its size was chosen."""


class Accuracies(NamedTuple):
    """An architecture's test accuracies (%) by data set, their source, and the training that measured them, if any."""

    by_dataset: dict[str, float]
    source: str
    training: Run | None


@dataclass
class Study:
    """The runs of one space on one data set.

    Attributes:
        space: its name.
        dataset: the name of the published data set, even if the runs read its images from a folder.
        common: options of all runs: gpu, experiments, data_root, fast, and those that name such a folder.
        runner: makes, finds or lists the runs.
    """

    space: str
    dataset: str
    scale: Scale
    common: dict[str, Any]
    runner: Runner = field(default_factory=Runner)

    @property
    def seeds(self) -> tuple[int, ...]:
        first = SPACES[self.space].default_seed
        return self.scale.seeds or (first, first + 1, first + 2)

    @property
    def interval(self) -> int:
        return self.scale.intervals.get(self.space, self.scale.interval)

    @property
    def experiments(self) -> Path:
        return self.common["experiments"]

    @property
    def where(self) -> str:
        """For captions."""
        return f"{SPACES[self.space].title}, {self.dataset}"

    def search(self, method: str, seed: int) -> Run | None:
        """A finished search; like the other methods, None if there is none and none may be made."""
        size = {"size": self.scale.size} if self.scale.size else {}
        options = self._options("search", seed, method=method, ckpt_interval=self.scale.ckpt_interval, **size)
        return self.runner.get(runs.search(SPACES[self.space], options))

    def searches(self, seeds: Sequence[int] | None = None) -> list[Run]:
        """DARTS's searches of these seeds, by default of all.

        Raises:
            UserError: there is none.
        """
        found = [run for seed in seeds or self.seeds if (run := self.search("darts", seed)) is not None]
        if not found:
            raise missing(f"the search (darts, {self.space}, {self.dataset})")
        return found

    def first_search(self) -> Run:
        """DARTS's search of the first seed; raises UserError if there is none."""
        return self.searches(self.seeds[:1])[0]

    def selection_options(self, searched: Run, selection: str) -> Any:
        seed, interval = searched.options.seed, self.interval
        return self._options("selection", seed, resume_expid="", selection=selection, proj_intv=interval)

    def selection(self, searched: Run | None, selection: str, epoch: int | None = None) -> Run | None:
        """A selection from the last checkpoint of a search or that of an epoch."""
        if searched is None:
            return None
        epoch = None if epoch == searched.resolved.epochs else epoch
        return self.runner.get(runs.selection(searched, self.selection_options(searched, selection), epoch))

    def accuracies(self, selected: Run | None) -> Accuracies:
        """The accuracies of the selected architecture, from the benchmark table or else by training it.

        The table is read for every drawing; what a selection wrote down comes from the table of its time.
        """
        if selected is None:
            return Accuracies({}, "", None)
        space = runs.space_of(selected)
        assert selected.folder is not None
        architecture = read_run(selected.folder).architecture
        known = space.look_up(architecture, self.dataset) if architecture else {}
        if known or (architecture is None and space.has_table(self.dataset)):
            tests = {name.removesuffix(" test"): known[name] for name in known if name.endswith(" test")}
            return Accuracies(tests, "by the benchmark table", None)
        trained = self._training(selected)
        accuracy = read_run(trained.folder).test_accuracy if trained and trained.folder else None
        return Accuracies({} if accuracy is None else {self.dataset: accuracy}, "trained from scratch", trained)

    def _training(self, selected: Run) -> Run | None:
        space = SPACES[self.space]
        if "training" not in space.commands:
            return None
        added = space.paper_training if self.scale.as_paper else {}
        options = self._options("training", selected.options.seed, arch="", epochs=self.scale.epochs, **added)
        return self.runner.get(runs.training(selected, options))

    def snapshots(self, searched: Run) -> list[int]:
        """The epochs of a search that have checkpoints, or will have."""
        from darts_pt.run.checkpoint import epochs_in

        assert searched.folder is not None
        found = epochs_in(searched.folder) if searched.folder.is_dir() else []
        if found:
            return found
        last, interval = searched.resolved.epochs, searched.resolved.ckpt_interval
        return sorted({*range(interval, last + 1, interval), last})

    def _options(self, kind: Any, seed: int, **values: Any) -> Any:
        options: Any = SPACES[self.space].commands[kind].options
        return options(**{"dataset": self.dataset, **self.common}, seed=seed, **values)


def planned(runs: Sequence[Recorded]) -> list[Recorded]:
    """Of recorded runs the searches and selections, finished or not, that the preset `laptop` plans; no trials."""
    searches = {run.name: run for run in runs if run.kind == "search" and _is_planned(run)}
    selections = [
        run
        for run in runs
        if run.kind == "selection"
        and run.folder.parent.name in searches
        and not (run.options.get("fast") or run.options.get("change_method") or run.variant)
    ]
    return [*searches.values(), *selections]


def _is_planned(searched: Recorded) -> bool:
    """Whether a search has the seed and the options of the preset `laptop`, as far as they change what it finds."""
    space, options, scale = SPACES["nasbench201"], searched.options, SCALES["laptop"]
    method, dataset = str(options.get("method")), options.get("table_dataset") or searched.dataset
    if method not in METHODS or searched.seed not in scale.seeds or dataset != "cifar10":
        return False
    options_type: Any = space.commands["search"].options
    plan = options_type(dataset=dataset, size=scale.size, method=method, seed=searched.seed)
    plan = with_preset(plan, {**space.preset(plan), **METHODS[method].defaults})
    wanted = as_json(asdict(plan))
    ignored = FREE_OPTIONS | {"dataset"}
    return all(wanted.get(name) == value for name, value in options.items() if name not in ignored and name in wanted)


def missing(what: str) -> UserError:
    return UserError(f"{what} has not been run: leave --no_run out, and it will be")
