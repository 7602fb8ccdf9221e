"""The options of the commands that every space has: search, selection, evaluation training.

A class inherits the arguments of the method that it offers as options (WeightOptions, AlphaOptions), so each default and
help text stands once. A field that is None is open: its value comes from the space's preset for the data set, or, in a
selection, from the search (:func:`with_preset`). Cheap to import: there is no torch in it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

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
from darts_pt.hyperparameters import AlphaOptions, Checked, EdgeOrder, OnNan, Precision, TrainingOptions, WeightOptions
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

_PRESET = "(default: the preset's)"
PresetInt = Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint=_PRESET)]
PresetFloat = Annotated[float | None, tyro.conf.arg(metavar="FLOAT", help_behavior_hint=_PRESET)]
"""Options that take their value from the preset where the user gives none."""


def with_preset(options: Options, preset: Mapping[str, Any]) -> Options:
    """`options` with every field that the user left open filled from `preset`."""
    open_fields = {field.name for field in dataclasses.fields(options) if getattr(options, field.name) is None}
    return dataclasses.replace(options, **{name: value for name, value in preset.items() if name in open_fields})


def given(value: Value | None) -> Value:
    """The value of an option that a preset has filled."""
    assert value is not None, "the preset leaves an option open"
    return value


# Every run -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RunOptions(Checked):
    """Seed, device, data, and where the files of a run go."""

    seed: int = 1
    """Seed of every random choice; two runs with the same seed on the CPU are identical."""
    gpu: str = "auto"
    """Device: auto (the least used GPU, or the CPU where there is none), the index of a GPU, or cpu."""
    dataset: Dataset = "cifar10"
    """Data set; digits needs no download and is small, folder reads your own images from --data."""
    data: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """For --dataset folder: a folder of images sorted into one folder per class."""
    data_root: Annotated[Path, tyro.conf.arg(metavar="DIR")] = PROJECT_ROOT / "data"
    """Where the data sets and benchmark files are, and where data sets are downloaded to."""
    image_size: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None
    """For --dataset folder: the side to which its images are resized; by default they must all have one size."""
    cutout: bool = False
    """Cut a random square out of every training image."""
    cutout_length: Annotated[int, tyro.conf.arg(metavar="PIXELS")] = 16
    """Side of that square where images have 32 pixels; images of other sizes get one in proportion."""
    experiments: Annotated[Path, tyro.conf.arg(metavar="DIR")] = PROJECT_ROOT / "experiments"
    """Where the experiment folders go."""
    expid_tag: Annotated[str | None, tyro.conf.arg(metavar="TAG")] = None
    """Appended to the name of the experiment folder."""
    log_tag: Annotated[str | None, tyro.conf.arg(metavar="TAG")] = None
    """Appended to the name of the selection's log and folder."""
    overwrite: bool = False
    """Replace the experiment folder if it exists; without it that is an error."""
    fast: bool = False
    """Try the code out: one batch per epoch and per evaluation."""
    ckpt_minutes: Annotated[float, tyro.conf.arg(metavar="MINUTES")] = 10.0
    """Also save within epochs, every MINUTES minutes; and when the system or Ctrl-C ends the run."""
    keep: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: all)")] = None
    """Keep only the N newest checkpoints (and, of SGAS, the one that SGAS+PT starts from)."""
    on_nan: OnNan = "stop"
    """At a loss or gradient that is not finite: stop with a state dump, or skip the step and count it."""
    report_freq: Annotated[int, tyro.conf.arg(metavar="STEPS")] = 50
    """Steps between log lines with the running loss and accuracy."""

    table_dataset = None  # no field: an option where a space has benchmark tables

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range("seed", self.seed, 0, 2**63 - 1)
        for name in ("report_freq", "ckpt_minutes", "keep", "cutout_length", "image_size"):
            positive(name, getattr(self, name))
        if self.dataset == "folder" and self.data is None:
            raise UserError("--dataset folder needs --data DIR, a folder that holds one folder of images per class")
        if self.dataset not in ("folder", "imagenet", None) and self.data is not None:
            raise UserError(f"--data is for --dataset folder; {self.dataset} is looked for under --data_root")
        for name in ("expid_tag", "log_tag"):
            tag = getattr(self, name)
            if tag is not None and not re.fullmatch(r"[A-Za-z0-9._+=-]{1,64}", tag):
                raise ArgumentError(name, f"expected up to 64 letters, digits and . _ + = - , got {tag!r}")


@dataclass(frozen=True, kw_only=True)
class RanksOptions(RunOptions):
    """Several processes on one run."""

    nproc_per_node: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Run as N processes on this machine, with a GPU each where there are GPUs. For several machines start the module
    with torchrun."""
    max_restarts: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """With several processes: when one dies, start them again from the last checkpoint, at most N times."""

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
    train_portion: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = 0.5
    """Share of the training set that trains the weights; the rest is the valid half."""
    method: MethodName | None = None
    precision: Precision | None = None
    """Arithmetic, by default as in the search."""
    cuda_graph: bool = False
    """Record the passes through the supernet as CUDA graphs and replay them, which spares a GPU most of the time that it
    waits for small kernels. Unverified: it has not been run on a GPU yet."""

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

    method: MethodName = "darts"
    precision: Precision = "torch"
    """Arithmetic. torch: its default, in which the original ran: on GPUs that have it convolutions in tf32, all else in
    fp32; fp32: without tf32; tf32: matrix products too; bf16: autocast; fp64."""
    epochs: PresetInt = None
    """Epochs of search; by default the paper's, fewer for digits."""
    ckpt_interval: PresetInt = None
    """Epochs between checkpoints; the last epoch is always saved."""
    proj_intv: PresetInt = None
    """Ignored; accepted so that scripts can pass it."""
    evaluate_train: bool = False
    """After each epoch evaluate the whole train half too, as the original does; it only serves the log."""
    resume_epoch: int = 0
    """Continue the experiment from its checkpoint of this epoch; -1 is the latest, 0 starts from the beginning."""
    resume_expid: Annotated[str | None, tyro.conf.arg(metavar="EXPID")] = None
    """The experiment to continue, if its name is not the one that the other options make."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("epochs", "ckpt_interval", "init_channels"):
            positive(name, getattr(self, name, None))
        in_range("resume_epoch", self.resume_epoch, -1, 10**6)


@dataclass(frozen=True, kw_only=True)
class SelectionOptions(SelectionSettings, SupernetOptions, RanksOptions):
    """A selection."""

    dataset: Dataset | None = None  # type: ignore[assignment]
    """Data set; by default the one that the search used, as are its half sizes, batch size and method."""
    train_portion: PresetFloat = None
    """Share of the training set that trains the weights; the rest is the valid half. By default as in the search."""
    method: MethodOfTheSearch = None
    change_method: bool = False
    """Tune the supernet by another --method than the one that searched it; the folder's name and reports say so."""
    resume_expid: Annotated[str, tyro.conf.arg(metavar="EXPID")]
    """The search to select from: the name of its experiment folder, or a path to it."""
    resume_epoch: PresetInt = None
    """Select from the checkpoint of this epoch; -1 is the latest. By default the last of the preset."""
    selection: SelectionName = "pt"
    proj_intv: int = 5
    """Tuning epochs between two selection events."""
    edge_decision: EdgeOrder = "random"
    """The order in which edges are decided."""
    proj_batches: Literal["fresh", "cached"] = "fresh"
    """fresh: every candidate is scored on newly shuffled and augmented images, as in the original; cached: all candidates
    of an event on the same ones."""
    epochs: PresetInt = None
    """Epochs of the search: which checkpoint to select from where --resume_epoch does not say it."""
    ckpt_interval: PresetInt = None
    """Ignored; accepted so that scripts can pass it. A selection saves before every event."""
    dev_resume_epoch: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """Continue an interrupted selection from its checkpoint of this epoch (-1: the latest)."""
    dev_resume_log: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """The selection to continue: the name of its folder or log inside the experiment."""

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("selection", self.selection, SELECTIONS)
        check_values(self, SELECTION_SETTINGS)
        positive("proj_intv", self.proj_intv)
        for name in ("resume_epoch", "dev_resume_epoch"):
            in_range(name, getattr(self, name), -1, 10**6)
        if self.dev_resume_log is not None and self.dev_resume_epoch is None:
            raise UserError("--dev_resume_log goes with --dev_resume_epoch: name the epoch too, -1 for the latest")

    def criterion_names(self) -> list[str]:
        """The criteria that accuracy and loss are compared by, as they stand in the names of a selection's files."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class TrainOptions(RanksOptions):
    """Training a derived network."""

    epochs: PresetInt = None
    """Epochs of training."""
    batch_size: PresetInt = None
    """Images per step, over all processes."""
    accumulate: Annotated[int, tyro.conf.arg(metavar="N")] = TrainingOptions.accumulate
    """Take the step's images in N forward passes one after the other, for a batch that does not fit in memory; batch norm
    sees only the images of one pass."""
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
    """Continue from the checkpoint of this epoch; -1 is the latest, 0 starts from the beginning."""
    precision: Precision = TrainingOptions.precision
    """Arithmetic: fp32; tf32 on GPUs that have it; bf16 autocast; fp64, as the embedded table of digits is made; torch, as
    in a search."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("accumulate", "epochs", "batch_size", "learning_rate", "ckpt_interval"):
            positive(name, getattr(self, name))
        for name in ("weight_decay", "grad_clip"):
            in_range(name, getattr(self, name), 0, 1e6)
        in_range("momentum", self.momentum, 0, 0.9999)
        in_range("resume_epoch", self.resume_epoch, -1, 10**6)
