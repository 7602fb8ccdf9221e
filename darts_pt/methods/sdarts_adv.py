"""SDARTS-ADV (Chen & Hsieh, ICML 2020): the weights are trained under the worst mixing weights nearby.

Projected gradient ascent (PGD) on the training loss finds them, in the box of radius epsilon around softmax(alpha).
Each weight step costs seven more backward and nine more forward passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from darts_pt.architect import Batch
from darts_pt.methods import Method, Option
from darts_pt.methods.sdarts_rs import RandomSmoothing, projected
from darts_pt.supernet import Decisions, fixed_by

METHOD = Method(
    title="SDARTS-ADV",
    summary="the weights are trained under adversarially perturbed mixing weights",
    implementation="Adversarial",
    options=(Option("epsilon_alpha", 0.3, "final radius of the perturbation, kept in selection", low=0, high=1),),
    passes=29,
)

STEPS = 7


class Adversarial(RandomSmoothing):
    """PGD: sign-gradient ascent in STEPS steps of 2·epsilon/STEPS from a random start; kept only if the loss rose."""

    def perturbed(self, values: dict[str, Tensor], batch: Batch, decisions: Decisions) -> Mapping[str, Tensor]:
        return self.ascend(values, super().perturbed(values, batch, decisions), batch, decisions)

    def ascend(
        self,
        centre: Mapping[str, Tensor],
        start: Mapping[str, Tensor],
        batch: Batch,
        decisions: Decisions,
        steps: int = STEPS,
    ) -> Mapping[str, Tensor]:
        """The worst mixing weights found around `centre`, or `centre` itself if none is worse.

        As in the original, the network is in eval mode, and after each step the weights are first put back into the box,
        then made mixing weights again. An operation whose weight has become 0 is not computed: it has no gradient, and
        comes back only if the box does not include 0.
        """
        rows = {name: values.detach() for name, values in start.items()}
        with _eval_mode(self.supernet):
            before = self._loss(centre, batch, decisions)
            for _ in range(steps):
                gradients = self._gradients(rows, batch, decisions)
                for name, gradient in gradients.items():
                    moved = rows[name] + 2 * self.epsilon / steps * gradient.sign()
                    inside = centre[name] + (moved - centre[name]).clamp(-self.epsilon, self.epsilon)
                    rows[name] = projected(inside)
            rose = self._loss(rows, batch, decisions) > before
        return {name: torch.where(rose, rows[name], values) for name, values in centre.items()}

    def _loss(self, values: Mapping[str, Tensor], batch: Batch, decisions: Decisions) -> Tensor:
        images, labels = batch
        with torch.no_grad():
            mixing = fixed_by(decisions, self.supernet.cell_types, values).computed()
            return self.supernet.loss(self.supernet(images, mixing), labels)

    def _gradients(self, values: Mapping[str, Tensor], batch: Batch, decisions: Decisions) -> dict[str, Tensor]:
        with torch.enable_grad():
            leaves = {name: rows.clone().requires_grad_() for name, rows in values.items()}
            mixing = fixed_by(decisions, self.supernet.cell_types, leaves).computed()
            gradients = self.gradient(list(leaves.values()), mixing, batch)
        return dict(zip(leaves, gradients, strict=True))


@contextmanager
def _eval_mode(network: nn.Module) -> Iterator[None]:
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)
