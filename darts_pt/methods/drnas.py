"""DrNAS (Chen et al., *DrNAS: Dirichlet Neural Architecture Search*, ICLR 2021): mixing weights are drawn from a
Dirichlet distribution whose concentration is learned.

The concentration of an edge is elu(alpha) + 1, so that alpha = 0 is the uniform distribution over mixing weights; the
paper's l2 distance to that anchor is the weight decay of alpha's Adam. The gradient passes through the sample (pathwise).
Evaluation, scores and genotypes use the mean of the distribution. DrNAS's progressive shrinking and partial channels, which
save memory on large data, are not part of this method.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from darts_pt.architect import Architect, Batch
from darts_pt.methods import Method
from darts_pt.supernet import Decisions, MixingWeights, fixed_by

METHOD = Method(
    title="DrNAS",
    summary="mixing weights are drawn from a Dirichlet distribution",
    implementation="DirichletSampling",
)


class DirichletSampling(Architect):
    """Draws mixing weights for every step of alpha and of the weights."""

    def concentration(self) -> Mapping[str, Tensor]:
        """Cell type -> the parameters of every edge's Dirichlet distribution [edges, operations], all positive."""
        return {name: F.elu(alpha) + 1.0 for name, alpha in self.alpha.items()}

    def relaxed(self) -> Mapping[str, Tensor]:
        """The mean: concentration divided by its sum."""
        return {name: rows / rows.sum(dim=-1, keepdim=True) for name, rows in self.concentration().items()}

    def alpha_weights(self, decisions: Decisions) -> MixingWeights:
        generator = self.generators["dirichlet"]
        samples = {name: sample_dirichlet(rows, generator) for name, rows in self.concentration().items()}
        return fixed_by(decisions, self.supernet.cell_types, samples)

    def training_weights(self, batch: Batch, decisions: Decisions) -> MixingWeights:
        with torch.no_grad():
            return self.alpha_weights(decisions)


class _Dirichlet(torch.autograd.Function):
    """torch.distributions.Dirichlet.rsample with a generator."""

    @staticmethod
    def forward(ctx: Any, concentration: Tensor, generator: torch.Generator) -> Tensor:
        sample = torch._sample_dirichlet(concentration, generator)  # pyright: ignore[reportPrivateImportUsage]
        ctx.save_for_backward(sample, concentration)
        return sample

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        sample, concentration = ctx.saved_tensors
        (gradient,) = gradients
        total = concentration.sum(-1, True).expand_as(concentration)
        slope = torch._dirichlet_grad(sample, concentration, total)  # pyright: ignore[reportPrivateImportUsage]
        return slope * (gradient - (sample * gradient).sum(-1, True)), None


def sample_dirichlet(concentration: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a row [operations] that sums to 1 for every edge; differentiable by the concentration [edges, operations]."""
    return _Dirichlet.apply(concentration, generator)  # type: ignore[return-value]
