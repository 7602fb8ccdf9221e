"""Making what a figure or a table of the paper needs: finds the run, goes on with it, or starts it.

A run is known by the folder that its command would write. One that has come to its end is reused, one that has not is
resumed from its last checkpoint; options that contradict what is there are an error, as in the commands themselves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darts_pt.errors import UserError
from report.costs import counted

if TYPE_CHECKING:
    from darts_pt.space import SearchSpace

NASBENCH201 = "nasbench201"
_TRAINED = "summary.json"
_SELECTED = "genotype.json"


@dataclass(frozen=True)
class Scale:
    """How large the runs are.

    Attributes:
        seeds_201, seeds_sota: seeds of the two families' runs.
        interval_201, interval_sota: tuning epochs between selection events.
        snapshots: epochs of search from which figure 4 selects; None takes those of the usual checkpoints.
        tuning: at most so many epochs are a discretised supernet tuned (figures 1 and 2).
        train: options of the evaluation training that differ from the commands' own.
        shuffles: how often table 1 draws edges.
    """

    seeds_201: tuple[int, ...]
    seeds_sota: tuple[int, ...]
    interval_201: int
    interval_sota: int
    ckpt_interval: int | None
    tuning: int
    train: dict[str, Any]
    shuffles: int


SCALES = {
    "digits": Scale((1,), (2,), 5, 1, 10, 3, {"epochs": 10}, 10),
    "paper": Scale((0, 1, 2, 3), (0, 1, 2, 3), 5, 5, None, 20, {"cutout": True, "auxiliary": True}, 10),
}
"""The presets. `digits` is for a laptop's CPU; `paper` is what the paper did, days on a GPU."""


@dataclass
class Maker:
    """Makes runs of one space on one data set.

    Attributes:
        run: whether to run what is missing; else what is missing stays so.
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
    folders: list[Path] = field(default_factory=list)

    @property
    def seeds(self) -> tuple[int, ...]:
        return self.scale.seeds_201 if self.space == NASBENCH201 else self.scale.seeds_sota

    @property
    def interval(self) -> int:
        return self.scale.interval_201 if self.space == NASBENCH201 else self.scale.interval_sota

    def search(self, method: str, seed: int) -> Path | None:
        """The folder of a search that has come to its end."""
        from darts_pt.run_options import with_preset

        options = self._search_options(method, seed)
        if options is None:
            return None
        space = self.commands()
        folder = space.search_folder(with_preset(options, space.preset(options)))
        return self.made(folder, _SELECTED, lambda again: self._search(space, options, again))

    def _search(self, space: SearchSpace[Any, Any], options: Any, again: dict[str, Any]) -> None:
        from darts_pt.commands import run_search

        run_search(space, dataclasses.replace(options, **again))

    def selection(self, searched: Path | None, selection: str, seed: int, epoch: int | None = None) -> Path | None:
        """The folder of a selection from `searched`, from its last checkpoint or that of `epoch`."""
        if searched is None:
            return None
        from darts_pt.commands import selection_name
        from report.reading import read_run

        options = self.selection_options(searched, selection, seed, epoch)
        began = read_run(searched).options
        folder = searched / selection_name(options, int(began["epochs"]) if epoch is None else epoch)
        if began.get("method") == "sgas" and selection != "magnitude":  # It starts before the search's first decision.
            name = selection_name(options, 0).removeprefix("log_resume-0")
            folder = next(iter(sorted(searched.glob(f"log_resume-*{name}/"))), folder)
        return self.made(folder, _SELECTED, lambda again: self._select(options, again))

    def _select(self, options: Any, again: dict[str, Any]) -> None:
        from darts_pt.commands import run_selection

        if "resume_epoch" in again:
            again = {"dev_resume_epoch": again["resume_epoch"]}
        run_selection(self.commands(), dataclasses.replace(options, **again))

    def training(self, selected: Path | None, seed: int) -> Path | None:
        """The folder of the evaluation training of what was selected in `selected`."""
        if selected is None:
            return None
        from darts_pt.run_options import with_preset
        from report.reading import read_run

        architecture = read_run(selected).architecture
        common = {**self._common(seed), **self.scale.train}
        if self.space == NASBENCH201:
            from nasbench201 import train as command

            kept = {name: value for name, value in common.items() if name not in ("epochs", "auxiliary", "cutout")}
            options: Any = command.NasBench201TrainOptions(arch=str(architecture), **kept)
            folder = command.folder_of(with_preset(options, command.PRESETS.get(self.dataset, command.PROTOCOL)))
        else:
            from sota import train as command
            from sota.choice import find

            small = self.dataset in ("cifar100", "svhn")
            sizes: dict[str, Any] = {"init_channels": 16, "layers": 8} if small else {}
            options = command.SotaTrainOptions(arch=f"{selected.parent.name}/{selected.name}", **common, **sizes)
            name = find(options.arch, self.experiments / "sota", self.dataset).name
            folder = command.folder_of(options, name)
        main: Callable[[Any], Any] = command.main
        return self.made(folder, _TRAINED, lambda again: main(dataclasses.replace(options, **again)))

    # How ------------------------------------------------------------------------------------------------------------

    def commands(self) -> SearchSpace[Any, Any]:
        """The space as the commands see it."""
        if self.space == NASBENCH201:
            from nasbench201.space import NasBench201Space

            return NasBench201Space(self.data_root)
        from sota.space import SotaSpace

        return SotaSpace()

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
        """The options of a search; None for a method that this space does not offer."""
        if method not in known_methods():
            return None
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

    def made(self, folder: Path, sign: str, make: Callable[[dict[str, Any]], object]) -> Path | None:
        """`folder` once it holds the file that its run ends with; None if it does not and nothing may be run.

        `make` gets the options with which to go on: `resume_epoch` where there is a checkpoint, else `overwrite`.
        """
        if not (folder / sign).is_file():
            if not self.run:
                return None
            begun = any(folder.glob("checkpoint_*.pth.tar"))
            with counted(folder, self.experiments):
                make({"resume_epoch": -1} if begun else {"overwrite": folder.exists()})
        if folder not in self.folders:
            self.folders.append(folder)
        return folder


def known_methods() -> tuple[str, ...]:
    """The search methods that this version has."""
    from darts_pt.methods import METHODS

    return tuple(METHODS)


def need(folder: Path | None, what: str) -> Path:
    """`folder`; UserError where it was not made."""
    if folder is None:
        raise UserError(f"{what} has not been run: leave --no_run out, and it will be")
    return folder
