"""Training a derived network from scratch on the whole training set: where an architecture's test accuracy comes from."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darts_pt import checkpoint as checkpoints
from darts_pt.data import DataSet, in_batches, passes, shuffled
from darts_pt.device import Generators, autocast, use_precision
from darts_pt.epoch import EpochProgress, Metrics, StepResult, next_learning_rate, run_epoch
from darts_pt.errors import UserError
from darts_pt.guard import NumericalGuard
from darts_pt.options import Precision
from darts_pt.search import log_epoch

CHECKPOINT_KEYS = ("epoch", "state_dict", "optimizer", "scheduler", "generators")

if TYPE_CHECKING:
    from darts_pt.experiment import Experiment
    from darts_pt.saving import Saver


class EvaluationNetwork(nn.Module):
    """A network of one architecture; a search space derives its own."""

    def forward(self, images: Tensor, drop_path_prob: float = 0.0) -> tuple[Tensor, Tensor | None]:
        """Class logits [batch, classes], and those of the auxiliary head in train mode where there is one."""
        raise NotImplementedError

    def draw_from(self, generators: Generators) -> None:
        """Told before training where random numbers of the forward pass come from (drop-path, noise)."""


@dataclass(frozen=True)
class TrainingOptions:
    """How a derived network is trained.

    Attributes:
        learning_rate: SGD's initial learning rate; it follows a cosine to 0, one step per epoch.
        nesterov: whether SGD's momentum is Nesterov's.
        grad_clip: the largest norm of the gradient; 0 does not clip.
        auxiliary_weight: weight of the auxiliary head's loss.
        drop_path_prob: what the probability of dropping a path grows to, linearly over the epochs, from 0.
        precision: of the arithmetic (:func:`darts_pt.device.use_precision`).
    """

    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 3e-4
    grad_clip: float = 0.0
    auxiliary_weight: float = 0.0
    drop_path_prob: float = 0.0
    precision: Precision = "fp32"


class NetworkTraining:
    """A derived network in training: everything that changes from step to step, and how to save and restore it."""

    def __init__(
        self,
        network: EvaluationNetwork,
        data: DataSet,
        generators: Generators,
        options: TrainingOptions,
        fast: bool = False,
    ) -> None:
        if options.batch_size > len(data.train):
            raise UserError(
                f"--batch_size {options.batch_size} is larger than the training set ({len(data.train)} images): "
                f"expected at most {len(data.train)}"
            )
        self.network = network
        self.network.draw_from(generators)
        self.data = data
        self.generators = generators
        self.options = options
        self.fast = fast
        self.optimizer = torch.optim.SGD(
            network.parameters(),
            lr=options.learning_rate,
            momentum=options.momentum,
            weight_decay=options.weight_decay,
            nesterov=options.nesterov,
        )
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, options.epochs)
        self.epoch = 0
        self.progress: EpochProgress | None = None
        self.between_batches: Callable[[], None] = lambda: None
        self.guard = NumericalGuard()
        self.best_accuracy = 0.0
        self.train_loss: float | None = None
        self.dtype = next(network.parameters()).dtype
        self.device = data.train.labels.device

    def step(self, images: Tensor, labels: Tensor, drop_path_prob: float) -> StepResult | None:
        """One step of SGD; the result tells of the forward pass before it. None if the guard skipped the step."""
        self.guard.remember(self.network)
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.device, self.options.precision):
            logits, auxiliary_logits = self.network(images, drop_path_prob)
            loss = F.cross_entropy(logits, labels)
            total = loss
            if auxiliary_logits is not None:
                total = loss + self.options.auxiliary_weight * F.cross_entropy(auxiliary_logits, labels)
        total.backward()
        # Without clipping the norm still tells whether the gradient is finite.
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.options.grad_clip or math.inf)
        if not self.guard.allows("the training loss or its gradient", [total, norm]):
            return None
        self.optimizer.step()
        return StepResult(loss.detach(), (logits.detach().argmax(dim=1) == labels).sum())

    def begin_epoch(self) -> EpochProgress:
        """The progress of the epoch that is under way, or of a new one: a pass over the training set in random order."""
        if self.progress is None:
            every = torch.arange(len(self.data.train), device=self.device)
            self.progress = EpochProgress(order=shuffled(every, self.generators["batches"]))
        return self.progress

    def train_epoch(self, experiment: Experiment, saver: Saver, report_freq: int) -> Metrics:
        """The steps of the present epoch that remain."""
        progress = self.begin_epoch()
        assert progress.order is not None
        batches = in_batches(progress.order, self.options.batch_size)[: 1 if self.fast else None]
        description = f"epoch {self.epoch + 1}/{self.options.epochs}"
        self.network.train()
        steps = self._steps(batches[progress.steps :])
        return run_epoch(steps, progress, len(batches), experiment, saver, description, report_freq)

    def _steps(self, batches: list[Tensor]) -> Iterator[tuple[int, StepResult | None]]:
        drop_path_prob = self.options.drop_path_prob * self.epoch / self.options.epochs
        for indices in batches:
            batch = self.data.batch(self.data.train, indices, self.data.augmentation, self.generators, self.dtype)
            yield len(indices), self.step(*batch, drop_path_prob)

    def end_epoch(self) -> None:
        """The epoch has been trained and tested."""
        next_learning_rate(self.scheduler)
        self.epoch += 1
        self.progress = None

    @torch.no_grad()
    def test(self) -> Metrics:
        """Accuracy and loss on the whole test set in eval mode."""
        self.network.eval()
        order = torch.arange(len(self.data.test), device=self.device)
        batches = list(passes(order, min(self.options.batch_size, len(order)), None))[: 1 if self.fast else None]
        total, loss, correct = 0, 0.0, 0
        for indices in batches:
            self.between_batches()
            images, labels = self.data.batch(self.data.test, indices, None, self.generators, self.dtype)
            with autocast(self.device, self.options.precision):
                logits = self.network(images)[0]
            loss += F.cross_entropy(logits.float(), labels, reduction="sum").item()
            correct += int((logits.argmax(dim=1) == labels).sum())
            total += len(labels)
        return Metrics(100.0 * correct / total, loss / total)

    def to_checkpoint(self) -> dict[str, Any]:
        """Plain data that :meth:`restore` takes up exactly."""
        return {
            "epoch": self.epoch,
            "state_dict": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "generators": self.generators.state(),
            "best_accuracy": self.best_accuracy,
            "train_loss": self.train_loss,
            "skipped": self.guard.skipped,
            "progress": self.progress.to_dict() if self.progress else None,
        }

    def restore(self, checkpoint: dict[str, Any], path: Path) -> None:
        """Continue from a checkpoint of the same training."""
        checkpoints.load_weights(self.network, checkpoint["state_dict"], path)
        checkpoints.load_optimizer(self.optimizer, checkpoint["optimizer"], path, "the weights")
        checkpoints.load_scheduler(self.scheduler, checkpoint["scheduler"], path)
        self.generators.restore(checkpoint["generators"])
        self.epoch = checkpoints.epoch_of(checkpoint, path)
        self.progress = checkpoints.progress_of(checkpoint, path, self.device)
        self.best_accuracy = checkpoints.number_in(checkpoint, "best_accuracy", path)
        self.guard.skipped = int(checkpoints.number_in(checkpoint, "skipped", path))
        loss = checkpoint.get("train_loss")
        self.train_loss = loss if isinstance(loss, float) else None


def train_network(
    training: NetworkTraining, experiment: Experiment, saver: Saver, ckpt_interval: int, report_freq: int
) -> dict[str, Any]:
    """Train to the last epoch, test after each, save at intervals and at the end.

    Returns:
        A summary: last and best test accuracy (percent), the last losses (nats) and seconds of training in this run.
    """
    use_precision(training.options.precision)
    last, seconds = None, 0.0
    while training.epoch < training.options.epochs:
        saver.safe_point()
        learning_rate = training.optimizer.param_groups[0]["lr"]
        start = time.perf_counter()
        train = training.train_epoch(experiment, saver, report_freq)
        seconds += time.perf_counter() - start
        last = training.test()
        training.best_accuracy = max(training.best_accuracy, last.accuracy)
        training.train_loss = train.loss
        training.end_epoch()
        record = {
            "learning_rate": learning_rate,
            "train_accuracy": train.accuracy,
            "train_loss": train.loss,
            "test_accuracy": last.accuracy,
            "test_loss": last.loss,
            "best_test_accuracy": training.best_accuracy,
        }
        log_epoch(experiment, f"epoch {training.epoch}/{training.options.epochs}", record)
        experiment.record("epoch", record, epoch=training.epoch)
        if training.epoch % ckpt_interval == 0 or training.epoch == training.options.epochs:
            saver.save_epoch()
    if last is None:
        last = training.test()
    return {
        "epochs": training.epoch,
        "test_accuracy": last.accuracy,
        "test_loss": last.loss,
        "best_test_accuracy": training.best_accuracy,
        "train_loss": training.train_loss,
        "seconds": seconds,
    }
