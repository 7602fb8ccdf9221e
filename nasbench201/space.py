"""NAS-Bench-201 as the commands see it: options, presets, folders, look-ups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from darts_pt.commands.command_line import RunOptions, positive
from darts_pt.commands.options import PresetInt, SearchOptions, SelectionOptions, given
from darts_pt.methods import script_name
from darts_pt.run.errors import UserError
from darts_pt.space import SearchSpace

if TYPE_CHECKING:
    from torch import Tensor

    from darts_pt.run.device import Generators
    from darts_pt.selection import Criterion
    from nasbench201.supernet import NasBench201Supernet
    from nasbench201.table.lookup import Table

PAPER: dict[str, Any] = {
    "epochs": 100,
    "batch_size": 64,
    "train_portion": 0.5,
    "init_channels": 16,
    "cells_per_stage": 5,
}
"""The search of the paper on NAS-Bench-201."""

PRESETS: dict[str, dict[str, Any]] = {
    "digits": {"epochs": 50, "batch_size": 32, "train_portion": 0.5, "init_channels": 8, "cells_per_stage": 1}
}
"""Data set -> what is smaller there: digits has 8 pixels a side and 1,197 training images."""


@dataclass(frozen=True, kw_only=True)
class SizeOptions(RunOptions):
    """The size of a network of this space."""

    init_channels: PresetInt = None
    """Channels C of the first stage; the next two have 2C and 4C (16; digits 8)."""
    cells_per_stage: PresetInt = None
    """Cells N in each of the three stages (5; digits 1)."""
    max_nodes: Literal[4] = 4
    """Nodes of a cell; NAS-Bench-201 has four."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("init_channels", "cells_per_stage"):
            if getattr(self, name) is not None:
                positive(name, getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class NasBench201SearchOptions(SearchOptions, SizeOptions):
    """Train a supernet in the NAS-Bench-201 space: the first step of DARTS, and of DARTS-PT.

    The paper's supernet has 16 channels and 5 cells per stage and trains for 100 epochs (digits: 8, 1 and 50).
    Next: nasbench201.projection selects an architecture from the supernet.
    """


@dataclass(frozen=True, kw_only=True)
class NasBench201SelectionOptions(SelectionOptions, SizeOptions):
    """Select an architecture of NAS-Bench-201 from a supernet that nasbench201.train_search has trained.

    Next: nasbench201.train trains the architecture from scratch.
    """

    proj_crit: Annotated[Literal["acc", "loss"], tyro.conf.arg(aliases=["--crit"])] = "acc"
    """What a removal is judged by: the supernet's accuracy or its loss on the valid half."""

    proj_crit_edge: Annotated[str | None, tyro.conf.arg(metavar="STR")] = None
    """Refused: it is for topology events, which this space has none of, since its nodes keep all incoming edges."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.proj_crit_edge is not None:
            raise UserError(
                "--proj_crit_edge: NAS-Bench-201 has no topology events, its nodes keep all incoming edges: leave it out"
            )

    def criterion_names(self) -> list[str]:
        return [self.proj_crit]


class NasBench201Space(SearchSpace[NasBench201SearchOptions, NasBench201SelectionOptions]):
    """The commands' view of NAS-Bench-201."""

    paper_epochs = PAPER["epochs"]

    def __init__(self, data_root: Path) -> None:
        self._data_root = data_root
        self._tables: dict[str, Table | None] = {}

    def experiments(self, options: NasBench201SearchOptions | NasBench201SelectionOptions) -> Path:
        return options.experiments / "nasbench201"

    def search_folder(self, options: NasBench201SearchOptions) -> Path:
        parts = [f"search-{script_name(options.method)}-201-{options.seed}"]
        parts += [options.dataset] if options.dataset != "cifar10" else []
        parts += [options.expid_tag] if options.expid_tag else []
        return self.experiments(options) / "-".join(parts)

    def preset(self, options: NasBench201SearchOptions | NasBench201SelectionOptions) -> dict[str, Any]:
        return PRESETS.get(options.dataset or "", PAPER) | {"ckpt_interval": 20}

    def supernet(
        self,
        options: NasBench201SearchOptions | NasBench201SelectionOptions,
        num_classes: int,
        generators: Generators,
    ) -> NasBench201Supernet:
        from nasbench201.supernet import NasBench201Supernet

        sizes = given(options.init_channels), given(options.cells_per_stage), num_classes
        if options.partial_channels is None:
            return NasBench201Supernet(*sizes)
        from nasbench201.partial import PartialCell

        return NasBench201Supernet(*sizes, partial(PartialCell, one_in=options.partial_channels))

    def sizes(self, state_dict: Mapping[str, Tensor], path: Path) -> dict[str, Any]:
        from nasbench201.supernet import sizes_of

        try:
            init_channels, cells_per_stage, _ = sizes_of(state_dict)
        except (KeyError, ValueError, IndexError, AttributeError):
            raise UserError(
                f"checkpoint {path} holds no NAS-Bench-201 supernet: expected one that darts-201.sh or blank-201.sh "
                "has written; for S1–S5 use the -sota scripts"
            ) from None
        return {"init_channels": init_channels, "cells_per_stage": cells_per_stage}

    def criteria(self, options: NasBench201SelectionOptions) -> tuple[dict[str, Criterion], dict[str, Criterion]]:
        return {"cell": options.proj_crit}, {}

    def look_up(self, genotype: str, dataset: str) -> dict[str, Any]:
        """True accuracies (%) on all data sets of the table; rank and regret (% points) on the run's own."""
        table = self._table(dataset)
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

    def _table(self, dataset: str) -> Table | None:
        """The benchmark table for a data set, opened once."""
        if dataset not in self._tables:
            from nasbench201.table.lookup import find_table

            self._tables[dataset] = find_table(self._data_root, dataset)
        return self._tables[dataset]

    def plain(self, genotype: str) -> dict[str, Any]:
        return {"space": "nasbench201", "genotype": genotype}

    def finish(self, genotype: str, folder: Path) -> None:
        from nasbench201.visualize import draw

        draw(genotype, folder / "cells.svg")
