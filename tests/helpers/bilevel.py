"""For tests of bilevel steps: a random batch, a toy architect in float64, and looks at weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from darts_pt.architect import Architect
from darts_pt.hyperparameters import AlphaOptions

GRAD_CLIP = 5.0


def batch(seed: int, size: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(size, 3, 8, 8, generator=generator, dtype=torch.float64)
    return images, torch.randint(10, (size,), generator=generator)


def double(architect: Architect, options: AlphaOptions | None = None) -> Architect:
    alpha = {name: values.detach().double().requires_grad_() for name, values in architect.alpha.items()}
    return type(architect)(architect.supernet.double(), alpha, options)


def sgd(architect: Architect) -> torch.optim.SGD:
    return torch.optim.SGD(architect.supernet.parameters(), lr=0.1, momentum=0.9, weight_decay=3e-4)


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.named_parameters()}


def same(before: dict[str, Tensor], after: dict[str, Tensor]) -> bool:
    return all(torch.equal(before[name], after[name]) for name in before)
