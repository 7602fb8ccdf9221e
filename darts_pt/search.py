"""Training the supernet: the search of section 3 of the paper, and the epochs by which selection tunes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from darts_pt import checkpoint as checkpoints
from darts_pt.architect import Architect, Batch, bilevel_step
from darts_pt.data import DataSet, passes, random_batch_indices
from darts_pt.device import Generators
from darts_pt.errors import UserError
from darts_pt.supernet import Decisions, MixingWeights, Supernet

if TYPE_CHECKING:
    from darts_pt.experiment import Experiment


@dataclass(frozen=True)
class WeightOptions:
    """How the supernet's weights are trained.

    Attributes:
        batch_size: images per batch, of each half.
        learning_rate: SGD's initial learning rate.
        learning_rate_min: what the cosine ends at.
        momentum, weight_decay: SGD's.
        grad_clip: the largest norm of the gradient by all weights.
    """

    batch_size: int = 64
    learning_rate: float = 0.025
    learning_rate_min: float = 0.001
    momentum: float = 0.9
    weight_decay: float = 3e-4
    grad_clip: float = 5.0

    def optimizer(self, supernet: Supernet, learning_rate: float | None = None) -> torch.optim.SGD:
        """SGD over all weights of the supernet, at `learning_rate` or the initial one."""
        lr = self.learning_rate if learning_rate is None else learning_rate
        return torch.optim.SGD(supernet.parameters(), lr=lr, momentum=self.momentum, weight_decay=self.weight_decay)

    def scheduler(self, optimizer: torch.optim.Optimizer, epochs: int) -> torch.optim.lr_scheduler.LRScheduler:
        """Cosine annealing per epoch from the initial learning rate to the minimum."""
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, float(epochs), eta_min=self.learning_rate_min)  # type: ignore[arg-type]


class Metrics(NamedTuple):
    """Means over images: accuracy in percent, cross-entropy loss in nats."""

    accuracy: float
    loss: float


class Halves(NamedTuple):
    """Indices [n] (int64, on the device) of the training set's two halves."""

    train: Tensor
    valid: Tensor


class SupernetTraining:
    """A supernet in training: everything that changes from step to step, and how to save and restore it."""

    def __init__(
        self,
        architect: Architect,
        data: DataSet,
        halves: Halves,
        generators: Generators,
        options: WeightOptions,
        weight_optimizer: torch.optim.Optimizer,
        scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
        fast: bool = False,
    ) -> None:
        smallest = min(len(halves.train), len(halves.valid))
        if options.batch_size > smallest:
            raise UserError(
                f"--batch_size {options.batch_size} is larger than a half of the training set ({smallest} images): "
                f"expected at most {smallest}; use a smaller batch or another --train_portion"
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
        self.dtype = next(self.supernet.parameters()).dtype

    # Batches -----------------------------------------------------------------------------------------------------

    def batch(self, indices: Tensor) -> Batch:
        """The training images `indices`, augmented and normalised."""
        return self.data.batch(self.data.train, indices, self.data.augmentation, self.generators, self.dtype)

    def random_train_batches(self) -> Iterator[Tensor]:
        """Indices for one epoch of search: as many batches as a pass has, but each drawn anew, as in the original."""
        for _ in range(math.ceil(len(self.halves.train) / self.options.batch_size)):
            yield random_batch_indices(self.halves.train, self.options.batch_size, self.generators["batches"])

    def pass_over_train_half(self) -> Iterator[Tensor]:
        """Indices for one tuning epoch: every image of the train half once, in random order."""
        yield from passes(self.halves.train, self.options.batch_size, self.generators["batches"])

    def valid_batches(self) -> Iterator[Batch]:
        """The whole valid half once, in random order, with the training augmentation, as in the original."""
        return self._whole(self.halves.valid)

    def train_batches(self) -> Iterator[Batch]:
        """The whole train half once, likewise."""
        return self._whole(self.halves.train)

    def _whole(self, half: Tensor) -> Iterator[Batch]:
        indices = passes(half, self.options.batch_size, self.generators["batches"])
        return (self.batch(chunk) for chunk in self._limited(indices))

    def test_batches(self) -> Iterator[Batch]:
        """The whole test set once, not augmented."""
        images = self.data.test
        order = torch.arange(len(images.labels), device=images.labels.device)
        chunks = self._limited(passes(order, min(self.options.batch_size, len(order)), None))
        return (self.data.batch(images, chunk, None, self.generators, self.dtype) for chunk in chunks)

    def _limited(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """All batches, or one with --fast, which is for trying things out."""
        return islice(iter(batches), 1 if self.fast else None)

    # Training ----------------------------------------------------------------------------------------------------

    def train_epoch(self, train_batches: Iterable[Tensor]) -> Iterator[tuple[int, Tensor, Tensor]]:
        """One bilevel step per batch of indices; yields the batch's size, loss and correct count after each."""
        for indices in self._limited(train_batches):
            valid_batch = None
            if self.architect.uses_valid_batches:
                drawn = random_batch_indices(self.halves.valid, self.options.batch_size, self.generators["batches"])
                valid_batch = self.batch(drawn)
            result = bilevel_step(
                self.architect,
                self.weight_optimizer,
                self.batch(indices),
                valid_batch,
                self.decisions,
                self.options.grad_clip,
            )
            yield len(indices), result.loss, result.correct

    def evaluate(self, batches: Iterable[Batch]) -> Metrics:
        """The supernet in eval mode under its present mixing weights."""
        self.supernet.eval()
        return evaluate(self.supernet, self.architect.mixing(self.decisions), batches)

    # Saving ------------------------------------------------------------------------------------------------------

    def to_checkpoint(self) -> dict[str, Any]:
        """Plain data that :meth:`restore` takes up exactly; the keys are explained in :mod:`darts_pt.checkpoint`."""
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
        }

    def restore(self, checkpoint: dict[str, Any], path: Path) -> None:
        """Continue from a checkpoint of the same kind of run."""
        self.restore_supernet(checkpoint, path)
        checkpoints.load_optimizer(self.weight_optimizer, checkpoint["optimizer"], path, "the weights")
        if self.scheduler and checkpoint.get("scheduler"):
            checkpoints.load_scheduler(self.scheduler, checkpoint["scheduler"], path)
        self.epoch = checkpoints.epoch_of(checkpoint, path)
        if "generators" in checkpoint:
            self.generators.restore(checkpoint["generators"])

    def _decisions_of(self, checkpoint: dict[str, Any], path: Path) -> Decisions:
        """What had been decided when the checkpoint was saved; the original's and a search's say nothing."""
        plain = checkpoint.get("decisions")
        if plain is None:
            return Decisions()
        try:
            decisions = Decisions.from_dict(plain)
        except (KeyError, TypeError, ValueError, AttributeError):
            decisions = None
        if decisions is None or not decisions.fit(self.supernet.cell_types):
            raise UserError(f"checkpoint {path}: its decisions do not fit this space's edges, operations and nodes")
        return decisions

    def restore_supernet(self, checkpoint: dict[str, Any], path: Path) -> None:
        """Weights, alpha and its optimiser, decisions: what selection takes over from a search, the original's included."""
        checkpoints.load_weights(self.supernet, checkpoint["state_dict"], path)
        cell_types = self.supernet.cell_types
        alphas = checkpoint["alpha"]
        if not isinstance(alphas, list | tuple) or not all(isinstance(alpha, Tensor) for alpha in alphas):
            raise UserError(f"checkpoint {path}: its alpha is no list of tensors, one per cell type")
        if len(alphas) != len(cell_types):
            raise UserError(f"checkpoint {path} has {len(alphas)} alphas, expected {len(cell_types)}")
        with torch.no_grad():
            for cell, saved in zip(cell_types, alphas, strict=True):
                alpha = self.architect.alpha[cell.name]
                if saved.shape != alpha.shape:
                    raise UserError(
                        f"checkpoint {path}: alpha of {cell.name} has shape {tuple(saved.shape)}, "
                        f"expected {tuple(alpha.shape)}: it was made for another space"
                    )
                alpha.copy_(saved)
        checkpoints.load_optimizer(self.architect.optimizer, checkpoint["arch_optimizer"], path, "alpha")
        self.decisions = self._decisions_of(checkpoint, path)
        checkpoints.load_method(self.architect, checkpoint.get("method_state", {}), path)


@torch.no_grad()
def evaluate(supernet: Supernet, mixing: MixingWeights, batches: Iterable[Batch]) -> Metrics:
    """Accuracy and loss over all images of `batches`, in the mode (train or eval) that the supernet is in.

    Raises:
        ValueError: there is no batch.
    """
    total, correct, loss = 0, None, None
    for images, labels in batches:
        logits = supernet(images, mixing)
        batch_loss = F.cross_entropy(logits, labels).double() * len(labels)
        batch_correct = (logits.argmax(dim=1) == labels).sum()
        loss = batch_loss if loss is None else loss + batch_loss
        correct = batch_correct if correct is None else correct + batch_correct
        total += len(labels)
    if loss is None or correct is None:
        raise ValueError("there is no batch to evaluate")
    return Metrics(100.0 * correct.item() / total, loss.item() / total)


def search(
    training: SupernetTraining,
    experiment: Experiment,
    epochs: int,
    ckpt_interval: int,
    report_freq: int,
    after_epoch: Callable[[int], dict[str, Any]],
    evaluates_test: bool = False,
    evaluates_train: bool = False,
    before_epoch: Callable[[], None] = lambda: None,
) -> None:
    """Train the supernet from its present epoch to `epochs`; every figure goes to the log, metrics and TensorBoard.

    Args:
        ckpt_interval: epochs between checkpoints; the last epoch is always saved.
        report_freq: steps between log lines.
        after_epoch: gets the epochs completed and returns what else to record (genotype, look-ups).
        evaluates_test: also evaluate the test set after each epoch (the S1–S5 spaces do, as in the original).
        evaluates_train: also evaluate the whole train half.
        before_epoch: what happens at the start of every epoch, such as decisions.
    """
    for epoch in range(training.epoch, epochs):
        before_epoch()
        training.architect.start_epoch(epoch, epochs)
        learning_rate = training.weight_optimizer.param_groups[0]["lr"]
        train = run_epoch(
            training, experiment, training.random_train_batches(), f"epoch {epoch + 1}/{epochs}", report_freq
        )
        if training.scheduler:
            training.scheduler.step()
        training.epoch = epoch + 1
        valid = training.evaluate(training.valid_batches())
        record: dict[str, Any] = {
            "learning_rate": learning_rate,
            "train_accuracy": train.accuracy,
            "train_loss": train.loss,
            "valid_accuracy": valid.accuracy,
            "valid_loss": valid.loss,
        }
        evaluated = {"train_half": training.train_batches} if evaluates_train else {}
        evaluated |= {"test": training.test_batches} if evaluates_test else {}
        for name, batches in evaluated.items():
            metrics = training.evaluate(batches())
            record |= {f"{name}_accuracy": metrics.accuracy, f"{name}_loss": metrics.loss}
        log_epoch(experiment, f"epoch {training.epoch}/{epochs}", record)
        record |= after_epoch(training.epoch)
        experiment.record("epoch", record, epoch=training.epoch)
        if training.epoch % ckpt_interval == 0 or training.epoch == epochs:
            save(training, experiment)


def log_epoch(experiment: Experiment, description: str, record: Mapping[str, float]) -> None:
    """One line with an epoch's accuracies and losses, of whatever was evaluated."""
    parts = [
        f"{name} {record[f'{name}_accuracy']:.2f} % (loss {record[f'{name}_loss']:.4f})"
        for name in ("train", "valid", "train_half", "test")
        if f"{name}_accuracy" in record
    ]
    experiment.log.info("%s: %s", description, ", ".join(parts))


def save(training: SupernetTraining, experiment: Experiment) -> Path:
    """Write the checkpoint of the training's epoch, with how far the metrics had been written."""
    state = training.to_checkpoint() | {"metrics_size": experiment.metrics_size}
    return checkpoints.save(state, experiment.folder, training.epoch)


def run_epoch(
    training: SupernetTraining,
    experiment: Experiment,
    train_batches: Iterable[Tensor],
    description: str,
    report_freq: int,
) -> Metrics:
    """One epoch of bilevel steps under a progress bar. The device is read every `report_freq` steps only."""
    steps = 1 if training.fast else math.ceil(len(training.halves.train) / training.options.batch_size)
    total, loss, correct = 0, torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.int64)
    results = training.train_epoch(train_batches)
    for step, (size, batch_loss, batch_correct) in enumerate(experiment.progress(results, description, steps), start=1):
        loss = loss.to(batch_loss.device) + batch_loss.double() * size
        correct = correct.to(batch_correct.device) + batch_correct
        total += size
        if step % report_freq == 0:
            experiment.log.info(
                "%s step %d/%d: train loss %.4f accuracy %.2f %%",
                description, step, steps, loss.item() / total, 100.0 * correct.item() / total,
            )  # fmt: skip
    return Metrics(100.0 * correct.item() / total, loss.item() / total)
