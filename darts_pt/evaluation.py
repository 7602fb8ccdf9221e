"""Train a derived network from scratch on the whole training set, for the architecture's test accuracy."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darts_pt.data.batches import in_batches, shuffled
from darts_pt.data.loaders import Loader, MicroBatch
from darts_pt.hyperparameters import TrainingOptions
from darts_pt.run import checkpoint as checkpoints
from darts_pt.run.device import Generators, autocast, use_precision
from darts_pt.run.epoch import EpochProgress, FiniteGuard, Metrics, StepResult
from darts_pt.run.errors import ArgumentError
from darts_pt.run.logs import SILENT, Progress
from darts_pt.run.loop import log_metrics, timed_epochs, train_epoch
from darts_pt.run.processes import SINGLE_PROCESS, Ranks, Share
from darts_pt.run.saver import Saver

CHECKPOINT_KEYS = ("epoch", "state_dict", "optimizer", "scheduler", "generators")


class EvaluationNetwork(nn.Module):
    """A network of one architecture; search spaces derive theirs."""

    def forward(self, images: Tensor, drop_path_prob: float = 0.0) -> tuple[Tensor, Tensor | None]:
        """Class logits [batch, classes], and in train mode those of the auxiliary head, if there is one."""
        raise NotImplementedError

    def draw_from(self, generators: Generators) -> None:
        """Draw the random numbers of the forward pass (drop-path, noise) from `generators`; called before training."""

    def set_share(self, share: Share) -> None:
        """Called before each forward pass with its share of the batch: random numbers are drawn for the whole batch."""


def falling_rate(optimizer: torch.optim.Optimizer, options: TrainingOptions) -> torch.optim.lr_scheduler.LRScheduler:
    """The schedule of the learning rate: a cosine or a line to 0."""
    if options.schedule == "linear":
        return torch.optim.lr_scheduler.PolynomialLR(optimizer, options.epochs, power=1.0)
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.epochs)


class Tested(NamedTuple):
    """Means over the test images: accuracies in percent, cross-entropy loss in nats."""

    accuracy: float
    loss: float
    top5_accuracy: float

    def record(self, top5: bool) -> dict[str, float]:
        """The entries in metrics and summary."""
        record = {"test_accuracy": self.accuracy, "test_loss": self.loss}
        return record | ({"test_top5_accuracy": self.top5_accuracy} if top5 else {})


class NetworkTraining:
    """A derived network, its data and everything else that changes from step to step.

    Several ranks compute what one process does, up to rounding: each has its share of every batch, batch norm and
    gradients are over all shares, and random numbers are drawn for the whole batch.
    """

    def __init__(
        self,
        network: EvaluationNetwork,
        data: Loader,
        generators: Generators,
        options: TrainingOptions,
        fast: bool = False,
        ranks: Ranks = SINGLE_PROCESS,
    ) -> None:
        self.data = data
        if options.batch_size > len(self.data.train):
            raise ArgumentError(
                "batch_size",
                f"expected at most {len(self.data.train)}, the images of the training set, got {options.batch_size}",
            )
        self.network = network
        self.network.draw_from(generators)
        self.generators = generators
        self.options = options
        self.fast = fast
        self.ranks = ranks
        first = next(network.parameters())
        self.dtype, self.device = first.dtype, first.device
        self._model = self._distributed() if ranks.count > 1 else network
        self.optimizer = torch.optim.SGD(
            network.parameters(),
            lr=options.learning_rate,
            momentum=options.momentum,
            weight_decay=options.weight_decay,
            nesterov=options.nesterov,
        )
        self.scheduler = falling_rate(self.optimizer, options)
        self.epoch = 0
        self.progress: EpochProgress | None = None
        self.between_batches: Callable[[], None] = lambda: None
        self.show: Progress = SILENT
        self.guard = FiniteGuard()
        self.best_accuracy = 0.0
        self.train_loss: float | None = None

    def _distributed(self) -> nn.Module:
        """The network with batch norm and gradients over all ranks."""
        from torch.nn.parallel import DistributedDataParallel

        from darts_pt.kernels.synchronised import synchronise

        synchronise(self.network, self.device)
        # find_unused_parameters: a cell's output may not depend on every operation. It also fixes the order in which
        # gradients are added, which an exact resume needs.
        return DistributedDataParallel(self.network, find_unused_parameters=True)

    # Steps -------------------------------------------------------------------------------------------------------

    def step(self, parts: Sequence[MicroBatch]) -> StepResult | None:
        """One step of SGD on a batch; each of its `parts` is a forward pass, shared by all ranks.

        Returns:
            Loss and accuracy of the whole batch before the step; None if the guard skipped the step.
        """
        drop_path_prob = self.options.drop_path_prob * self.epoch / self.options.epochs
        self.guard.remember(self.network)
        self.optimizer.zero_grad(set_to_none=True)
        total = sum(part.share.total for part in parts)
        losses, correct = [], []
        for number, part in enumerate(parts):
            # Ranks exchange gradients only after the last forward pass.
            is_last = number == len(parts) - 1
            with nullcontext() if is_last or self.ranks.count == 1 else self._model.no_sync():  # type: ignore[operator]
                whole, loss, hits = self._forward(part, drop_path_prob)
                # Gradients are averaged over the ranks, so each weights its loss by its share of the images.
                weight = len(part.labels) * self.ranks.count / total
                (whole if weight == 1 else whole * weight).backward()
            losses.append(loss * (len(part.labels) / total))
            correct.append(hits)
        result = self._over_all_ranks(torch.stack(losses).sum(), torch.stack(correct).sum(), total)
        # Without clipping the norm still shows whether the gradient is finite.
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.options.grad_clip or math.inf)
        if not self.guard.allows("the training loss or its gradient", [result.loss, norm]):
            return None
        self.optimizer.step()
        return result

    def _forward(self, part: MicroBatch, drop_path_prob: float) -> tuple[Tensor, Tensor, Tensor]:
        """The loss with the auxiliary head's, the loss without it (detached), and the number of correct predictions."""
        smoothing = self.options.label_smoothing
        self.network.set_share(part.share)
        with autocast(self.device, self.options.precision):
            logits, auxiliary_logits = self._model(part.images, drop_path_prob)
            if len(part.labels) == 0:  # The mean of an empty loss would be NaN.
                nothing = logits.sum() + (0.0 if auxiliary_logits is None else auxiliary_logits.sum())
                return nothing, nothing.detach(), torch.zeros_like(part.labels).sum()
            loss = F.cross_entropy(logits, part.labels, label_smoothing=smoothing)
            whole = loss
            if auxiliary_logits is not None:
                auxiliary = F.cross_entropy(auxiliary_logits, part.labels, label_smoothing=smoothing)
                whole = loss + self.options.auxiliary_weight * auxiliary
        return whole, loss.detach(), (logits.detach().argmax(dim=1) == part.labels).sum()

    def _over_all_ranks(self, loss: Tensor, correct: Tensor, images: int) -> StepResult:
        if self.ranks.count == 1:
            return StepResult(loss, correct, images)
        sums = self.ranks.sum(torch.stack([loss.double(), correct.double()]))
        return StepResult(sums[0].to(loss.dtype), sums[1].to(correct.dtype), images)

    def begin_epoch(self) -> EpochProgress:
        """The progress of the present epoch; between epochs starts one, a pass over the training set in random order."""
        if self.progress is None:
            every = torch.arange(len(self.data.train), device=self.device)
            self.progress = EpochProgress(order=shuffled(every, self.generators["batches"]))
        return self.progress

    def batches(self) -> tuple[int, Iterator[list[MicroBatch]]]:
        """The number of steps in an epoch, and this rank's share of the remaining ones, augmented."""
        progress = self.begin_epoch()
        assert progress.order is not None
        batches = in_batches(progress.order, self.options.batch_size)[: 1 if self.fast else None]
        self.network.train()
        steps = [self._forward_passes(batch) for batch in batches[progress.steps :]]
        micro_batches = [indices for step in steps for indices in step]
        loaded = self.data.train_batches(micro_batches, self.epoch, self.ranks, self.generators, self.dtype)
        return len(batches), ([next(loaded) for _ in step] for step in steps)

    def _forward_passes(self, batch: Tensor) -> tuple[Tensor, ...]:
        """Split a batch for accumulation; the last one of an epoch may be too small for all parts."""
        return batch.tensor_split(max(1, min(self.options.accumulate, len(batch) // 2)))

    def end_epoch(self) -> None:
        """Step the learning rate and count the epoch; call it after the test."""
        checkpoints.next_learning_rate(self.scheduler)
        self.epoch += 1
        self.progress = None

    @torch.no_grad()
    def test(self) -> Tested:
        """Accuracy and loss on the whole test set in eval mode; every rank classifies its share."""
        self.network.eval()
        order = torch.arange(len(self.data.test), device=self.device)
        batches = in_batches(order, self.options.batch_size)[: 1 if self.fast else None]
        # Summed on the device: reading it after every batch would make a GPU wait.
        sums = torch.zeros(3, dtype=torch.float64, device=self.device)
        wide = torch.promote_types(self.dtype, torch.float32)
        parts = self.data.test_batches(batches, self.ranks, self.generators, self.dtype)
        for part in self.show(parts, "test set", len(batches)):
            self.between_batches()
            self.network.set_share(part.share)
            with autocast(self.device, self.options.precision):
                logits = self.network(part.images)[0]
            sums[0] += F.cross_entropy(logits.to(wide), part.labels, reduction="sum")
            sums[1] += (logits.argmax(dim=1) == part.labels).sum()
            if self.options.top5:
                likely = logits.topk(min(5, logits.shape[1]), dim=1).indices
                sums[2] += (likely == part.labels[:, None]).sum()
        total = sum(map(len, batches))
        loss, correct, among_five = self.ranks.sum(sums).tolist()
        return Tested(100.0 * correct / total, loss / total, 100.0 * among_five / total)

    def position(self) -> dict[str, Any]:
        """The part of a checkpoint that says how far the run is; it stays as it is while the training goes on."""
        return {
            "epoch": self.epoch,
            "scheduler": self.scheduler.state_dict(),
            "generators": self.generators.state(),
            "best_accuracy": self.best_accuracy,
            "train_loss": self.train_loss,
            "skipped": self.guard.skipped,
            "progress": self.progress.to_dict() if self.progress else None,
        }

    def to_checkpoint(self) -> dict[str, Any]:
        """The state for :meth:`restore`, as plain data."""
        return {
            "state_dict": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            **self.position(),
        }

    def restore(self, checkpoint: dict[str, Any], path: Path) -> None:
        """Restore the state of :meth:`to_checkpoint`; training goes on bit by bit."""
        checkpoints.load_weights(self.network, checkpoint["state_dict"], path)
        checkpoints.load_optimizer(self.optimizer, checkpoint["optimizer"], path, "the weights")
        checkpoints.load_scheduler(self.scheduler, checkpoint["scheduler"], path)
        self.generators.restore(checkpoint["generators"])
        self.epoch = checkpoints.epoch_of(checkpoint, path)
        self.progress = EpochProgress.in_checkpoint(checkpoint, path, self.device)
        self.best_accuracy = checkpoints.number_in(checkpoint, "best_accuracy", path)
        self.guard.skipped = int(checkpoints.number_in(checkpoint, "skipped", path))
        loss = checkpoint.get("train_loss")
        self.train_loss = loss if isinstance(loss, float) else None


def train_network(training: NetworkTraining, saver: Saver) -> dict[str, Any]:
    """Train to the last epoch; test after each, save at intervals and at the end.

    Returns:
        A summary: last and best test accuracy (percent), the last losses (nats) and seconds of training in this run.
    """
    use_precision(training.options.precision)
    last, seconds, epochs = None, 0.0, training.options.epochs
    for epoch in timed_epochs(training, epochs, saver):
        saver.safe_point()
        learning_rate = training.optimizer.param_groups[0]["lr"]
        description = f"epoch {epoch + 1}/{epochs}"
        start = time.perf_counter()
        train = train_epoch(training, *training.batches(), saver, description)
        seconds += time.perf_counter() - start
        last = training.test()
        training.best_accuracy = max(training.best_accuracy, last.accuracy)
        training.train_loss = train.loss
        training.end_epoch()
        log_metrics(saver, description, {"train": train, "test": Metrics(last.accuracy, last.loss)})
        record = {
            "learning_rate": learning_rate,
            "train_accuracy": train.accuracy,
            "train_loss": train.loss,
            **last.record(training.options.top5),
            "best_test_accuracy": training.best_accuracy,
        }
        saver.experiment.record("epoch", record, epoch=training.epoch)
        saver.epoch_ended(last=training.epoch == epochs)
    if last is None:
        last = training.test()
    return {
        "epochs": training.epoch,
        **last.record(training.options.top5),
        "best_test_accuracy": training.best_accuracy,
        "train_loss": training.train_loss,
        "seconds": seconds,
    }
