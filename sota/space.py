"""S1–S5 for the commands: options, presets, folders."""

from __future__ import annotations

import dataclasses
import os.path
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

import tyro

from darts_pt.commands.options import (
    Dataset,
    PresetInt,
    RunOptions,
    SearchOptions,
    SelectionOptions,
    TrainOptions,
    not_none,
)
from darts_pt.hyperparameters import Criterion
from darts_pt.run.errors import UserError, one_of, positive
from darts_pt.run.results import SELECTION
from darts_pt.space import Command, SearchSpace
from sota.spaces import CANDIDATES

if TYPE_CHECKING:
    from torch import Tensor

    from darts_pt.drawing import Cell
    from darts_pt.run.device import Generators
    from darts_pt.space import Kind
    from sota.genotypes import Genotype
    from sota.supernet import SotaSupernet

_SPACE = tyro.conf.arg(aliases=["--search_space"], metavar="{" + ",".join(CANDIDATES) + "}")

PAPER: dict[str, Any] = {
    "epochs": 50, "batch_size": 64, "train_portion": 0.5, "init_channels": 16, "layers": 8, "ckpt_interval": 10,
}  # fmt: skip
"""The search of the paper (section 5.1)."""

PRESETS = {"cifar10": PAPER, "digits": PAPER | {"epochs": 20, "init_channels": 4, "layers": 3}}
"""Data set -> search. Smaller on digits, which has 8 pixels a side and 1,197 training images."""

PROTOCOL: dict[str, Any] = {
    "epochs": 600, "batch_size": 96, "learning_rate": 0.025, "weight_decay": 3e-4, "grad_clip": 5.0,
    "init_channels": 36, "layers": 20, "ckpt_interval": 50,
}  # fmt: skip
"""The paper's training from scratch, after DARTS."""

TRAINING_PRESETS = {
    "cifar10": PROTOCOL,
    "digits": PROTOCOL | {"epochs": 40, "batch_size": 64, "ckpt_interval": 20, "init_channels": 8, "layers": 5},
}
SCRIPTS = {"cifar100": "eval-c100", "svhn": "eval-svhn"}
"""Data set -> the script that trains on it."""
SMALL = {"init_channels": 16, "layers": 8}
"""Network size of these scripts (Zela et al., ICLR 2020)."""


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
            positive(name, getattr(self, name))
        if getattr(self, "space", None) is not None:
            one_of("space", self.space, CANDIDATES)  # pyright: ignore[reportAttributeAccessIssue]


@dataclass(frozen=True, kw_only=True)
class SotaSearchOptions(SearchOptions, SizeOptions):
    """Train a supernet of one of the spaces S1–S5: the first step of DARTS, and of DARTS-PT.

    The paper's supernet has 16 channels and 8 layers and trains for 50 epochs (digits: 4, 3 and 20).
    Next: sota.projection selects an architecture from the supernet.
    """

    seed: int = 2
    """Seed of every random choice; two runs with the same seed on the CPU are identical."""
    space: Annotated[str, _SPACE] = "s5"
    """The space: s1 to s4 (Zela et al., ICLR 2020) or s5 (DARTS)."""


@dataclass(frozen=True, kw_only=True)
class SotaSelectionOptions(SelectionOptions, SizeOptions):
    """Select an architecture of S1–S5 from a supernet trained by sota.train_search.

    Next: sota.train trains the architecture from scratch.
    """

    seed: int = 2
    """Seed of every random choice; two runs with the same seed on the CPU are identical."""
    space: Annotated[str | None, _SPACE] = None
    """The space, by default that of the search."""
    proj_crit: Annotated[Criterion, tyro.conf.arg(aliases=["--crit"])] = "acc"
    """Judge a removal by the supernet's accuracy or by its loss on the valid half."""
    proj_crit_normal: Criterion | None = None
    """The same for the operations of the normal cell; by default --proj_crit."""
    proj_crit_reduce: Criterion | None = None
    """The same for the operations of the reduction cell; by default --proj_crit."""
    proj_crit_edge: Criterion | None = None
    """The same for edges in topology events; by default as for the operations of the cell."""

    def criterion_names(self) -> list[str]:
        normal, reduce = self.proj_crit_normal or self.proj_crit, self.proj_crit_reduce or self.proj_crit
        names = [normal] if normal == reduce else [f"{normal}+{reduce}"]
        return names + ([f"edge+{self.proj_crit_edge}"] if self.proj_crit_edge else [])


@dataclass(frozen=True, kw_only=True)
class SotaTrainOptions(TrainOptions, SizeOptions):
    """Train an architecture of S1–S5 from scratch on the whole training set, and report its test accuracy.

    SGD with a cosine to 0, random crop and flip, drop-path. The paper's network has 36 channels and 20 layers and trains
    for 600 epochs in batches of 96 (digits: 8, 5, 40 and 64) at learning rate 0.025, weight decay 3e-4 and gradients
    clipped at 5, with cutout and the auxiliary head; a checkpoint every 50 epochs (digits: 20).
    """

    seed: int = 2
    """Seed of every random choice; two runs with the same seed on the CPU are identical."""
    arch: str
    """The architecture: a published name such as darts_pt_s5_0, a genotype file, or an experiment such as
    search-darts-sota-s5-2, which stands for its selection."""
    auxiliary: bool = False
    """Train with an auxiliary head after the second reduction cell."""
    auxiliary_weight: float = 0.4
    """Weight of the auxiliary head's loss."""
    drop_path_prob: float = 0.2
    """Drop-path probability in the last epoch; it grows linearly from 0."""
    script: Literal["eval", "eval-c100", "eval-svhn"] = "eval"
    """First word of the experiment folder's name; eval-c100 and eval-svhn train 16 channels and 8 layers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.auxiliary and self.batch_size == 1:
            raise UserError("--batch_size 1: the auxiliary head's batch norm needs at least 2 images")


class SotaSpace(SearchSpace[SotaSearchOptions, SotaSelectionOptions]):
    """S1–S5, or another space on their cells.

    Args:
        name: the space; empty if the user named none: the checkpoint tells.
    """

    commands: ClassVar[Mapping[Kind, Command]] = {
        "search": Command(SotaSearchOptions, "sota.train_search"),
        "selection": Command(SotaSelectionOptions, "sota.projection"),
        "training": Command(SotaTrainOptions, "sota.train"),
    }
    search_presets = PRESETS
    training_presets = TRAINING_PRESETS
    paper_training: ClassVar = {"cutout": True, "auxiliary": True}
    paper_epochs = PAPER["epochs"]
    evaluates_test = True
    scripts = "sota"
    folder_per_dataset = True
    drawings = ("svg", "png")

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.title = name.upper() or "S1–S5"

    @property
    def family(self) -> str:
        return "sota"

    @property
    def label(self) -> str:
        return f"sota-{self.name}"

    def command(self, kind: Kind, dataset: str | None = None) -> Command:
        if (kind, dataset) != ("training", "imagenet"):
            return self.commands[kind]
        from sota.train_imagenet import ImageNetOptions

        return Command(ImageNetOptions, "sota.train_imagenet")

    def preset(self, options: Any) -> Mapping[str, Any]:
        small = getattr(options, "script", None) in SCRIPTS.values()
        return {**super().preset(options), **(SMALL if small else {})}

    def training_options(self, dataset: str) -> dict[str, Any]:
        return {"script": SCRIPTS.get(dataset, "eval")}

    def training_folder(self, options: SotaTrainOptions) -> Path:
        return training_folder(options, self._architecture_name(options))

    def _architecture_name(self, options: SotaTrainOptions) -> str:
        """The architecture in the folder's name; of a selection it is known before the selection is run."""
        search, _, selection = options.arch.partition("/")
        if selection.startswith(SELECTION) and "/" not in selection:
            return f"{search}+{selection}"
        from sota.choice import find

        return find(options.arch, options.experiments / self.family, options.dataset).name

    def train(self, options: SotaTrainOptions) -> dict[str, Any]:
        from sota.train import main

        return main(options)

    def recognises(self, arch: str, experiments: Path) -> bool:
        folders = (experiments / self.family).glob("*/")
        return super().recognises(arch, experiments) or any(os.path.exists(folder / arch) for folder in folders)

    def with_dataset(self, options: SotaSelectionOptions) -> SotaSelectionOptions:
        """Take an open data set from the experiment's folder; if several have one of that name, CIFAR-10 comes first."""
        if options.dataset is not None:
            return options
        path = Path(options.resume_expid)
        names = get_args(Dataset)
        there = [name for name in names if (options.experiments / self.family / name / path).is_dir()]
        if not there and path.is_dir():
            there = [name for name in names if path.resolve().parent.name == name]
        return dataclasses.replace(options, dataset=there[0]) if there else options

    def supernet(
        self,
        options: SotaSearchOptions | SotaSelectionOptions,
        num_classes: int,
        generators: Generators,
        partial_channels: int | None = None,
    ) -> SotaSupernet:
        from sota.supernet import SotaSupernet

        sizes = not_none(options.space), not_none(options.init_channels), not_none(options.layers), num_classes
        if partial_channels is None:
            supernet = SotaSupernet(*sizes)
        else:
            from sota.partial import PartialCell

            supernet = SotaSupernet(*sizes, partial(PartialCell, one_in=partial_channels))
        supernet.noise_generator = generators["noise"]
        return supernet

    def sizes(self, state_dict: Mapping[str, Tensor], path: Path) -> dict[str, Any]:
        from sota.supernet import sizes_of

        try:
            sizes = sizes_of(state_dict)
        except (KeyError, ValueError, IndexError, AttributeError, TypeError):
            raise UserError(
                f"checkpoint {path} holds no supernet of S1–S5: expected one from darts-sota.sh or blank-sota.sh; for "
                "NAS-Bench-201 use the -201 scripts"
            ) from None
        if self.name not in ("", sizes["space"]):
            raise UserError(
                f"--space {self.name}: {path} holds a supernet of {sizes['space']}; leave --space out, or give another "
                "--resume_expid"
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

    def draw(self, genotype: Genotype | str, path: Path) -> None:
        from sota.genotypes import parse
        from sota.visualize import draw

        draw(parse(genotype) if isinstance(genotype, str) else genotype, path)

    def cell(self, edges: Sequence[tuple[int, int, str]]) -> Cell:
        from sota.visualize import cell

        return cell(edges)


def training_folder(options: SotaTrainOptions, architecture: str) -> Path:
    """The experiment folder of a training; `architecture` is the short name in it."""
    parts = [options.script, architecture, str(options.seed)]
    parts += [f"cutout-{options.cutout_length}-1.0"] if options.cutout else []
    parts += [f"auxiliary-{options.auxiliary_weight}"] if options.auxiliary else []
    parts += [options.expid_tag] if options.expid_tag else []
    return options.experiments / "sota" / options.dataset / "eval" / "-".join(parts)


SPACES = {name: SotaSpace(name) for name in CANDIDATES}
