"""Second-order DARTS (Liu et al., ICLR 2019, section 2.3): alpha's gradient looks one weight step ahead.

Alpha minimises L_valid(w', alpha) with w' = w − ξ·(momentum·v + ∇_w L_train(w, alpha) + decay·w), the weights after the
coming step. Its gradient is

    ∇_alpha L_valid(w', alpha) − ξ·∇²_{alpha,w} L_train(w, alpha)·∇_w' L_valid(w', alpha);

the Hessian product is a central difference along ∇_w' L_valid (equations 7 and 8).

Cost: four forward and backward passes for alpha where first order needs one, and two more copies of the weights. They are
never replayed from CUDA graphs (:mod:`darts_pt.kernels.passes`), which record only the weights' step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from darts_pt.architect import Architect, Batch, WeightStep
from darts_pt.kernels.mixed import frozen_statistics
from darts_pt.methods import Method
from darts_pt.run.errors import ArgumentError
from darts_pt.supernet import Decisions

METHOD = Method(
    title="DARTS (2nd order)",
    summary="alpha is stepped on the valid half, second order",
    implementation="SecondOrder",
    passes=15,
    script="darts2nd",
)

DIFFERENCE = 0.01
"""The central difference moves the weights by this norm to either side, as in the paper (footnote 2)."""


class SecondOrder(Architect):
    """Steps alpha along the unrolled gradient.

    Its passes are not training steps: they use batch statistics and leave the running ones alone.
    """

    def step(self, batch: Batch, decisions: Decisions, weight_step: WeightStep | None = None) -> None:
        if weight_step is None:
            raise ValueError("second-order DARTS needs the weight step that follows")
        self._descend(self.unrolled_gradient(batch, decisions, weight_step))

    def unrolled_gradient(self, batch: Batch, decisions: Decisions, weight_step: WeightStep) -> list[Tensor]:
        """The gradient by alpha of the valid loss after the coming weight step."""
        weights: list[Tensor] = [*self.supernet.weights()]
        learning_rate = weight_step.optimizer.param_groups[0]["lr"]
        with frozen_statistics(self.supernet), _kept(weights):
            update = self._update(weight_step, decisions, weights)
            _move(weights, update, -learning_rate)
            gradients = self._gradients(batch, decisions, self.parameters() + weights)
            by_alpha, direction = gradients[: len(self.parameters())], gradients[len(self.parameters()) :]
            _move(weights, update, learning_rate)
            hessian_product = self._hessian_product(weight_step.batch, decisions, weights, direction)
        return [gradient - learning_rate * product for gradient, product in zip(by_alpha, hessian_product, strict=True)]

    def _update(self, weight_step: WeightStep, decisions: Decisions, weights: list[Tensor]) -> list[Tensor]:
        """SGD's coming step divided by the learning rate, without clipping: momentum·v + gradient + decay·w."""
        if not isinstance(weight_step.optimizer, torch.optim.SGD):
            raise ArgumentError("optimizer", "second-order DARTS looks ahead by a step of SGD, so it needs that")
        group, state = weight_step.optimizer.param_groups[0], weight_step.optimizer.state
        gradients = self._gradients(weight_step.batch, decisions, weights)
        update = []
        for weight, gradient in zip(weights, gradients, strict=True):
            step = gradient + group["weight_decay"] * weight.detach()
            momentum = state[weight].get("momentum_buffer") if weight in state else None
            update.append(step if momentum is None else step + group["momentum"] * momentum)
        return update

    def _hessian_product(
        self, batch: Batch, decisions: Decisions, weights: list[Tensor], direction: Sequence[Tensor]
    ) -> list[Tensor]:
        """∇²_{alpha,w} L_train · direction, by a central difference."""
        radius = DIFFERENCE / torch.stack([part.square().sum() for part in direction]).sum().sqrt()
        _move(weights, direction, radius)
        above = self._gradients(batch, decisions, self.parameters())
        _move(weights, direction, -2 * radius)
        below = self._gradients(batch, decisions, self.parameters())
        return [(plus - minus) / (2 * radius) for plus, minus in zip(above, below, strict=True)]

    def _gradients(self, batch: Batch, decisions: Decisions, by: list[Tensor]) -> Sequence[Tensor]:
        images, labels = batch
        loss = self.supernet.loss(self.supernet(images, self.alpha_weights(decisions)), labels)
        return torch.autograd.grad(loss, by, allow_unused=True, materialize_grads=True)


@torch.no_grad()
def _move(weights: list[Tensor], direction: Sequence[Tensor], length: float | Tensor) -> None:
    for weight, part in zip(weights, direction, strict=True):
        weight.add_(part * length)


@contextmanager
def _kept(weights: list[Tensor]) -> Iterator[None]:
    """Restore the weights at the end, to the bit."""
    saved = [weight.detach().clone() for weight in weights]
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, value in zip(weights, saved, strict=True):
                weight.copy_(value)
