"""The options of search, selection and training from scratch that all spaces share.

A class inherits the method's arguments that it offers as options (WeightOptions, AlphaOptions), so that each default and
help text is written once. None leaves an option open: its value comes from the space's preset for the data set, or in a
selection from the search (:func:`with_preset`). Cheap to import: there is no torch in it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import tyro

from darts_pt.commands.own_options import (
    SELECTION_SETTINGS,
    SETTINGS,
    MethodName,
    MethodOfTheSearch,
    MethodSettings,
    SelectionName,
    SelectionSettings,
    check_values,
)
from darts_pt.hyperparameters import (
    AlphaOptions,
    Checked,
    EdgeOrder,
    OnNan,
    Precision,
    TrainingOptions,
    WeightOptions,
    check_training,
)
from darts_pt.methods import METHODS
from darts_pt.run.errors import ArgumentError, UserError, in_range, one_of, positive
from darts_pt.run.provenance import PROJECT_ROOT
from darts_pt.selections import SELECTIONS

Options = TypeVar("Options", bound="RunOptions")
Value = TypeVar("Value")

Dataset = Literal["cifar10", "cifar100", "svhn", "imagenet16-120", "folder", "digits"]

FREE_OPTIONS = frozenset(
    ("gpu", "data", "data_root", "experiments", "overwrite", "report_freq", "ckpt_interval", "log_tag")
    + ("ckpt_minutes", "keep", "cuda_graph", "table_dataset")
    + ("resume_epoch", "resume_expid", "dev_resume_epoch", "dev_resume_log")
    + ("nproc_per_node", "max_restarts", "workers")
)
"""Options that may differ when a run is resumed: they do not change what it computes."""

TRIAL = "fast"
"""Part of the folder names of trials with --fast."""

_PRESET = "(default: the preset's)"
PresetInt = Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint=_PRESET)]
PresetFloat = Annotated[float | None, tyro.conf.arg(metavar="X", help_behavior_hint=_PRESET)]
"""Types of options that take their value from the preset if the user gives none."""


def with_preset(options: Options, preset: Mapping[str, Any]) -> Options:
    """Fill the open options from `preset`."""
    open_fields = {field.name for field in dataclasses.fields(options) if getattr(options, field.name) is None}
    return dataclasses.replace(options, **{name: value for name, value in preset.items() if name in open_fields})


def not_none(value: Value | None) -> Value:
    """The value of an option that a preset has filled, for the type checker."""
    assert value is not None, "the preset leaves an option open"
    return value


# Every run -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RunOptions(Checked):
    """The options of every run: seed, device, data, folders."""

    seed: int = 1
    """Seed of every random choice; two runs with the same seed on the CPU are identical."""
    gpu: str = "auto"
    """Device: auto (the least used GPU, or the CPU where there is none), the index of a GPU, or cpu."""
    dataset: Dataset = "cifar10"
    """Data set; digits needs no download and is small, folder reads your own images from --data."""
    data: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """For --dataset folder: a folder of images sorted into one folder per class."""
    data_root: Annotated[Path, tyro.conf.arg(metavar="DIR")] = PROJECT_ROOT / "data"
    """Folder of the data sets and benchmark files, also for downloads."""
    image_size: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None
    """Resize all images to squares of this side; by default they stay as they are, and those of --dataset folder must all
    have the same size."""
    cutout: bool = False
    """Cut a random square out of every training image."""
    cutout_length: Annotated[int, tyro.conf.arg(metavar="PIXELS")] = 16
    """Side of that square for images of 32 pixels; in proportion for other sizes."""
    experiments: Annotated[Path, tyro.conf.arg(metavar="DIR")] = PROJECT_ROOT / "experiments"
    """Folder for the experiments."""
    expid_tag: Annotated[str | None, tyro.conf.arg(metavar="TAG")] = None
    """Appended to the name of the experiment folder."""
    log_tag: Annotated[str | None, tyro.conf.arg(metavar="TAG")] = None
    """Appended to the name of the selection's log and folder."""
    overwrite: bool = False
    """Replace an existing experiment; without it that is an error."""
    fast: bool = False
    """Quick trial: one batch per epoch and per evaluation. Its folders end in -fast, and reports leave it out."""
    ckpt_minutes: Annotated[float, tyro.conf.arg(metavar="MINUTES")] = 10.0
    """Also save within epochs every MINUTES minutes, and when the system or Ctrl-C stops the run."""
    keep: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: all)")] = None
    """Keep only the N newest checkpoints, and any that a selection must start from."""
    on_nan: OnNan = "stop"
    """At a NaN or infinite loss or gradient: stop with a state dump, or skip the step and count it."""
    report_freq: Annotated[int, tyro.conf.arg(metavar="STEPS")] = 50
    """Steps between log lines with the running loss and accuracy."""

    without_effect: ClassVar[tuple[str, ...]] = ()
    """Options that are accepted, so that scripts can pass them, but do nothing; --help leaves them out."""
    table_dataset = None  # Not a field: spaces with benchmark tables have such an option,
    size = None  # and spaces with other sizes of their search have this one.

    @property
    def tags(self) -> list[str]:
        """The end of the experiment folder's name: a trial must not take the name of the run that it tries."""
        return ([TRIAL] if self.fast else []) + ([self.expid_tag] if self.expid_tag else [])

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range("seed", self.seed, 0, 2**63 - 1)
        for name in ("report_freq", "ckpt_minutes", "keep", "cutout_length", "image_size"):
            positive(name, getattr(self, name))
        if self.dataset == "folder" and self.data is None:
            raise UserError("--dataset folder needs --data DIR, a folder with one folder of images per class")
        if self.dataset not in ("folder", "imagenet", None) and self.data is not None:
            raise UserError(f"--data is for --dataset folder; {self.dataset} is read from --data_root")
        for name in ("expid_tag", "log_tag"):
            tag = getattr(self, name)
            if tag is not None and not re.fullmatch(r"[A-Za-z0-9._+=-]{1,64}", tag):
                raise ArgumentError(name, f"expected up to 64 letters, digits and . _ + = - , got {tag!r}")


@dataclass(frozen=True, kw_only=True)
class RanksOptions(RunOptions):
    """A run by several processes."""

    nproc_per_node: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Run as N processes on this machine, each on its own GPU if there are GPUs. For several machines start the module
    with torchrun."""
    max_restarts: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """With several processes: if one dies, restart all from the last checkpoint, at most N times."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("nproc_per_node", self.nproc_per_node)
        in_range("max_restarts", self.max_restarts, 0, 10**6)


# Search, selection, training -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class SupernetOptions(MethodSettings, AlphaOptions, WeightOptions, RunOptions):
    """Training a supernet, in a search and in the tuning epochs of a selection."""

    batch_size: PresetInt = None  # type: ignore[assignment]
    """Images per batch of each half."""
    train_portion: Annotated[float | None, tyro.conf.arg(metavar="X")] = 0.5
    """Share of the training set that trains the weights; the rest is the valid half."""
    method: MethodName | None = None
    precision: Precision | None = None
    """Arithmetic, by default that of the search."""
    cuda_graph: bool = False
    """Record the passes through the supernet as CUDA graphs and replay them (docs/performance.md), which saves a GPU most
    of the time between small kernels. Unverified: it has not been run on a GPU yet."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method is not None:
            one_of("method", self.method, METHODS)
        check_values(self, SETTINGS)
        if self.train_portion is not None and not 0 < self.train_portion < 1:
            raise ArgumentError("train_portion", f"expected a number between 0 and 1, got {self.train_portion}")


@dataclass(frozen=True, kw_only=True)
class SearchOptions(SupernetOptions):
    """A search."""

    without_effect = ("proj_intv", "log_tag")

    method: MethodName = "darts"
    precision: Precision = "torch"
    """Arithmetic. torch: PyTorch's default, as in the original: convolutions in tf32 on GPUs that have it, matrix products,
    here also the candidates' 1x1 convolutions, in fp32; fp32: no tf32; tf32: both in it; bf16: autocast; fp64."""
    epochs: PresetInt = None
    """Epochs of search."""
    ckpt_interval: PresetInt = None
    """Epochs between checkpoints; the last epoch is always saved."""
    proj_intv: PresetInt = None
    """Ignored; accepted so that scripts can pass it."""
    evaluate_train: bool = False
    """Also evaluate the train half after each epoch, as the original does; only for the log."""
    resume_epoch: int = 0
    """Resume the experiment from its checkpoint of this epoch; -1 is the latest, 0 starts from the beginning."""
    resume_expid: Annotated[str | None, tyro.conf.arg(metavar="EXPID")] = None
    """The experiment to resume, if the other options do not give its name."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("epochs", "ckpt_interval", "init_channels"):
            positive(name, getattr(self, name, None))
        in_range("resume_epoch", self.resume_epoch, -1, 10**6)


@dataclass(frozen=True, kw_only=True)
class SelectionOptions(SelectionSettings, SupernetOptions, RanksOptions):
    """A selection."""

    without_effect = ("ckpt_interval", "expid_tag")

    dataset: Dataset | None = None  # type: ignore[assignment]
    """Data set, by default that of the search."""
    train_portion: PresetFloat = None
    """Share of the training set that trains the weights; the rest is the valid half."""
    method: MethodOfTheSearch = None
    change_method: bool = False
    """Tune the supernet by another --method than the one that searched it; the folder's name and reports say so."""
    resume_expid: Annotated[str, tyro.conf.arg(metavar="EXPID")]
    """The search to select from: the name or path of its experiment folder."""
    resume_epoch: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Select from the checkpoint of this epoch; -1 is the latest. By default the search's last."""
    selection: SelectionName = "pt"
    proj_intv: int = 5
    """Tuning epochs between two selection events."""
    edge_decision: EdgeOrder = "random"
    """The order in which edges are decided."""
    proj_batches: Literal["fresh", "cached"] = "fresh"
    """fresh: score every candidate on newly shuffled and augmented images, as in the original; cached: score all
    candidates of an event on the same images."""
    epochs: PresetInt = None
    """Epochs of the search: the checkpoint to select from, unless --resume_epoch names it."""
    ckpt_interval: PresetInt = None
    """Ignored; accepted so that scripts can pass it. A selection saves before every event."""
    dev_resume_epoch: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Resume an interrupted selection from its checkpoint of this epoch; -1 is the latest."""
    dev_resume_log: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """The selection to resume: the name of its folder or log inside the experiment."""

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("selection", self.selection, SELECTIONS)
        check_values(self, SELECTION_SETTINGS)
        positive("proj_intv", self.proj_intv)
        for name in ("resume_epoch", "dev_resume_epoch"):
            in_range(name, getattr(self, name), -1, 10**6)
        if self.dev_resume_log is not None and self.dev_resume_epoch is None:
            raise UserError("--dev_resume_log needs --dev_resume_epoch: give the epoch too, -1 for the latest")

    def criterion_names(self) -> list[str]:
        """The criteria as parts of the names of a selection's files."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class TrainOptions(RanksOptions):
    """Training a derived network from scratch."""

    without_effect = ("log_tag",)

    epochs: PresetInt = None
    """Epochs of training."""
    batch_size: PresetInt = None
    """Images per step, over all processes."""
    accumulate: Annotated[int, tyro.conf.arg(metavar="N")] = TrainingOptions.accumulate
    """Split a step into N forward passes, for a batch that does not fit in memory; batch statistics are per pass."""
    learning_rate: PresetFloat = None
    """Initial learning rate; it follows a cosine to 0."""
    momentum: float = TrainingOptions.momentum
    """Momentum of SGD."""
    weight_decay: PresetFloat = None
    """Weight decay."""
    grad_clip: PresetFloat = None
    """Largest norm of the gradient; 0 does not clip."""
    ckpt_interval: PresetInt = None
    """Epochs between checkpoints; the last epoch is always saved."""
    resume_epoch: int = 0
    """Resume from the checkpoint of this epoch; -1 is the latest, 0 starts from the beginning."""
    precision: Precision = TrainingOptions.precision
    """Arithmetic: fp32; tf32 on GPUs that have it; bf16 autocast; fp64, as in the embedded digits table; torch, as in a
    search."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_training(self)
        positive("ckpt_interval", self.ckpt_interval)
        in_range("resume_epoch", self.resume_epoch, -1, 10**6)
