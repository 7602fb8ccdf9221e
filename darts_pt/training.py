"""The training of a supernet: bilevel steps, evaluations, and the state for checkpoints.

Classes derived from :class:`SupernetTraining` provide the batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from darts_pt.architect import Architect, Batch, bilevel_step
from darts_pt.hyperparameters import Criterion, WeightOptions
from darts_pt.run import checkpoint as checkpoints
from darts_pt.run.device import Generators
from darts_pt.run.epoch import EpochProgress, FiniteGuard, Judged, Metrics, StepResult
from darts_pt.run.errors import UserError
from darts_pt.run.logs import SILENT, Progress
from darts_pt.run.processes import SINGLE_PROCESS
from darts_pt.supernet import Decisions, MixingWeights, Supernet

TUNING_FRACTION = 0.1
"""The constant learning rate of tuning, as a fraction of the search's initial one."""


def sgd(supernet: Supernet, options: WeightOptions, learning_rate: float | None = None) -> torch.optim.SGD:
    """SGD over all weights of the supernet; `learning_rate` replaces that of the options."""
    lr = options.learning_rate if learning_rate is None else learning_rate
    # foreach: hundreds of small weights are stepped together, by a few kernels in all instead of four each.
    return torch.optim.SGD(
        supernet.parameters(), lr=lr, momentum=options.momentum, weight_decay=options.weight_decay, foreach=True
    )


def cosine(
    optimizer: torch.optim.Optimizer, options: WeightOptions, epochs: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """Cosine annealing per epoch from the initial learning rate to the minimum."""
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, float(epochs), eta_min=options.learning_rate_min)  # type: ignore[arg-type]


class SupernetTraining:
    """A supernet, its alpha, its batches and everything else that changes from step to step.

    Attributes:
        decisions: the decisions of the selection so far.
        epoch, progress: epochs completed, and the progress of the present one (None between epochs).
        between_batches: called between the batches of an evaluation.
        show: shows the progress of evaluations.
        ranks: the processes of a selection; each trains the whole supernet on the same batches.

    Args:
        scheduler: None for tuning at a constant learning rate.
    """

    def __init__(
        self,
        architect: Architect,
        generators: Generators,
        options: WeightOptions,
        weight_optimizer: torch.optim.Optimizer,
        scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
    ) -> None:
        self.architect = architect
        self.supernet = architect.supernet
        self.generators = generators
        self.options = options
        self.weight_optimizer = weight_optimizer
        self.scheduler = scheduler
        self.decisions = Decisions()
        self.epoch = 0
        self.progress: EpochProgress | None = None
        self.between_batches: Callable[[], None] = lambda: None
        self.show: Progress = SILENT
        self.ranks = SINGLE_PROCESS

    @property
    def guard(self) -> FiniteGuard:
        return self.architect.guard

    def mixing(self) -> MixingWeights:
        """The mixing weights under the decisions so far."""
        return self.architect.mixing(self.decisions)

    # Batches -----------------------------------------------------------------------------------------------------

    def batch(self, chosen: Any) -> Batch:
        """The batch that a step gets for what :meth:`search_batches` or :meth:`tuning_batches` yields."""
        raise NotImplementedError

    def search_batches(self) -> tuple[int | None, Iterator[Any]]:
        """The number of steps in an epoch of search (None if unknown), and the remaining batches."""
        raise NotImplementedError

    def tuning_batches(self) -> tuple[int | None, Iterator[Any]]:
        """The number of steps in a tuning epoch, a pass over the train half, and the remaining batches."""
        raise NotImplementedError

    def random_train_batch(self) -> Batch:
        """A batch of the train half."""
        raise NotImplementedError

    def random_valid_batch(self) -> Batch:
        """A batch of the valid half, for alpha's step."""
        raise NotImplementedError

    def tuning_pass(self) -> Iterable[Any]:
        """A pass over the train half that does not count as an epoch."""
        raise NotImplementedError

    def valid_batches(self) -> Iterator[Batch]:
        """A pass over the valid half."""
        raise NotImplementedError

    def train_batches(self) -> Iterator[Batch]:
        """A pass over the train half."""
        raise NotImplementedError

    def test_batches(self) -> Iterator[Batch]:
        """A pass over the test set."""
        raise NotImplementedError

    def _checked(self, batches: Iterable[Batch], title: str, count: int | None = None) -> Iterator[Batch]:
        """The batches of an evaluation, with its progress shown, and a look at whether to stop before each."""
        for batch in self.show(batches, title, count):
            self.between_batches()
            yield batch

    # Training ----------------------------------------------------------------------------------------------------

    def begin_epoch(self) -> EpochProgress:
        """The progress of the present epoch; starts one between epochs."""
        self.progress = self.progress or EpochProgress()
        return self.progress

    def step(self, chosen: Any) -> StepResult | None:
        """One bilevel step on a batch of the train half and a random one of the valid half."""
        valid_batch = self.random_valid_batch() if self.architect.uses_valid_batches else None
        return bilevel_step(
            self.architect,
            self.weight_optimizer,
            self.batch(chosen),
            valid_batch,
            self.decisions,
            self.options.grad_clip,
        )

    def tune(self) -> None:
        """One pass of bilevel steps over the train half, without logging or saving."""
        for chosen in self.tuning_pass():
            self.step(chosen)

    def end_epoch(self) -> None:
        """Step the learning rate and count the epoch; call it after the evaluations."""
        if self.scheduler:
            checkpoints.next_learning_rate(self.scheduler)
        self.epoch += 1
        self.progress = None

    def synchronise(self) -> None:
        """Copy the first process's weights, statistics and alpha (or more): rounding may differ between machines."""
        self.ranks.take_from_first([*self.supernet.state_dict().values(), *self.architect.parameters()])

    def evaluate(self, batches: Iterable[Batch]) -> Metrics:
        """Accuracy and loss of the supernet in eval mode under its present mixing weights."""
        self.supernet.eval()
        return evaluate(self.supernet, self.mixing(), batches)  # type: ignore[return-value]

    # Saving ------------------------------------------------------------------------------------------------------

    def position(self) -> dict[str, Any]:
        """The part of a checkpoint that says how far the run is; it stays as it is while the training goes on."""
        return {
            "epoch": self.epoch,
            "scheduler": self.scheduler.state_dict() if self.scheduler else None,
            "generators": self.generators.state(),
            "decisions": self.decisions.to_dict(),
            "progress": self.progress.to_dict() if self.progress else None,
            "skipped": self.guard.skipped,
        }

    def to_checkpoint(self) -> dict[str, Any]:
        """The state for :meth:`restore`, as plain data; :mod:`darts_pt.run.checkpoint` explains the keys."""
        return {
            "state_dict": self.supernet.state_dict(),
            "alpha": [self.architect.alpha[cell.name].detach() for cell in self.supernet.cell_types],
            "optimizer": self.weight_optimizer.state_dict(),
            "arch_optimizer": self.architect.optimizer.state_dict(),
            "method_state": self.architect.state(),
            **self.position(),
        }

    def restore(self, checkpoint: dict[str, Any], path: Path) -> None:
        """Restore the state of :meth:`to_checkpoint`; training goes on bit by bit."""
        self.restore_supernet(checkpoint, path)
        checkpoints.load_optimizer(self.weight_optimizer, checkpoint["optimizer"], path, "the weights")
        if self.scheduler and checkpoint.get("scheduler") is not None:
            checkpoints.load_scheduler(self.scheduler, checkpoint["scheduler"], path)
        self.epoch = checkpoints.epoch_of(checkpoint, path)
        self.progress = EpochProgress.in_checkpoint(checkpoint, path, self.generators.device)
        self.guard.skipped = int(checkpoints.number_in(checkpoint, "skipped", path))
        if "generators" in checkpoint:
            self.generators.restore(checkpoint["generators"])

    def restore_supernet(self, checkpoint: dict[str, Any], path: Path) -> None:
        """Restore weights, alpha, its optimiser and decisions: all that a selection needs, also from the original."""
        checkpoints.load_weights(self.supernet, checkpoint["state_dict"], path)
        self._restore_alpha(checkpoint["alpha"], path)
        checkpoints.load_optimizer(self.architect.optimizer, checkpoint["arch_optimizer"], path, "alpha")
        self.decisions = self._decisions_in(checkpoint, path)
        with checkpoints.one_line_error(path, "the state of its search method does not fit"):
            self.architect.restore_state(checkpoint.get("method_state", {}))

    def _restore_alpha(self, alphas: Any, path: Path) -> None:
        cell_types = self.supernet.cell_types
        if not isinstance(alphas, list | tuple) or not all(isinstance(alpha, Tensor) for alpha in alphas):
            raise UserError(f"checkpoint {path}: its alpha is not a list of tensors, one per cell type")
        if len(alphas) != len(cell_types):
            raise UserError(f"checkpoint {path} has {len(alphas)} alphas, expected {len(cell_types)}")
        with torch.no_grad():
            for cell, saved in zip(cell_types, alphas, strict=True):
                alpha = self.architect.alpha[cell.name]
                if saved.shape != alpha.shape:
                    raise UserError(
                        f"checkpoint {path}: alpha of {cell.name} has shape {tuple(saved.shape)}, "
                        f"expected {tuple(alpha.shape)}: it is from another space"
                    )
                alpha.copy_(saved)

    def _decisions_in(self, checkpoint: dict[str, Any], path: Path) -> Decisions:
        plain = checkpoint.get("decisions")
        if plain is None:  # A checkpoint of the original.
            return Decisions()
        try:
            decisions = Decisions.from_dict(plain)
        except (LookupError, TypeError, ValueError, AttributeError):
            decisions = None
        if decisions is None or not decisions.fit(self.supernet.cell_types):
            raise UserError(f"checkpoint {path}: its decisions do not fit this space's edges, operations and nodes")
        return decisions


@torch.no_grad()
def evaluate(
    supernet: Supernet, mixing: MixingWeights, batches: Iterable[Batch], criterion: Criterion = "acc"
) -> Metrics | Judged:
    """Means over all samples of `batches`, in the mode (train or eval) that the supernet is in.

    Args:
        criterion: if a function, its mean is measured too.

    Raises:
        ValueError: `batches` is empty.
    """

    def forward(inputs: Any, *tensors: Tensor) -> tuple[Any]:
        return (supernet(inputs, mixing.with_tensors(tensors)),)

    total, sums = 0, None
    for inputs, targets in batches:
        (outputs,) = supernet.run_pass("forward", forward, [inputs], mixing)
        size = supernet.size(targets)
        measured = [supernet.correct(outputs, targets).double(), supernet.loss(outputs, targets).double() * size]
        if callable(criterion):
            measured.append(torch.as_tensor(criterion(outputs, targets)).double() * size)
        sums = measured if sums is None else [one + other for one, other in zip(sums, measured, strict=True)]
        total += size
    if sums is None:
        raise ValueError("there is no batch to evaluate")
    correct, *means = (value.item() for value in sums)
    kind = Judged if callable(criterion) else Metrics
    return kind(100.0 * correct / total, *(value / total for value in means))
