"""The bilevel step: alpha on a batch of the valid half, then the weights on a batch of the train half.

First-order DARTS (Liu et al., ICLR 2019), as the paper uses it (section 3). A search method is an :class:`Architect`: it
says how alpha is stepped and which mixing weights the weights are trained under; the step itself is written once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from darts_pt.hyperparameters import AlphaOptions
from darts_pt.run.device import Generators
from darts_pt.run.epoch import FiniteGuard, StepResult
from darts_pt.supernet import Alpha, CellType, Decisions, MixingWeights, Supernet, fixed_by

Batch = tuple[Any, Any]
"""Inputs and targets; in the spaces normalised images [batch, 3, height, width] and class labels [batch] (int64)."""


class WeightStep(NamedTuple):
    """The weight step that follows alpha's: its batch of the train half, and its optimiser."""

    batch: Batch
    optimizer: torch.optim.Optimizer


class Architect:
    """Holds alpha and steps it: first-order DARTS.

    Every other search method derives from this class and overrides what it changes: :meth:`relaxed` (the mixing weights),
    :meth:`alpha_weights` and :meth:`training_weights` (those of alpha's and of the weights' step), :meth:`step` (alpha's
    step), :meth:`start_epoch` (schedules), :meth:`edges_due` (decisions during the search), :meth:`state` (its part of a
    checkpoint).

    Attributes:
        defaults: the method's own arguments (`METHOD.defaults`), as in its paper.
        settings: their values in this run.
        uses_valid_batches: False if :meth:`step` ignores its batch, so that none is drawn.

    Args:
        settings: values for some of the method's own arguments; the others keep their defaults.
        generators: the source of the method's random numbers.
    """

    defaults: ClassVar[Mapping[str, Any]] = {}
    uses_valid_batches = True

    def __init__(
        self,
        supernet: Supernet,
        alpha: Alpha,
        options: AlphaOptions | None = None,
        settings: Mapping[str, Any] | None = None,
        generators: Generators | None = None,
    ) -> None:
        options = options or AlphaOptions()
        self.supernet = supernet
        self.alpha = alpha
        self.settings = {**self.defaults, **(settings or {})}
        self.generators = generators or Generators(0, next(iter(alpha.values())).device)
        self.guard = FiniteGuard()
        self.optimizer = torch.optim.Adam(
            self.parameters(),
            lr=options.arch_learning_rate,
            betas=(0.5, 0.999),
            weight_decay=options.arch_weight_decay,
        )

    def parameters(self) -> list[Tensor]:
        """The tensors that Adam steps: alpha, and any others that a method learns about the architecture."""
        return list(self.alpha.values())

    # Mixing weights ----------------------------------------------------------------------------------------------

    def relaxed(self) -> Mapping[str, Tensor]:
        """Cell type -> the mixing weights [edges, operations] of alpha before any decision; differentiable by alpha."""
        return {name: torch.softmax(alpha, dim=-1) for name, alpha in self.alpha.items()}

    def mixing(self, decisions: Decisions) -> MixingWeights:
        """The mixing weights of alpha without gradient, for evaluation, scores and genotypes."""
        with torch.no_grad():
            return fixed_by(decisions, self.supernet.cell_types, self.relaxed())

    def alpha_weights(self, decisions: Decisions) -> MixingWeights:
        """The mixing weights of alpha's step; differentiable by alpha."""
        return fixed_by(decisions, self.supernet.cell_types, self.relaxed())

    def training_weights(self, batch: Batch, decisions: Decisions) -> MixingWeights:
        """The mixing weights of the weight step on `batch`; without gradient."""
        return self.mixing(decisions)

    # Steps and epochs --------------------------------------------------------------------------------------------

    def step(self, batch: Batch, decisions: Decisions, weight_step: WeightStep | None = None) -> None:
        """One Adam step of alpha on `batch` of the valid half. Only alpha's gradient is computed.

        Args:
            weight_step: the weight step that will follow, for methods that look ahead.
        """
        self._descend(self.gradient(self.parameters(), self.alpha_weights(decisions), batch))

    def gradient(self, by: Sequence[Tensor], mixing: MixingWeights, batch: Batch) -> Sequence[Tensor]:
        """The gradient of the loss on `batch` by tensors from which `mixing` was computed."""
        by_mixing = gradient_by_mixing(self.supernet, mixing, batch)
        return torch.autograd.grad(mixing.tensors(), by, by_mixing, allow_unused=True, materialize_grads=True)

    def _descend(self, gradients: Sequence[Tensor]) -> None:
        """Adam's step along `gradients`, one per parameter."""
        if self.guard.allows("the gradient by alpha", gradients):
            for parameter, gradient in zip(self.parameters(), gradients, strict=True):
                parameter.grad = gradient
            self.optimizer.step()

    def start_epoch(self, epoch: int, epochs: int) -> None:
        """Called at the start of every epoch of search, 0 to epochs − 1.

        A selection does not call it: a schedule has its final value until the first call.
        """

    def edges_due(self, epoch: int, epochs: int, decisions: Decisions) -> list[tuple[CellType, int]]:
        """The edges whose operation must be decided before `epoch` of the search."""
        return []

    # Checkpoints -------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """The method's own state for checkpoints, plain data and tensors, besides alpha and its optimiser."""
        return {}

    def restore_state(self, state: Mapping[str, Any]) -> None:
        """Restore :meth:`state`; raises ValueError, KeyError or TypeError if it does not fit."""


def bilevel_step(
    architect: Architect,
    weight_optimizer: torch.optim.Optimizer,
    train_batch: Batch,
    valid_batch: Batch | None,
    decisions: Decisions,
    grad_clip: float,
) -> StepResult | None:
    """Step alpha on the valid batch, then the weights on the train batch.

    Args:
        valid_batch: None for an architect that does not use it.
        weight_optimizer: of all weights.
        grad_clip: the largest norm of the gradient by all weights.

    Returns:
        The mean training loss and the number of correct predictions in the forward pass of the weight step; None if the
        guard skipped that step.
    """
    supernet = architect.supernet
    supernet.train()
    architect.guard.remember(supernet)
    if valid_batch is not None:
        architect.step(valid_batch, decisions, WeightStep(train_batch, weight_optimizer))
    result = gradient_by_weights(supernet, architect.training_weights(train_batch, decisions), train_batch)
    # As the optimiser lists them: another walk through all modules would take 1 % of a small step.
    weights = [weight for group in weight_optimizer.param_groups for weight in group["params"]]
    norm = torch.nn.utils.clip_grad_norm_(weights, grad_clip, foreach=True)
    if not architect.guard.allows("the training loss or its gradient", [result.loss, norm]):
        return None
    weight_optimizer.step()
    return result


def gradient_by_mixing(supernet: Supernet, mixing: MixingWeights, batch: Batch) -> Sequence[Tensor]:
    """The gradient of the loss on `batch` by every tensor of `mixing`, without that by the weights."""

    def gradients(images: Tensor, labels: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        leaves = [tensor.detach().requires_grad_() for tensor in tensors]
        # Views, since torch's operation counters cannot watch a leaf whose gradient is asked for.
        views = [leaf.view_as(leaf) for leaf in leaves]
        loss = supernet.loss(supernet(images, mixing.with_tensors(views)), labels)
        return torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)

    return supernet.run_pass("gradient by mixing", gradients, batch, mixing)


def gradient_by_weights(supernet: Supernet, mixing: MixingWeights, batch: Batch) -> StepResult:
    """Set the gradient of every weight to that of the loss on `batch`; None if the loss does not depend on it."""
    weights = supernet.weights()

    def gradients(images: Tensor, labels: Tensor, *tensors: Tensor) -> tuple[Tensor | None, ...]:
        logits = supernet(images, mixing.with_tensors(tensors))
        loss = supernet.loss(logits, labels)
        # loss.backward() would copy gradients that are parts of a stack.
        found = torch.autograd.grad(loss, weights, allow_unused=True)
        with torch.no_grad():
            correct = supernet.correct(logits, labels)
        return loss.detach(), correct, *found

    loss, correct, *found = supernet.run_pass("gradient by weights", gradients, batch, mixing)
    for weight, gradient in zip(weights, found, strict=True):
        weight.grad = gradient
    return StepResult(loss, correct, supernet.size(batch[1]))
