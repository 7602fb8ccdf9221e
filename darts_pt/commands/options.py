"""The options of the commands that every search space has: search, selection, evaluation training.

A field that is None takes its value from the preset of the space and data set (:func:`with_preset`); spaces add their own
fields. Cheap to import, like :mod:`darts_pt.commands.command_line`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro

from darts_pt.commands.command_line import Dataset, RunOptions, in_range, positive
from darts_pt.commands.method_options import MethodName, MethodOfTheSearch, MethodOptions, SelectionName
from darts_pt.hyperparameters import Precision
from darts_pt.run.errors import UserError

Options = TypeVar("Options", bound=RunOptions)
Value = TypeVar("Value")

FREE_OPTIONS = frozenset(
    ("gpu", "data", "data_root", "experiments", "overwrite", "report_freq", "ckpt_interval", "log_tag")
    + ("ckpt_minutes", "keep", "cuda_graph")
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


@dataclass(frozen=True, kw_only=True)
class SupernetOptions(MethodOptions):
    """How a supernet's weights and alpha are trained, in search and in the tuning epochs of selection."""

    batch_size: PresetInt = None
    """Images per batch of each half (64; NAS-Bench-201 on digits 32)."""
    learning_rate: float = 0.025
    """Initial learning rate of the weights; selection tunes at a tenth of it."""
    learning_rate_min: float = 0.001
    """Learning rate at the end of the search's cosine."""
    momentum: float = 0.9
    """Momentum of the weights' SGD."""
    weight_decay: float = 3e-4
    """Weight decay of the weights."""
    grad_clip: float = 5.0
    """Largest norm of the gradient by all weights."""
    arch_learning_rate: float = 3e-4
    """Learning rate of alpha (Adam)."""
    arch_weight_decay: float = 1e-3
    """Weight decay of alpha."""
    train_portion: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = 0.5
    """Share of the training set that trains the weights; the rest is the valid half."""
    method: MethodName | None = None
    """The search method, that is how alpha is stepped and how it mixes the operations."""
    precision: Precision | None = None
    """Arithmetic, by default as in the search."""
    cuda_graph: bool = False
    """Record the passes through the supernet as CUDA graphs and replay them, which spares a GPU most of the time that it
    waits for small kernels. Unverified: it has not been run on a GPU yet."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_size is not None:
            positive("batch_size", self.batch_size)
        for name in ("learning_rate", "grad_clip"):
            positive(name, getattr(self, name))
        for name in ("learning_rate_min", "weight_decay", "arch_learning_rate", "arch_weight_decay"):
            in_range(name, getattr(self, name), 0, 1e6)
        in_range("momentum", self.momentum, 0, 0.9999)
        if self.train_portion is not None and not 0 < self.train_portion < 1:
            raise UserError(f"--train_portion: expected a number between 0 and 1, got {self.train_portion}")


@dataclass(frozen=True, kw_only=True)
class SearchOptions(SupernetOptions):
    """What a search has in every space."""

    method: MethodName = "darts"
    """The search method. darts: alpha is stepped on the valid half, first order; darts-2nd: likewise, second order;
    blank: alpha stays as it was initialised (the paper's fix alpha); sdarts-rs, sdarts-adv: the weights are trained under
    perturbed mixing weights; sgas: edges are decided during the search; pc-darts: part of the channels passes through
    the operations; gdas: one sampled operation per edge and step; drnas: mixing weights drawn from a Dirichlet
    distribution."""
    precision: Precision = "torch"
    """Arithmetic. torch: its default, in which the original ran: on GPUs that have it convolutions in tf32, all else in
    fp32; fp32: without tf32; tf32: matrix products too; bf16: autocast; fp64."""
    epochs: PresetInt = None
    """Epochs of search; by default the paper's, fewer for digits."""
    ckpt_interval: PresetInt = None
    """Epochs between checkpoints; the last epoch is always saved."""
    proj_intv: PresetInt = None
    """Taken because a selection takes it, and of no effect in a search."""
    evaluate_train: bool = False
    """After each epoch evaluate the whole train half too, as the original does; it only serves the log."""
    resume_epoch: int = 0
    """Continue the experiment from its checkpoint of this epoch; -1 is the latest, 0 starts anew."""
    resume_expid: Annotated[str | None, tyro.conf.arg(metavar="EXPID")] = None
    """The experiment to continue, if its name is not the one that the other options make."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("epochs", "ckpt_interval", "init_channels"):
            if getattr(self, name, None) is not None:
                positive(name, getattr(self, name))
        in_range("resume_epoch", self.resume_epoch, -1, 10**6)


@dataclass(frozen=True, kw_only=True)
class RanksOptions(RunOptions):
    """What a run has that several processes can share."""

    nproc_per_node: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Run as so many processes on this machine, with a GPU each where there are GPUs. For several machines start the
    module with torchrun."""
    max_restarts: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """With several processes: when one dies, start them again from the last checkpoint, at most so often."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("nproc_per_node", self.nproc_per_node)
        in_range("max_restarts", self.max_restarts, 0, 10**6)


@dataclass(frozen=True, kw_only=True)
class SelectionOptions(SupernetOptions, RanksOptions):
    """What a selection has in every space."""

    dataset: Dataset | None = None  # type: ignore[assignment]
    """Data set; by default the one that the search used, as are its half sizes, batch size and method."""
    train_portion: PresetFloat = None
    """Share of the training set that trains the weights; the rest is the valid half. By default as in the search."""
    method: MethodOfTheSearch = None
    """How alpha is stepped between the events."""
    resume_expid: Annotated[str, tyro.conf.arg(metavar="EXPID")]
    """The search to select from: the name of its experiment folder, or a path to it."""
    resume_epoch: PresetInt = None
    """Select from the checkpoint of this epoch; -1 is the latest. By default the last of the preset."""
    selection: SelectionName = "pt"
    """pt: by perturbation; magnitude: by alpha, at once; pt-mag: by alpha, with the events and tuning of pt; oneshot: by
    the supernet's performance with each operation alone on its edge; zero-cost-pt: pt on an untrained supernet, by a
    score at initialisation in the place of accuracy and without tuning."""
    oneshot_epochs: int = 0
    """oneshot: epochs for which the supernet is tuned with a candidate before it is judged; then it is put back."""
    zero_cost_score: Literal["synflow", "nwot"] = "synflow"
    """zero-cost-pt: the score."""
    proj_intv: int = 5
    """Tuning epochs between two selection events."""
    edge_decision: Literal["random", "order", "reverse"] = "random"
    """The order in which edges are decided."""
    proj_batches: Literal["fresh", "cached"] = "fresh"
    """fresh: every candidate is scored on newly shuffled and augmented images, as in the original; cached: all candidates
    of an event on the same ones."""
    epochs: PresetInt = None
    """Epochs of the search: which checkpoint to select from where --resume_epoch does not say it."""
    ckpt_interval: PresetInt = None
    """Taken because a search takes it, and of no effect: a selection saves before every event."""
    dev_resume_epoch: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """Continue an interrupted selection from its checkpoint of this epoch (-1: the latest)."""
    dev_resume_log: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """The selection to continue: the name of its folder or log inside the experiment."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("proj_intv", self.proj_intv)
        in_range("oneshot_epochs", self.oneshot_epochs, 0, 10**6)
        for name in ("resume_epoch", "dev_resume_epoch"):
            if getattr(self, name) is not None:
                in_range(name, getattr(self, name), -1, 10**6)
        if self.dev_resume_log is not None and self.dev_resume_epoch is None:
            raise UserError("--dev_resume_log goes with --dev_resume_epoch: name the epoch too, -1 for the latest")

    def criterion_names(self) -> list[str]:
        """The criteria that accuracy and loss are compared by, as they stand in the names of a selection's files."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class TrainOptions(RanksOptions):
    """What training a derived network has in every space."""

    epochs: PresetInt = None
    """Epochs of training."""
    batch_size: PresetInt = None
    """Images per step, over all processes."""
    accumulate: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Take the step's images in so many forward passes one after the other, for a batch that does not fit the memory;
    batch norm sees only the images of one pass."""
    learning_rate: PresetFloat = None
    """Initial learning rate; it follows a cosine to 0."""
    momentum: float = 0.9
    """Momentum of SGD."""
    weight_decay: PresetFloat = None
    """Weight decay."""
    grad_clip: PresetFloat = None
    """Largest norm of the gradient; 0 does not clip."""
    ckpt_interval: PresetInt = None
    """Epochs between checkpoints; the last epoch is always saved."""
    resume_epoch: int = 0
    """Continue from the checkpoint of this epoch; -1 is the latest, 0 starts anew."""
    precision: Precision = "fp32"
    """Arithmetic: fp32; tf32 on GPUs that have it; bf16 autocast; fp64, as the embedded table of digits is made; torch, as
    in a search."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("accumulate", self.accumulate)
        for name in ("epochs", "batch_size", "learning_rate", "ckpt_interval"):
            if getattr(self, name) is not None:
                positive(name, getattr(self, name))
        for name in ("weight_decay", "grad_clip"):
            if getattr(self, name) is not None:
                in_range(name, getattr(self, name), 0, 1e6)
        in_range("momentum", self.momentum, 0, 0.9999)
        in_range("resume_epoch", self.resume_epoch, -1, 10**6)


def path_or_none(text: str | None) -> Path | None:
    """`text` as a path if it names something that exists."""
    path = Path(os.path.expanduser(text)) if text else None
    return path if path is not None and path.exists() else None
