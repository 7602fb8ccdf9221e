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

from darts_pt.architect import Architect, Batch, bilevel_step
from darts_pt.data.batches import in_batches, passes, random_batch_indices, shuffled
from darts_pt.data.data_set import DataSet
from darts_pt.run import checkpoint as checkpoints
from darts_pt.run.device import Generators
from darts_pt.run.epoch import EpochProgress, Metrics, StepResult, next_learning_rate, run_epoch
from darts_pt.run.errors import UserError
from darts_pt.run.guard import NumericalGuard
from darts_pt.run.processes import ONE
from darts_pt.supernet import Decisions, MixingWeights, Supernet

if TYPE_CHECKING:
    from darts_pt.run.experiment import Experiment
    from darts_pt.run.saver import Saver


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


class Halves(NamedTuple):
    """Indices [n] (int64, on the device) of the training set's two halves."""

    train: Tensor
    valid: Tensor


class SupernetTraining:
    """A supernet in training: everything that changes from step to step, and how to save and restore it.

    Attributes:
        ranks: in a selection by several processes, all of them; each trains the whole supernet, on the same batches.
    """

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
        self.progress: EpochProgress | None = None
        self.between_batches: Callable[[], None] = lambda: None
        self.ranks = ONE
        self.dtype = next(self.supernet.parameters()).dtype

    # Batches -----------------------------------------------------------------------------------------------------

    def batch(self, indices: Tensor) -> Batch:
        """The training images `indices`, augmented and normalised."""
        return self.data.batch(self.data.train, indices, self.data.augmentation, self.generators, self.dtype)

    def random_train_batches(self, done: int = 0) -> Iterator[Tensor]:
        """Indices for the rest of an epoch of search: as many batches as in a pass, each drawn anew, as in the original."""
        for _ in range(self.steps_per_epoch - done):
            yield random_batch_indices(self.halves.train, self.options.batch_size, self.generators["batches"])

    def pass_over_train_half(self) -> Tensor:
        """Indices for one tuning epoch: every image of the train half once, in random order."""
        return shuffled(self.halves.train, self.generators["batches"])

    def valid_batches(self) -> Iterator[Batch]:
        """The whole valid half once, in random order, with the training augmentation, as in the original."""
        return self._whole(self.halves.valid)

    def train_batches(self) -> Iterator[Batch]:
        """The whole train half once, likewise."""
        return self._whole(self.halves.train)

    def _whole(self, half: Tensor) -> Iterator[Batch]:
        indices = passes(half, self.options.batch_size, self.generators["batches"])
        return self._between(self.batch(chunk) for chunk in self._limited(indices))

    def test_batches(self) -> Iterator[Batch]:
        """The whole test set once, not augmented."""
        images = self.data.test
        order = torch.arange(len(images.labels), device=images.labels.device)
        chunks = self._limited(passes(order, min(self.options.batch_size, len(order)), None))
        return self._between(self.data.batch(images, chunk, None, self.generators, self.dtype) for chunk in chunks)

    def _between(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The same batches; a run that is to stop need not wait for the last."""
        for batch in batches:
            self.between_batches()
            yield batch

    def _limited(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """All batches, or one with --fast, which is for trying things out."""
        return islice(iter(batches), 1 if self.fast else None)

    # Training ----------------------------------------------------------------------------------------------------

    @property
    def guard(self) -> NumericalGuard:
        """What looks at losses and gradients before steps."""
        return self.architect.guard

    @property
    def steps_per_epoch(self) -> int:
        """The steps of an epoch of search: as many batches as the train half has."""
        return 1 if self.fast else math.ceil(len(self.halves.train) / self.options.batch_size)

    def begin_epoch(self) -> EpochProgress:
        """The progress of the epoch that is under way, or of a new one."""
        if self.progress is None:
            self.progress = EpochProgress()
        return self.progress

    def run_epoch(
        self, experiment: Experiment, saver: Saver, description: str, report_freq: int, is_pass: bool
    ) -> Metrics:
        """The bilevel steps of the present epoch that remain.

        Args:
            is_pass: whether it visits every image of the train half once, as tuning epochs do; search draws each batch
                anew.
        """
        progress = self.begin_epoch()
        if is_pass:
            if progress.order is None:
                progress.order = self.pass_over_train_half()
            every = self._in_batches(progress.order)
            steps, remaining = len(every), iter(every[progress.steps :])
        else:
            steps, remaining = self.steps_per_epoch, self.random_train_batches(progress.steps)
        results = self.train_epoch(remaining)
        return run_epoch(results, progress, steps, experiment, saver, description, report_freq)

    def train_epoch(self, train_batches: Iterable[Tensor]) -> Iterator[tuple[int, StepResult | None]]:
        """One bilevel step per batch of indices."""
        for indices in train_batches:
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
            yield len(indices), result

    def tune(self) -> None:
        """One pass of bilevel steps over the train half, for its effect alone: nothing is logged or saved."""
        for _ in self.train_epoch(self._in_batches(self.pass_over_train_half())):
            pass

    def _in_batches(self, order: Tensor) -> list[Tensor]:
        """The batches of a pass."""
        return list(self._limited(in_batches(order, self.options.batch_size)))

    def end_epoch(self) -> None:
        """The epoch has been trained and evaluated."""
        if self.scheduler:
            next_learning_rate(self.scheduler)
        self.epoch += 1
        self.progress = None

    def agree(self) -> None:
        """Take over what the first rank has for weights, statistics and alpha: rounding may differ between machines."""
        self.ranks.take_from_first([*self.supernet.state_dict().values(), *self.architect.alpha.values()])

    def evaluate(self, batches: Iterable[Batch]) -> Metrics:
        """The supernet in eval mode under its present mixing weights."""
        self.supernet.eval()
        return evaluate(self.supernet, self.architect.mixing(self.decisions), batches)

    # Saving ------------------------------------------------------------------------------------------------------

    def to_checkpoint(self) -> dict[str, Any]:
        """Plain data that :meth:`restore` takes up exactly; the keys are explained in :mod:`darts_pt.run.checkpoint`."""
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
        """Continue from a checkpoint of the same kind of run."""
        self.restore_supernet(checkpoint, path)
        checkpoints.load_optimizer(self.weight_optimizer, checkpoint["optimizer"], path, "the weights")
        if self.scheduler and checkpoint.get("scheduler") is not None:
            checkpoints.load_scheduler(self.scheduler, checkpoint["scheduler"], path)
        self.epoch = checkpoints.epoch_of(checkpoint, path)
        self.progress = checkpoints.progress_of(checkpoint, path, self.halves.train.device)
        self.guard.skipped = int(checkpoints.number_in(checkpoint, "skipped", path))
        if "generators" in checkpoint:
            self.generators.restore(checkpoint["generators"])

    def _decisions_of(self, checkpoint: dict[str, Any], path: Path) -> Decisions:
        """What had been decided when the checkpoint was saved; the original's and a search's say nothing."""
        plain = checkpoint.get("decisions")
        if plain is None:
            return Decisions()
        try:
            decisions = Decisions.from_dict(plain)
        except (LookupError, TypeError, ValueError, AttributeError):
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


def search(
    training: SupernetTraining,
    experiment: Experiment,
    saver: Saver,
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
        saver.safe_point()
        training.architect.start_epoch(epoch, epochs)
        if training.progress is None:
            before_epoch()
            training.begin_epoch()
        learning_rate = training.weight_optimizer.param_groups[0]["lr"]
        train = training.run_epoch(experiment, saver, f"epoch {epoch + 1}/{epochs}", report_freq, is_pass=False)
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
        training.end_epoch()
        log_epoch(experiment, f"epoch {training.epoch}/{epochs}", record)
        record |= after_epoch(training.epoch)
        experiment.record("epoch", record, epoch=training.epoch)
        if training.epoch % ckpt_interval == 0 or training.epoch == epochs:
            saver.save_epoch()


def log_epoch(experiment: Experiment, description: str, record: Mapping[str, float]) -> None:
    """One line with an epoch's accuracies and losses, of whatever was evaluated."""
    parts = [
        f"{name} {record[f'{name}_accuracy']:.2f} % (loss {record[f'{name}_loss']:.4f})"
        for name in ("train", "valid", "train_half", "test")
        if f"{name}_accuracy" in record
    ]
    experiment.log.info("%s: %s", description, ", ".join(parts))
