"""GDAS (Dong & Yang, *Searching for a Robust Neural Architecture in Four GPU Hours*, CVPR 2019): every step samples one
operation per edge by the Gumbel-max trick, and computes only that.

The backward pass replaces the sample by its softmax (straight through). Evaluation, scores and genotypes use the sample's
expectation, softmax(alpha).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from darts_pt.architect import Architect, Batch
from darts_pt.methods import Method, Option
from darts_pt.supernet import Decisions, MixingWeights, fixed_by

METHOD = Method(
    title="GDAS",
    summary="one operation per edge is sampled for every step",
    implementation="GumbelSampling",
    options=(
        Option("tau_max", 10.0, "temperature of the first epoch", above=0),
        Option("tau_min", 0.1, "temperature of the last epoch and of selection", above=0),
    ),
    not_replayable="gdas samples other operations for every step",
)


class GumbelSampling(Architect):
    """Draws one-hot samples of softmax(alpha).

    Attributes:
        tau: the temperature now.
    """

    defaults: ClassVar = METHOD.defaults

    @property
    def tau(self) -> float:
        return getattr(self, "_tau", self.settings["tau_min"])

    def start_epoch(self, epoch: int, epochs: int) -> None:
        """Linear from `tau_max` in the first epoch to `tau_min` in the last."""
        progress = epoch / max(1, epochs - 1)
        self._tau = self.settings["tau_max"] + (self.settings["tau_min"] - self.settings["tau_max"]) * progress

    def alpha_weights(self, decisions: Decisions) -> MixingWeights:
        samples = {name: self.sample(alpha) for name, alpha in self.alpha.items()}
        return fixed_by(decisions, self.supernet.cell_types, samples).computed()

    def training_weights(self, batch: Batch, decisions: Decisions) -> MixingWeights:
        with torch.no_grad():
            return self.alpha_weights(decisions)

    def sample(self, alpha: Tensor) -> Tensor:
        """Draw one-hot rows [edges, operations], with probability softmax(alpha).

        Their gradient by alpha is that of softmax((log softmax(alpha) + gumbel) / tau).
        """
        exponential = torch.empty_like(alpha).exponential_(generator=self.generators["gumbel"])
        gumbel = -exponential.clamp_min(torch.finfo(alpha.dtype).tiny).log()
        soft = torch.softmax((torch.log_softmax(alpha, dim=-1) + gumbel) / self.tau, dim=-1)
        hard = torch.zeros_like(soft).scatter(-1, soft.argmax(dim=-1, keepdim=True), 1.0)
        return hard + (soft - soft.detach())
