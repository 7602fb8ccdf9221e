"""The training of a supernet: the halves of the data, bilevel steps, evaluations, and the state for checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from darts_pt.architect import Architect, Batch, bilevel_step
from darts_pt.data.batches import in_batches, random_batch_indices, shuffled
from darts_pt.data.data_set import DataSet
from darts_pt.hyperparameters import WeightOptions
from darts_pt.run import checkpoint as checkpoints
from darts_pt.run.device import Generators
from darts_pt.run.epoch import EpochProgress, FiniteGuard, Metrics, StepResult
from darts_pt.run.errors import ArgumentError, UserError
from darts_pt.run.processes import SINGLE_PROCESS
from darts_pt.supernet import Decisions, MixingWeights, Supernet


class Halves(NamedTuple):
    """Indices [n] (int64, on the device) of the two halves of the training set."""

    train: Tensor
    valid: Tensor


def sgd(supernet: Supernet, options: WeightOptions, learning_rate: float | None = None) -> torch.optim.SGD:
    """SGD over all weights of the supernet; `learning_rate` replaces that of the options."""
    lr = options.learning_rate if learning_rate is None else learning_rate
    # foreach: hundreds of small weights are stepped together, by a few kernels in all instead of four each.
    return torch.optim.SGD(
        supernet.parameters(), lr=lr, momentum=options.momentum, weight_decay=options.weight_decay, foreach=True
    )


def cosine(optimizer: torch.optim.SGD, options: WeightOptions, epochs: int) -> torch.optim.lr_scheduler.LRScheduler:
    """Cosine annealing per epoch from the initial learning rate to the minimum."""
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, float(epochs), eta_min=options.learning_rate_min)  # type: ignore[arg-type]


class SupernetTraining:
    """A supernet, its alpha, its data and everything else that changes from step to step.

    Attributes:
        decisions: the decisions of the selection so far.
        epoch, progress: epochs completed, and the progress of the present one (None between epochs).
        between_batches: called between the batches of an evaluation.
        ranks: the processes of a selection; each trains the whole supernet on the same batches.

    Args:
        scheduler: None for tuning at a constant learning rate.
        fast: one batch per epoch and evaluation, for a quick trial.

    Raises:
        ArgumentError: a batch is larger than a half.
    """

    def __init__(
        self,
        architect: Architect,
        data: DataSet,
        halves: Halves,
        generators: Generators,
        options: WeightOptions,
        weight_optimizer: torch.optim.SGD,
        scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
        fast: bool = False,
    ) -> None:
        smallest = min(len(halves.train), len(halves.valid))
        if options.batch_size > smallest:
            raise ArgumentError(
                "batch_size",
                f"expected at most {smallest}, the images in a half of the training set, got {options.batch_size}; or use "
                "another train_portion",
            )
        self.architect = architect
        self.supernet = architect.supernet
        self.data = data
        self.halves = halves
        self.generators = generators
        self.options = options
        self.weight_optimizer = weight_optimizer
        self.scheduler = scheduler
        self.fast = fast
        self.decisions = Decisions()
        self.epoch = 0
        self.progress: EpochProgress | None = None
        self.between_batches: Callable[[], None] = lambda: None
        self.ranks = SINGLE_PROCESS
        self.dtype = next(self.supernet.parameters()).dtype

    @property
    def guard(self) -> FiniteGuard:
        return self.architect.guard

    # Batches -----------------------------------------------------------------------------------------------------

    def batch(self, indices: Tensor) -> Batch:
        """The training images `indices`, augmented and normalised."""
        return self.data.batch(self.data.train, indices, self.data.augmentation, self.generators, self.dtype)

    def search_batches(self) -> tuple[int, Iterator[Tensor]]:
        """The number of steps in an epoch of search, and the indices of the remaining batches.

        There are as many steps as in a pass over the train half, but each batch is drawn from all of it, as in the
        original.
        """
        steps = 1 if self.fast else math.ceil(len(self.halves.train) / self.options.batch_size)
        half, size, stream = self.halves.train, self.options.batch_size, self.generators["batches"]
        done = self.begin_epoch().steps
        return steps, (random_batch_indices(half, size, stream) for _ in range(steps - done))

    def tuning_batches(self) -> tuple[int, Iterator[Tensor]]:
        """The number of steps in a tuning epoch, a pass over the train half, and the indices of the remaining batches."""
        progress = self.begin_epoch()
        if progress.order is None:
            progress.order = shuffled(self.halves.train, self.generators["batches"])
        batches = self._in_batches(progress.order)
        return len(batches), iter(batches[progress.steps :])

    def valid_batches(self) -> Iterator[Batch]:
        """A pass over the valid half in random order, with the training augmentation, as in the original."""
        return self._pass(self.halves.valid)

    def train_batches(self) -> Iterator[Batch]:
        """A pass over the train half, like that over the valid half."""
        return self._pass(self.halves.train)

    def test_batches(self) -> Iterator[Batch]:
        """A pass over the test set, without augmentation."""
        images = self.data.test
        chunks = self._in_batches(torch.arange(len(images.labels), device=images.labels.device))
        return self._checked(self.data.batch(images, chunk, None, self.generators, self.dtype) for chunk in chunks)

    def _pass(self, half: Tensor) -> Iterator[Batch]:
        chunks = self._in_batches(shuffled(half, self.generators["batches"]))
        return self._checked(self.batch(chunk) for chunk in chunks)

    def _in_batches(self, order: Tensor) -> list[Tensor]:
        return in_batches(order, self.options.batch_size)[: 1 if self.fast else None]

    def _checked(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        for batch in batches:
            self.between_batches()
            yield batch

    # Training ----------------------------------------------------------------------------------------------------

    def begin_epoch(self) -> EpochProgress:
        """The progress of the present epoch; starts one between epochs."""
        self.progress = self.progress or EpochProgress()
        return self.progress

    def step(self, indices: Tensor) -> StepResult | None:
        """One bilevel step on the training images `indices` and a random batch of the valid half."""
        valid_batch = None
        if self.architect.uses_valid_batches:
            drawn = random_batch_indices(self.halves.valid, self.options.batch_size, self.generators["batches"])
            valid_batch = self.batch(drawn)
        return bilevel_step(
            self.architect,
            self.weight_optimizer,
            self.batch(indices),
            valid_batch,
            self.decisions,
            self.options.grad_clip,
        )

    def tune(self) -> None:
        """One pass of bilevel steps over the train half, without logging or saving."""
        for indices in self._in_batches(shuffled(self.halves.train, self.generators["batches"])):
            self.step(indices)

    def end_epoch(self) -> None:
        """Step the learning rate and count the epoch; call it after the evaluations."""
        if self.scheduler:
            checkpoints.next_learning_rate(self.scheduler)
        self.epoch += 1
        self.progress = None

    def synchronise(self) -> None:
        """Copy the first process's weights, statistics and alpha: rounding may differ between machines."""
        self.ranks.take_from_first([*self.supernet.state_dict().values(), *self.architect.alpha.values()])

    def evaluate(self, batches: Iterable[Batch]) -> Metrics:
        """Accuracy and loss of the supernet in eval mode under its present mixing weights."""
        self.supernet.eval()
        return evaluate(self.supernet, self.architect.mixing(self.decisions), batches)

    # Saving ------------------------------------------------------------------------------------------------------

    def to_checkpoint(self) -> dict[str, Any]:
        """The state for :meth:`restore`, as plain data; :mod:`darts_pt.run.checkpoint` explains the keys."""
        return {
            "epoch": self.epoch,
            "state_dict": self.supernet.state_dict(),
            "alpha": [self.architect.alpha[cell.name].detach() for cell in self.supernet.cell_types],
            "optimizer": self.weight_optimizer.state_dict(),
            "arch_optimizer": self.architect.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict() if self.scheduler else None,
            "generators": self.generators.state(),
            "decisions": self.decisions.to_dict(),
            "method_state": self.architect.state(),
            "progress": self.progress.to_dict() if self.progress else None,
            "skipped": self.guard.skipped,
        }

    def restore(self, checkpoint: dict[str, Any], path: Path) -> None:
        """Restore the state of :meth:`to_checkpoint`; training goes on bit by bit."""
        self.restore_supernet(checkpoint, path)
        checkpoints.load_optimizer(self.weight_optimizer, checkpoint["optimizer"], path, "the weights")
        if self.scheduler and checkpoint.get("scheduler") is not None:
            checkpoints.load_scheduler(self.scheduler, checkpoint["scheduler"], path)
        self.epoch = checkpoints.epoch_of(checkpoint, path)
        self.progress = EpochProgress.in_checkpoint(checkpoint, path, self.halves.train.device)
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
def evaluate(supernet: Supernet, mixing: MixingWeights, batches: Iterable[Batch]) -> Metrics:
    """Accuracy and loss over all images of `batches`, in the mode (train or eval) that the supernet is in.

    Raises:
        ValueError: `batches` is empty.
    """

    def forward(images: Tensor, *tensors: Tensor) -> tuple[Tensor]:
        return (supernet(images, mixing.with_tensors(tensors)),)

    total, correct, loss = 0, None, None
    for images, labels in batches:
        (logits,) = supernet.run_pass("forward", forward, [images], mixing)
        batch_loss = F.cross_entropy(logits, labels).double() * len(labels)
        batch_correct = (logits.argmax(dim=1) == labels).sum()
        loss = batch_loss if loss is None else loss + batch_loss
        correct = batch_correct if correct is None else correct + batch_correct
        total += len(labels)
    if loss is None or correct is None:
        raise ValueError("there is no batch to evaluate")
    return Metrics(100.0 * correct.item() / total, loss.item() / total)
