"""The bilevel step: alpha on a batch of the valid half, then the weights on a batch of the train half.

First-order DARTS (Liu et al., ICLR 2019), as the paper uses it (section 3). A search method is an :class:`Architect`: it
says how alpha is stepped and which mixing weights the weights are trained under; the step itself is written once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from darts_pt.supernet import Alpha, Decisions, MixingWeights, Supernet, mixing_weights

Batch = tuple[Tensor, Tensor]
"""Normalised images [batch, 3, height, width] and class labels [batch] (int64)."""


@dataclass(frozen=True)
class AlphaOptions:
    """How Adam steps alpha (SPEC of DARTS: no gradient clipping)."""

    learning_rate: float = 3e-4
    weight_decay: float = 1e-3
    betas: tuple[float, float] = (0.5, 0.999)


class Architect:
    """Holds alpha and steps it: first-order DARTS.

    A method overrides :meth:`step` (how alpha moves) or :meth:`training_weights` (what the weights see).
    """

    uses_valid_batches = True
    """False where :meth:`step` ignores its batch, so that none needs to be drawn."""

    def __init__(self, supernet: Supernet, alpha: Alpha, options: AlphaOptions | None = None) -> None:
        options = options or AlphaOptions()
        self.supernet = supernet
        self.alpha = alpha
        self.optimizer = torch.optim.Adam(
            list(alpha.values()),
            lr=options.learning_rate,
            betas=options.betas,
            weight_decay=options.weight_decay,
        )

    def mixing(self, decisions: Decisions) -> MixingWeights:
        """The mixing weights of alpha as it stands, without gradient: what is evaluated, scored and made a genotype."""
        with torch.no_grad():
            return mixing_weights(self.supernet.cell_types, self.alpha, decisions)

    def training_weights(self, batch: Batch, decisions: Decisions) -> MixingWeights:
        """The mixing weights under which the weights take their step; no gradient flows to alpha."""
        return self.mixing(decisions)

    def step(self, batch: Batch, decisions: Decisions) -> None:
        """One Adam step of alpha on `batch` of the valid half. Only alpha's gradient is computed."""
        images, labels = batch
        parameters = list(self.alpha.values())
        loss = F.cross_entropy(
            self.supernet(images, mixing_weights(self.supernet.cell_types, self.alpha, decisions)), labels
        )
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        self.optimizer.step()


class FixedAlpha(Architect):
    """Alpha stays where it was initialised: the paper's "fix alpha", the original's "blank" (section 5.2)."""

    uses_valid_batches = False

    def step(self, batch: Batch, decisions: Decisions) -> None:
        """Nothing: the operations keep about equal weights."""


METHODS: dict[str, type[Architect]] = {"darts": Architect, "blank": FixedAlpha}
"""The search methods by the names that `--method` takes."""


class StepResult(NamedTuple):
    """What one weight step reports, as tensors on the device: reading them is left to the caller."""

    loss: Tensor
    correct: Tensor


def bilevel_step(
    architect: Architect,
    weight_optimizer: torch.optim.Optimizer,
    train_batch: Batch,
    valid_batch: Batch | None,
    decisions: Decisions,
    grad_clip: float,
) -> StepResult:
    """Alpha's step on the valid batch, then one step of the weights on the train batch.

    Args:
        valid_batch: may be None for an architect that does not use it.
        grad_clip: the largest norm of the gradient by all weights together.

    Returns:
        The mean training loss and the number of correct predictions of the weight step's forward pass.
    """
    supernet = architect.supernet
    supernet.train()
    if valid_batch is not None:
        architect.step(valid_batch, decisions)
    images, labels = train_batch
    mixing = architect.training_weights(train_batch, decisions)
    weight_optimizer.zero_grad(set_to_none=True)
    logits = supernet(images, mixing)
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(supernet.parameters(), grad_clip)
    weight_optimizer.step()
    return StepResult(loss.detach(), (logits.detach().argmax(dim=1) == labels).sum())
