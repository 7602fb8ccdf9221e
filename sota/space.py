"""S1–S5 for the commands: options, presets, folders."""

from __future__ import annotations

import dataclasses
import os.path
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from darts_pt.commands.options import TRIAL, Dataset, not_none
from darts_pt.hyperparameters import Criterion
from darts_pt.run.errors import UserError
from darts_pt.run.results import SELECTION
from darts_pt.space import Command, SearchSpace
from sota.options import ImageNetOptions, SotaSearchOptions, SotaSelectionOptions, SotaTrainOptions, training_folder
from sota.spaces import CANDIDATES

if TYPE_CHECKING:
    from torch import Tensor

    from darts_pt.drawing import Cell
    from darts_pt.run.device import Generators
    from darts_pt.space import Kind
    from sota.choice import Choice
    from sota.genotypes import Genotype
    from sota.network import SotaNetwork
    from sota.supernet import SotaSupernet

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
IMAGENET: dict[str, Any] = {
    "epochs": 250, "batch_size": 1024, "learning_rate": 0.5, "weight_decay": 3e-5, "grad_clip": 5.0,
    "init_channels": 48, "layers": 14, "image_size": 224, "ckpt_interval": 10,
}  # fmt: skip
"""The mobile setting of DARTS, at the batch and learning rate of several GPUs."""
SCRIPTS = {"cifar100": "eval-c100", "svhn": "eval-svhn"}
"""Data set -> the script that trains on it."""
SMALL = {"init_channels": 16, "layers": 8}
"""Network size of these scripts (Zela et al., ICLR 2020)."""


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
        return Command(ImageNetOptions, "sota.train_imagenet")

    def preset(self, options: Any) -> Mapping[str, Any]:
        if options.dataset == "imagenet":
            return IMAGENET
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
        return self._choice(options).name

    def architecture(self, options: SotaTrainOptions) -> str:
        return options.arch

    def _choice(self, options: SotaTrainOptions) -> Choice:
        from sota.choice import find

        return find(options.arch, options.experiments / self.family, options.dataset)

    def network(self, options: SotaTrainOptions, architecture: str, num_classes: int) -> SotaNetwork:
        from sota.network import SotaNetwork

        sizes = not_none(options.init_channels), not_none(options.layers)
        return SotaNetwork(self._choice(options).genotype, *sizes, num_classes, options.auxiliary)

    def recipe(self, options: SotaTrainOptions) -> Mapping[str, Any]:
        return {"auxiliary_weight": options.auxiliary_weight, "drop_path_prob": options.drop_path_prob}

    def description(self, options: SotaTrainOptions, architecture: str) -> dict[str, Any]:
        return self._choice(options).describe(options.arch)

    def recognises(self, arch: str, experiments: Path) -> bool:
        folders = (experiments / self.family).glob("*/")
        return super().recognises(arch, experiments) or any(os.path.exists(folder / arch) for folder in folders)

    def with_dataset(self, options: SotaSelectionOptions) -> SotaSelectionOptions:
        """Take an open data set from the experiment's folder; if several have one of that name, CIFAR-10 comes first."""
        if options.dataset is not None:
            return options
        path, folder = Path(options.resume_expid), options.experiments / self.family
        paths = (path, Path(f"{path}-{TRIAL}")) if options.fast else (path,)
        names = get_args(Dataset)
        there = [name for each in paths for name in names if (folder / name / each).is_dir()]
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
            from sota.cells.partial import PartialCell

            supernet = SotaSupernet(*sizes, partial(PartialCell, one_in=partial_channels))
        supernet.noise_generator = generators["noise"]
        return supernet

    def sizes(self, state_dict: Mapping[str, Tensor], path: Path) -> dict[str, Any]:
        from sota.supernet import sizes_of

        try:
            sizes = sizes_of(state_dict)
        except (KeyError, ValueError, IndexError, AttributeError, TypeError):
            raise UserError(
                f"checkpoint {path} holds no supernet of S1–S5: expected one from darts-sota.sh or blank-sota.sh; "
                "the supernets of other spaces have scripts of their own"
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

    def cells(self, genotype: Genotype | str) -> Mapping[str, Sequence[tuple[int, int, str]]]:
        from sota.genotypes import parse
        from sota.spaces import INPUTS, INPUTS_KEPT

        plain = parse(genotype) if isinstance(genotype, str) else genotype
        return {
            title: [(source, INPUTS + place // INPUTS_KEPT, name) for place, (name, source) in enumerate(genes)]
            for title, genes in (("Normal cell", plain.normal), ("Reduction cell", plain.reduce))
        }

    def cell(self, edges: Sequence[tuple[int, int, str]]) -> Cell:
        from darts_pt.drawing import Cell
        from sota.genotypes import CONCAT

        return Cell(edges, {0: "$c_{k-2}$", 1: "$c_{k-1}$"}, CONCAT, "$c_k$")


SPACES = {name: SotaSpace(name) for name in CANDIDATES}
