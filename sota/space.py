"""S1–S5 as the commands see them: options, presets, folders, drawings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import tyro

from darts_pt.commands.command_line import Dataset, RunOptions, positive
from darts_pt.commands.options import PresetInt, SearchOptions, SelectionOptions, given
from darts_pt.methods import script_name
from darts_pt.run.errors import UserError
from darts_pt.space import SearchSpace

if TYPE_CHECKING:
    from torch import Tensor

    from darts_pt.run.device import Generators
    from darts_pt.selection import Criterion
    from sota.genotypes import Genotype
    from sota.supernet import SotaSupernet

SpaceName = Literal["s1", "s2", "s3", "s4", "s5"]
Criteria = Literal["acc", "loss"]

PAPER: dict[str, Any] = {"epochs": 50, "batch_size": 64, "train_portion": 0.5, "init_channels": 16, "layers": 8}
"""The search of the paper (section 5.1)."""

PRESETS: dict[str, dict[str, Any]] = {
    "digits": {"epochs": 20, "batch_size": 64, "train_portion": 0.5, "init_channels": 4, "layers": 3}
}
"""Data set -> what is smaller there: digits has 8 pixels a side and 1,197 training images."""


@dataclass(frozen=True, kw_only=True)
class SizeOptions(RunOptions):
    """The size of a network of S1–S5."""

    init_channels: PresetInt = None
    """Channels C of the first cells; each of the two reduction cells doubles them."""
    layers: PresetInt = None
    """Cells L; those at L//3 and 2L//3 are reduction cells."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("init_channels", "layers"):
            if getattr(self, name) is not None:
                positive(name, getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class SotaSearchOptions(SearchOptions, SizeOptions):
    """Train a supernet of one of the spaces S1–S5: the first step of DARTS, and of DARTS-PT.

    The paper's supernet has 16 channels and 8 layers and trains for 50 epochs (digits: 4, 3 and 20).
    Next: sota.projection selects an architecture from the supernet.
    """

    seed: int = 2
    """Seed of every random choice; two runs with the same seed on the CPU are identical."""
    space: Annotated[SpaceName, tyro.conf.arg(aliases=["--search_space"])] = "s5"
    """The space: s1 to s4 of Zela et al. (ICLR 2020), or s5, that of DARTS."""


@dataclass(frozen=True, kw_only=True)
class SotaSelectionOptions(SelectionOptions, SizeOptions):
    """Select an architecture from a supernet that sota.train_search has trained.

    Next: sota.train trains the architecture from scratch.
    """

    seed: int = 2
    """Seed of every random choice; two runs with the same seed on the CPU are identical."""
    space: Annotated[SpaceName | None, tyro.conf.arg(aliases=["--search_space"])] = None
    """The space; by default the one that was searched."""
    proj_crit: Annotated[Criteria, tyro.conf.arg(aliases=["--crit"])] = "acc"
    """What a removal is judged by: the supernet's accuracy or its loss on the valid half."""
    proj_crit_normal: Criteria | None = None
    """The same for the operations of the normal cell; by default --proj_crit."""
    proj_crit_reduce: Criteria | None = None
    """The same for the operations of the reduction cell; by default --proj_crit."""
    proj_crit_edge: Criteria | None = None
    """The same for the choice of edges; by default as for the operations of the cell."""

    def criterion_names(self) -> list[str]:
        normal, reduce = self.proj_crit_normal or self.proj_crit, self.proj_crit_reduce or self.proj_crit
        names = [normal] if normal == reduce else [f"{normal}+{reduce}"]
        return names + ([f"edge+{self.proj_crit_edge}"] if self.proj_crit_edge else [])


class SotaSpace(SearchSpace[SotaSearchOptions, SotaSelectionOptions]):
    """The commands' view of S1–S5.

    Args:
        asked: the space that the user named, if any: a checkpoint without a configuration must agree with it.
    """

    evaluates_test = True
    paper_epochs = PAPER["epochs"]

    def __init__(self, asked: str | None = None) -> None:
        self._asked = asked

    def experiments(self, options: SotaSearchOptions | SotaSelectionOptions) -> Path:
        return options.experiments / "sota" / (options.dataset or "cifar10")

    def search_folder(self, options: SotaSearchOptions) -> Path:
        parts = [f"search-{script_name(options.method)}-sota-{options.space}-{options.seed}"]
        return self.experiments(options) / "-".join(parts + ([options.expid_tag] if options.expid_tag else []))

    def preset(self, options: SotaSearchOptions | SotaSelectionOptions) -> dict[str, Any]:
        return PRESETS.get(options.dataset or "", PAPER) | {"ckpt_interval": 10}

    def supernet(
        self, options: SotaSearchOptions | SotaSelectionOptions, num_classes: int, generators: Generators
    ) -> SotaSupernet:
        from sota.supernet import SotaSupernet

        sizes = given(options.space), given(options.init_channels), given(options.layers), num_classes
        if options.partial_channels is None:
            supernet = SotaSupernet(*sizes)
        else:
            from sota.partial import PartialCell

            supernet = SotaSupernet(*sizes, partial(PartialCell, one_in=options.partial_channels))
        supernet.noise_generator = generators["noise"]
        return supernet

    def sizes(self, state_dict: Mapping[str, Tensor], path: Path) -> dict[str, Any]:
        from sota.supernet import sizes_of

        try:
            sizes = sizes_of(state_dict)
        except (KeyError, ValueError, IndexError, AttributeError, TypeError):
            raise UserError(
                f"checkpoint {path} holds no supernet of S1–S5: expected one that darts-sota.sh or blank-sota.sh has "
                "written; for NAS-Bench-201 use the -201 scripts"
            ) from None
        if self._asked not in (None, sizes["space"]):
            raise UserError(
                f"--space {self._asked}: {path} holds a supernet of {sizes['space']}; leave --space out, or name "
                "another --resume_expid"
            )
        return sizes

    def criteria(self, options: SotaSelectionOptions) -> tuple[dict[str, Criterion], dict[str, Criterion]]:
        operations: dict[str, Criterion] = {
            "normal": options.proj_crit_normal or options.proj_crit,
            "reduce": options.proj_crit_reduce or options.proj_crit,
        }
        return operations, {cell: options.proj_crit_edge or criterion for cell, criterion in operations.items()}

    def plain(self, genotype: Genotype) -> dict[str, Any]:
        from sota.genotypes import to_plain

        return {"genotype": str(genotype), **to_plain(genotype)}

    def finish(self, genotype: Genotype, folder: Path) -> None:
        from sota.visualize import draw

        for name in ("cells.svg", "cells.png"):
            draw(genotype, folder / name)


def with_dataset(options: SotaSelectionOptions) -> SotaSelectionOptions:
    """`options` with the data set of the experiment it names, which lies in a folder of that name.

    An open data set becomes the only one that has an experiment of that name; CIFAR-10 comes first.
    """
    if options.dataset is not None:
        return options
    path = Path(options.resume_expid)
    names = get_args(Dataset)
    there = [name for name in names if (options.experiments / "sota" / name / path).is_dir()]
    if not there and path.is_dir():
        there = [name for name in names if path.resolve().parent.name == name]
    return dataclasses.replace(options, dataset=there[0]) if there else options
