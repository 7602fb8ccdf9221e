"""NAS-Bench-201 for the commands: options, presets, table look-ups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import tyro

from darts_pt.commands.options import PresetInt, RunOptions, SearchOptions, SelectionOptions, TrainOptions, not_none
from darts_pt.data.class_names import CLASSES
from darts_pt.run.errors import UserError, listed, positive
from darts_pt.run.provenance import PROJECT_ROOT
from darts_pt.space import Command, SearchSpace
from nasbench201.architecture import OPERATIONS, SOURCES, find_architecture, operations_of

if TYPE_CHECKING:
    from torch import Tensor

    from darts_pt.hyperparameters import Criterion
    from darts_pt.run.device import Generators
    from darts_pt.space import Kind
    from nasbench201.network import NasBench201Network
    from nasbench201.supernet import NasBench201Supernet
    from nasbench201.table.lookup import Table

PAPER: dict[str, Any] = {
    "epochs": 100, "batch_size": 64, "train_portion": 0.5, "init_channels": 16, "cells_per_stage": 5, "ckpt_interval": 20,
}  # fmt: skip
"""The search of the paper on NAS-Bench-201."""

PRESETS = {
    "cifar10": PAPER,
    "digits": PAPER | {"epochs": 50, "batch_size": 32, "init_channels": 8, "cells_per_stage": 1},
}
"""Data set -> search. Smaller on digits, which has 8 pixels a side and 1,197 training images."""

SIZES: dict[str, dict[str, Any]] = {
    "laptop": {"epochs": 50, "init_channels": 8, "image_size": 16, "ckpt_interval": 10},
}
"""Smaller searches on CIFAR-10 by name (--size), as they differ from the paper's. `laptop`: two CPU cores finish a search
and a selection by PT within three hours; how it was chosen is in docs/results.md."""

PROTOCOL: dict[str, Any] = {
    "epochs": 200, "batch_size": 256, "learning_rate": 0.1, "weight_decay": 5e-4, "grad_clip": 0.0,
    "init_channels": 16, "cells_per_stage": 5, "ckpt_interval": 20,
}  # fmt: skip
"""The benchmark's own training (Dong & Yang, ICLR 2020, table 1)."""

TRAINING_PRESETS = {
    "cifar10": PROTOCOL,
    "digits": PROTOCOL | {"epochs": 40, "batch_size": 64, "init_channels": 8, "cells_per_stage": 1},
}


@dataclass(frozen=True, kw_only=True)
class SizeOptions(RunOptions):
    """The size of a network of this space."""

    init_channels: PresetInt = None
    """Channels C of the first stage; the next two have 2C and 4C."""
    cells_per_stage: PresetInt = None
    """Cells N in each of the three stages."""
    max_nodes: Literal[4] = 4
    """Nodes of a cell: 4 in NAS-Bench-201."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("init_channels", "cells_per_stage"):
            positive(name, getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class SupernetSizeOptions(SizeOptions):
    """The size of a supernet, and of the images and the time it is trained on."""

    size: Literal["laptop"] | None = None
    """A smaller search, for CIFAR-10 on two CPU cores: laptop (8 channels, images of 16 pixels, 50 epochs). A selection
    takes it from its search."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size and self.dataset == "digits":
            raise UserError(
                f"--size {self.size} is for images as large as CIFAR-10's; a search on digits is small by itself"
            )


@dataclass(frozen=True, kw_only=True)
class TableOptions(RunOptions):
    """The data set of the benchmark table."""

    table_dataset: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Data set whose true accuracies, rank and regret are logged, by default that of --dataset; for your own images name
    the one that they are: cifar10, cifar100, imagenet16-120, digits."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.table_dataset is not None and _table(self.data_root, self.table_dataset) is None:
            raise UserError(
                f"--table_dataset {self.table_dataset}: no benchmark table has it; expected {listed(CLASSES)}"
            )


@dataclass(frozen=True, kw_only=True)
class NasBench201SearchOptions(SearchOptions, SupernetSizeOptions, TableOptions):
    """Train a supernet in the NAS-Bench-201 space: the first step of DARTS, and of DARTS-PT.

    The paper's supernet has 16 channels and 5 cells per stage and trains for 100 epochs (digits: 8, 1 and 50); --size
    laptop trains a smaller one on images of 16 pixels, for two CPU cores.
    It ends with the command that selects an architecture from the supernet.
    """


@dataclass(frozen=True, kw_only=True)
class NasBench201SelectionOptions(SelectionOptions, SupernetSizeOptions, TableOptions):
    """Select a NAS-Bench-201 architecture from a supernet that a search has trained.

    By perturbation, the paper's Algorithm 1, or as --selection says. It ends with a comparison with what magnitude selects,
    and with the command that trains the architecture from scratch.
    """

    without_effect = (*SelectionOptions.without_effect, "proj_crit_edge")

    proj_crit: Annotated[Literal["acc", "loss"], tyro.conf.arg(aliases=["--crit"])] = "acc"
    """Judge a removal by the supernet's accuracy or by its loss on the valid half."""
    proj_crit_edge: Annotated[str | None, tyro.conf.arg(metavar="STR")] = None
    """Not for this space: its nodes keep all incoming edges, so it has no topology events."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.proj_crit_edge is not None:
            raise UserError(
                "--proj_crit_edge: NAS-Bench-201 has no topology events (nodes keep all incoming edges): leave it out"
            )

    def criterion_names(self) -> list[str]:
        return [self.proj_crit]


@dataclass(frozen=True, kw_only=True)
class NasBench201TrainOptions(TrainOptions, SizeOptions):
    """Train an architecture of NAS-Bench-201 from scratch on the whole training set, by the benchmark's protocol.

    SGD with Nesterov momentum, cosine to 0, random crop and flip. The benchmark trains 16 channels and 5 cells per stage
    for 200 epochs in batches of 256 (digits: 8, 1, 40 and 64) at learning rate 0.1 and weight decay 5e-4, without gradient
    clipping; a checkpoint every 20 epochs.
    """

    arch: Annotated[str, tyro.conf.arg(metavar="ARCH")]
    """The architecture: |op~0|+|op~0|op~1|+|op~0|op~1|op~2|, a genotype file, or an experiment."""


class NasBench201Space(SearchSpace[NasBench201SearchOptions, NasBench201SelectionOptions]):
    """NAS-Bench-201, with the benchmark tables under `data_root`."""

    name = "nasbench201"
    title = "NAS-Bench-201"
    commands: ClassVar[Mapping[Kind, Command]] = {
        "search": Command(NasBench201SearchOptions, "nasbench201.train_search"),
        "selection": Command(NasBench201SelectionOptions, "nasbench201.projection"),
        "training": Command(NasBench201TrainOptions, "nasbench201.train"),
    }
    search_presets = PRESETS
    training_presets = TRAINING_PRESETS
    size_presets = SIZES
    paper_epochs = PAPER["epochs"]
    scripts = "201"
    drawings = ("svg",)

    def __init__(self, data_root: Path = PROJECT_ROOT / "data") -> None:
        self._data_root = data_root

    def at(self, data_root: Path) -> NasBench201Space:
        return NasBench201Space(data_root)

    def training_folder(self, options: NasBench201TrainOptions) -> Path | None:
        """The folder names the architecture by its operations' numbers, 0 (none) to 4 (avg_pool_3x3)."""
        try:
            operations = operations_of(self.architecture(options))
        except UserError:
            return None
        digits = "".join(str(OPERATIONS.index(name)) for name in operations)
        return (
            self.experiments(options) / "eval" / "-".join([options.dataset, digits, str(options.seed), *options.tags])
        )

    def architecture(self, options: Any) -> str:
        return find_architecture(options.arch, self.experiments(options))

    def recipe(self, options: NasBench201TrainOptions) -> Mapping[str, Any]:
        return {"nesterov": True}

    def network(self, options: NasBench201TrainOptions, architecture: str, num_classes: int) -> NasBench201Network:
        from nasbench201.network import NasBench201Network

        sizes = not_none(options.init_channels), not_none(options.cells_per_stage)
        return NasBench201Network(operations_of(architecture), *sizes, num_classes)

    def recognises(self, arch: str, experiments: Path) -> bool:
        return "|" in arch or super().recognises(arch, experiments)

    def supernet(
        self,
        options: NasBench201SearchOptions | NasBench201SelectionOptions,
        num_classes: int,
        generators: Generators,
        partial_channels: int | None = None,
    ) -> NasBench201Supernet:
        from nasbench201.supernet import NasBench201Supernet

        # Opened now, so that a damaged table is an error before the first epoch and not after it.
        _table(self._data_root, options.table_dataset or not_none(options.dataset))
        sizes = not_none(options.init_channels), not_none(options.cells_per_stage), num_classes
        if partial_channels is None:
            return NasBench201Supernet(*sizes)
        from nasbench201.partial import PartialCell

        return NasBench201Supernet(*sizes, partial(PartialCell, one_in=partial_channels))

    def sizes(self, state_dict: Mapping[str, Tensor], path: Path) -> dict[str, Any]:
        from nasbench201.supernet import sizes_of

        try:
            init_channels, cells_per_stage, _ = sizes_of(state_dict)
        except (KeyError, ValueError, IndexError, AttributeError):
            raise UserError(
                f"checkpoint {path} holds no NAS-Bench-201 supernet: expected one from darts-201.sh or blank-201.sh; "
                "the supernets of other spaces have scripts of their own"
            ) from None
        return {"init_channels": init_channels, "cells_per_stage": cells_per_stage}

    def criteria(self, options: NasBench201SelectionOptions) -> tuple[dict[str, Criterion], dict[str, Criterion]]:
        return {"cell": options.proj_crit}, {}

    def look_up(self, genotype: str, dataset: str) -> dict[str, Any]:
        """True accuracies (%) on all data sets of the table; rank and regret (percentage points) on the run's own."""
        table = _table(self._data_root, dataset)
        if table is None:
            return {}
        found = table.look_up(genotype)
        known: dict[str, Any] = {
            f"{name} {split}": accuracy for name, splits in found.items() for split, accuracy in splits.items()
        }
        if "test" in found.get(dataset, {}):
            ranking = table.ranking(genotype, dataset)
            known |= {"rank": ranking.rank, "regret": ranking.regret}
        return known

    def has_table(self, dataset: str) -> bool:
        return _table(self._data_root, dataset) is not None

    def true_accuracies(self, dataset: str) -> Sequence[float]:
        table = _table(self._data_root, dataset)
        values = table.values(dataset, "test_accuracy").tolist() if table else []
        return [value for value in values if value == value]  # Without NaN: those that the table has.

    def cells(self, genotype: str) -> Mapping[str, Sequence[tuple[int, int, str]]]:
        pairs = [(source, target) for target, sources in enumerate(SOURCES, start=1) for source in sources]
        return {"Cell": [(*pair, name) for pair, name in zip(pairs, operations_of(genotype), strict=True)]}


@cache
def _table(data_root: Path, dataset: str) -> Table | None:
    """The benchmark table for a data set, opened once."""
    from nasbench201.table.lookup import find_table

    return find_table(data_root, dataset)


SPACES = {"nasbench201": NasBench201Space()}
