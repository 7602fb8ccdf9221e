"""Making what a figure or a table of the paper needs: finds the run, goes on with it, or starts it.

A run is known by the folder that its command would write. One that has come to its end is reused, one that has not is
resumed from its last checkpoint; options that contradict what is there are an error, as in the commands themselves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from darts_pt.run.chosen import GENOTYPE_FILE, SUMMARY_FILE
from darts_pt.run.errors import UserError
from paper.scales import Scale
from report.reading import read_run
from runs.commands import command_line
from runs.costs import counted, located

if TYPE_CHECKING:
    from darts_pt.commands.command_line import RunOptions
    from darts_pt.space import SearchSpace

NASBENCH201 = "nasbench201"


class Worth(NamedTuple):
    """An architecture's test accuracies (%) by data set, how they are known, and the training that told it, if one did."""

    accuracies: dict[str, float]
    source: str
    training: Path | None


@dataclass
class Maker:
    """Makes runs of one space on one data set.

    Attributes:
        run: whether to run what is missing; else what is missing stays so.
        planned: where it is a list, nothing is run, and what would be is written there, in its order: commands, and
            after a # what has no command of its own.
        folders: the runs that were used, in their order.
    """

    space: str
    dataset: str
    scale: Scale
    experiments: Path
    data_root: Path
    gpu: str = "auto"
    run: bool = True
    fast: bool = False
    planned: list[str] | None = None
    folders: list[Path] = field(default_factory=list)
    _began: dict[Path, Any] = field(default_factory=dict)

    @property
    def seeds(self) -> tuple[int, ...]:
        return self.scale.seeds_201 if self.space == NASBENCH201 else self.scale.seeds_sota

    @property
    def interval(self) -> int:
        return self.scale.interval_201 if self.space == NASBENCH201 else self.scale.interval_sota

    def search(self, method: str, seed: int) -> Path | None:
        """The folder of a search that has come to its end."""
        from darts_pt.commands.options import with_preset

        options = self._search_options(method, seed)
        resolved = with_preset(options, self.commands.preset(options))
        folder = self.commands.search_folder(resolved)
        self._began[folder] = resolved
        module = f"{self._package}.train_search"
        check_made_so(folder, resolved)
        return self.made(folder, GENOTYPE_FILE, lambda again: self._search(options, again), (module, options))

    def _search(self, options: Any, again: dict[str, Any]) -> None:
        from darts_pt.commands.search import run_search

        run_search(self.commands, dataclasses.replace(options, **again))

    def selection(self, searched: Path | None, selection: str, seed: int, epoch: int | None = None) -> Path | None:
        """The folder of a selection from `searched`, from its last checkpoint or that of `epoch`."""
        if searched is None:
            return None
        from darts_pt.commands.selection import selection_pattern

        options = self.selection_options(searched, selection, seed, epoch)
        began = self.options_of(searched)
        known = dataclasses.replace(options, method=began.get("method", "darts"))
        name = selection_pattern(known, int(began["epochs"]) if epoch is None else epoch)
        if self.planned is not None and located(searched / name).name == name:
            from darts_pt.methods.sgas import WARMUP  # Where its search takes the first decision.

            name = name.replace("*", str(max(1, round(WARMUP * int(began["epochs"])))))
        make = lambda again: self._select(options, again)  # noqa: E731
        check_made_so(located(searched / name), options)
        return self.made(searched / name, GENOTYPE_FILE, make, (f"{self._package}.projection", options))

    def _select(self, options: Any, again: dict[str, Any]) -> None:
        from darts_pt.commands.selection import run_selection

        if "resume_epoch" in again:
            again = {"dev_resume_epoch": again["resume_epoch"]}
        run_selection(self.commands, dataclasses.replace(options, **again))

    def training(self, selected: Path | None, seed: int) -> Path | None:
        """The folder of the evaluation training of what was selected in `selected`."""
        if selected is None:
            return None
        from darts_pt.commands.options import with_preset

        architecture = read_run(selected).architecture
        common = {**self._common(seed), **self.scale.train}
        if self.space == NASBENCH201:
            from nasbench201 import train as command

            if architecture is None:
                name = f"{selected.parent.name}/{selected.name}"
                return self.plan(
                    f"# python -m nasbench201.train --arch …, what {name} selects, where no table knows it"
                )
            kept = {name: value for name, value in common.items() if name not in ("epochs", "auxiliary", "cutout")}
            options: Any = command.NasBench201TrainOptions(arch=architecture, **kept)
            resolved = with_preset(options, command.PRESETS.get(self.dataset, command.PROTOCOL))
            folder = command.folder_of(resolved)
        else:
            from sota import train as command
            from sota.choice import find

            sizes: dict[str, Any] = {"init_channels": 16, "layers": 8} if self.dataset in _SMALL else {}
            name = f"{selected.parent.name}/{selected.name}"
            options = command.SotaTrainOptions(
                arch=name, script=_SMALL.get(self.dataset, "eval"), **common, **sizes
            )  # fmt: skip
            known = architecture is not None
            name = find(name, self.experiments / "sota", self.dataset).name if known else name.replace("/", "+")
            resolved = with_preset(options, command.PRESETS.get(self.dataset, command.PROTOCOL))
            folder = command.folder_of(resolved, name)
        check_made_so(folder, resolved)
        main: Callable[[Any], Any] = command.main
        again = lambda changes: main(dataclasses.replace(options, **changes))  # noqa: E731
        return self.made(folder, SUMMARY_FILE, again, (f"{self._package}.train", options))

    def worth(self, selected: Path | None, seed: int) -> Worth:
        """What the architecture of a selection is worth: by the benchmark table of now, or trained where there is none."""
        known = self.look_up(selected) if selected else {}
        if known:
            return Worth(known, "by the benchmark table", None)
        trained = self.training(selected, seed)
        accuracy = read_run(trained).test_accuracy if trained else None
        return Worth({} if accuracy is None else {self.dataset: accuracy}, "trained from scratch", trained)

    def look_up(self, selected: Path) -> dict[str, float]:
        """Data set -> test accuracy (%) of what was selected; empty where no table knows it.

        The table is asked anew: what a selection has written down is what the table of that time knew.
        """
        architecture = read_run(selected).architecture
        known = self.commands.look_up(architecture, self.dataset) if architecture else {}
        return {name.removesuffix(" test"): value for name, value in known.items() if name.endswith(" test")}

    # How ------------------------------------------------------------------------------------------------------------

    @property
    def _package(self) -> str:
        return NASBENCH201 if self.space == NASBENCH201 else "sota"

    @cached_property
    def commands(self) -> SearchSpace[Any, Any]:
        """The space as the commands see it."""
        if self.space == NASBENCH201:
            from nasbench201.space import NasBench201Space

            return NasBench201Space(self.data_root)
        from sota.space import SotaSpace

        return SotaSpace()

    def snapshots(self, searched: Path) -> list[int]:
        """The epochs of search that there are checkpoints of, or will be."""
        from darts_pt.run.checkpoint import epochs_in

        found = epochs_in(searched) if searched.is_dir() else []
        if found or self.planned is None:
            return found
        last, interval = (int(self.options_of(searched)[name]) for name in ("epochs", "ckpt_interval"))
        return sorted({*range(interval, last + 1, interval), last})

    def options_of(self, searched: Path) -> dict[str, Any]:
        """What a search was made with; of one that is only planned, what it will be made with."""
        recorded = read_run(searched).options
        return dict(recorded) if recorded else dataclasses.asdict(self._began[searched])

    def selection_options(self, searched: Path, selection: str, seed: int, epoch: int | None = None) -> Any:
        """The options of a selection from `searched`."""
        options: dict[str, Any] = {
            **self._common(seed), "resume_expid": searched.name, "selection": selection, "resume_epoch": epoch,
            "proj_intv": self.interval,
        }  # fmt: skip
        if self.space == NASBENCH201:
            from nasbench201.space import NasBench201SelectionOptions

            return NasBench201SelectionOptions(**options)
        from sota.space import SotaSelectionOptions

        return SotaSelectionOptions(**options)

    def _search_options(self, method: str, seed: int) -> Any:
        options = {**self._common(seed), "method": method, "ckpt_interval": self.scale.ckpt_interval}
        if self.space == NASBENCH201:
            from nasbench201.space import NasBench201SearchOptions

            return NasBench201SearchOptions(**options)
        from sota.space import SotaSearchOptions

        return SotaSearchOptions(**options, space=self.space)  # pyright: ignore[reportArgumentType]

    def _common(self, seed: int) -> dict[str, Any]:
        return {
            "seed": seed, "gpu": self.gpu, "dataset": self.dataset, "experiments": self.experiments,
            "data_root": self.data_root, "fast": self.fast,
        }  # fmt: skip

    def made(
        self,
        folder: Path,
        sign: str,
        make: Callable[[dict[str, Any]], object],
        command: tuple[str, RunOptions] | str,
    ) -> Path | None:
        """`folder` once it holds the file that its run ends with; None if it does not and nothing may be run.

        A `*` in its name stands for what the run itself will know.

        Args:
            make: gets the options with which to go on: `resume_epoch` where there is a checkpoint, else `overwrite`.
            command: module and options of the command that makes the same; or words, where there is none.
        """
        there = located(folder)
        if not (there / sign).is_file():
            if self.planned is not None:
                self.plan(command if isinstance(command, str) else self._line(*command))
                return there
            if not self.run:
                return None
            begun = any(there.glob("checkpoint_*.pth.tar"))
            with counted(folder, self.experiments):
                make({"resume_epoch": -1} if begun else {"overwrite": there.exists()})
        folder = located(folder)
        if folder not in self.folders:
            self.folders.append(folder)
        return folder

    def plan(self, line: str) -> None:
        """Notes what would be run, once; nothing where things are run, or left out."""
        if self.planned is not None and line not in self.planned:
            self.planned.append(line)

    def _line(self, module: str, options: RunOptions) -> str:
        return command_line(module, type(options), dataclasses.asdict(options))


_SMALL: dict[str, Any] = {"cifar100": "eval-c100", "svhn": "eval-svhn"}
"""Data sets whose architectures are trained in the size of Zela et al., and the script of exp_scripts/ that does."""


def known_methods() -> tuple[str, ...]:
    """The search methods that this version has."""
    from darts_pt.methods import METHODS

    return tuple(METHODS)


def check_made_so(folder: Path, options: RunOptions) -> None:
    """Refuses a run of the same name that was made otherwise, such as a trial with --fast: it is not what is drawn.

    Raises:
        UserError: naming the first option that differs. Options that are open, and how an architecture is named, do not
            count.
    """
    from darts_pt.run.resume import other_options

    said = {name: value for name, value in dataclasses.asdict(options).items() if value is not None and name != "arch"}
    for name, value, began in other_options(folder, said):
        raise UserError(
            f"{folder} was run with --{name} {began}, where this takes {value}: move it away, or give other --experiments"
        )


def need(folder: Path | None, what: str) -> Path:
    """`folder`; UserError where it was not made."""
    if folder is None:
        raise UserError(f"{what} has not been run: leave --no_run out, and it will be")
    return folder
