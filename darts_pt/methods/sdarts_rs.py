"""SDARTS-RS (Chen & Hsieh, *Stabilizing Differentiable Architecture Search via Perturbation-based Regularization*,
ICML 2020): the weights are trained under mixing weights that are randomly perturbed.

Alpha's own step is unperturbed. As in the original, an operation whose perturbed weight is 0 is not computed, and selection
goes on with the perturbation at its final radius.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from darts_pt.architect import Architect, Batch
from darts_pt.methods import Method, Option
from darts_pt.supernet import Decisions, MixingWeights, fixed_by

METHOD = Method(
    title="SDARTS-RS",
    summary="the weights are trained under randomly perturbed mixing weights",
    implementation="RandomSmoothing",
    options=(Option("epsilon_alpha", 0.3, "final radius of the perturbation, kept in selection", low=0, high=1),),
)

FIRST_EPSILON = 0.03
"""The radius in the first epoch."""


class RandomSmoothing(Architect):
    """Adds uniform noise in [−epsilon, epsilon] to every mixing weight of a weight step.

    Attributes:
        epsilon: the radius now; it grows to the setting `epsilon_alpha`.
    """

    defaults: ClassVar = METHOD.defaults

    @property
    def epsilon(self) -> float:
        return getattr(self, "_epsilon", self.settings["epsilon_alpha"])

    def start_epoch(self, epoch: int, epochs: int) -> None:
        """Linear growth: FIRST_EPSILON in epoch 0, `epsilon_alpha` after the last one."""
        self._epsilon = FIRST_EPSILON + (self.settings["epsilon_alpha"] - FIRST_EPSILON) * epoch / epochs

    def training_weights(self, batch: Batch, decisions: Decisions) -> MixingWeights:
        with torch.no_grad():
            values = self.perturbed(dict(self.relaxed()), batch, decisions)
            return fixed_by(decisions, self.supernet.cell_types, values).computed()

    def perturbed(self, values: dict[str, Tensor], batch: Batch, decisions: Decisions) -> Mapping[str, Tensor]:
        """`values` (cell type -> [edges, operations]) perturbed within `epsilon`."""
        return {name: projected(rows + self.uniform_noise(rows)) for name, rows in values.items()}

    def uniform_noise(self, rows: Tensor) -> Tensor:
        """Noise of the shape of `rows`, uniform in [−epsilon, epsilon]."""
        noise = torch.empty_like(rows).uniform_(-1.0, 1.0, generator=self.generators["perturbation"])
        return self.epsilon * noise


def projected(rows: Tensor) -> Tensor:
    """Clip rows [edges, operations] to [0, 1] and divide each by its sum; a row of zeros becomes one-hot at its maximum."""
    clipped = rows.clamp(0.0, 1.0)
    one_hot = torch.zeros_like(rows).scatter(-1, rows.argmax(dim=-1, keepdim=True), 1.0)
    total = clipped.sum(dim=-1, keepdim=True)
    return torch.where(total == 0.0, one_hot, clipped / total.clamp_min(torch.finfo(rows.dtype).tiny))
