"""The options of the commands of S1–S5, and the folder that they name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from darts_pt.commands.options import (
    PresetFloat,
    PresetInt,
    RunOptions,
    SearchOptions,
    SelectionOptions,
    TrainOptions,
)
from darts_pt.run.errors import UserError, in_range, one_of, positive
from darts_pt.run.provenance import PROJECT_ROOT
from sota.spaces import CANDIDATES

CriterionName = Literal["acc", "loss"]
_SPACE = tyro.conf.arg(aliases=["--search_space"], metavar="{" + ",".join(CANDIDATES) + "}")


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
    It ends with the command that selects an architecture from the supernet.
    """

    seed: int = 2
    """Seed of every random choice; two runs with the same seed on the CPU are identical."""
    space: Annotated[str, _SPACE] = "s5"
    """The space: s1 to s4 (Zela et al., ICLR 2020) or s5 (DARTS)."""


@dataclass(frozen=True, kw_only=True)
class SotaSelectionOptions(SelectionOptions, SizeOptions):
    """Select an architecture of S1–S5 from a supernet that a search has trained.

    By perturbation, the paper's Algorithm 1, or as --selection says. It ends with a comparison with what magnitude selects,
    and with the command that trains the architecture from scratch.
    """

    seed: int = 2
    """Seed of every random choice; two runs with the same seed on the CPU are identical."""
    space: Annotated[str | None, _SPACE] = None
    """The space, by default that of the search."""
    proj_crit: Annotated[CriterionName, tyro.conf.arg(aliases=["--crit"])] = "acc"
    """Judge a removal by the supernet's accuracy or by its loss on the valid half."""
    proj_crit_normal: CriterionName | None = None
    """The same for the operations of the normal cell; by default --proj_crit."""
    proj_crit_reduce: CriterionName | None = None
    """The same for the operations of the reduction cell; by default --proj_crit."""
    proj_crit_edge: CriterionName | None = None
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
    arch: Annotated[str, tyro.conf.arg(metavar="ARCH")]
    """The architecture: a published name such as darts_pt_s5_0, a genotype file, or an experiment such as
    search-darts-sota-s5-2, which stands for its selection; eval.sh then takes its data set too."""
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


@dataclass(frozen=True, kw_only=True)
class ImageNetOptions(SotaTrainOptions):
    """Train an architecture of S1–S5 on ImageNet from scratch, and report its top-1 and top-5 accuracy.

    224 pixels, 48 channels, 14 layers, 250 epochs; SGD with label smoothing, the learning rate falling linearly to 0;
    random crops of random size, flips, colours; eval-imagenet.sh adds the auxiliary head. --nproc_per_node N, or torchrun,
    runs it on several GPUs with the same batch.
    """

    without_effect = ("log_tag", "data_root", "cutout", "cutout_length")

    dataset: Literal["imagenet"] = "imagenet"  # type: ignore[assignment]
    """The data set: images in class folders."""
    data: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = PROJECT_ROOT / "data" / "imagenet"
    """A folder that holds train/CLASS/ and val/CLASS/."""
    image_size: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None
    """Side in pixels of the images that the network gets."""
    learning_rate: PresetFloat = None
    """Initial learning rate; it falls linearly to 0."""
    workers: int = min(8, os.cpu_count() or 1)
    """Processes that decode images, per training process."""
    label_smoothing: float = 0.1
    """Label smoothing of the training loss."""
    drop_path_prob: float = 0.0
    """Drop-path probability in the last epoch; it grows linearly from 0."""
    script: Literal["eval-imagenet"] = "eval-imagenet"  # type: ignore[assignment]
    """The first word in the name of the experiment folder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range("workers", self.workers, 0, 1024)
        if self.cutout:
            raise UserError("--cutout: training on ImageNet has no cutout; leave it out")
        if self.image_size is not None:
            in_range("image_size", self.image_size, 32, 4096)


def training_folder(options: SotaTrainOptions, architecture: str) -> Path:
    """The experiment folder of a training; `architecture` is the short name in it."""
    parts = [options.script, architecture, str(options.seed)]
    parts += [f"cutout-{options.cutout_length}-1.0"] if options.cutout else []
    parts += [f"auxiliary-{options.auxiliary_weight}"] if options.auxiliary else []
    return options.experiments / "sota" / options.dataset / "eval" / "-".join((*parts, *options.tags))
