"""Scores of an untrained network that foretell how well it will train."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from darts_pt.kernels.mixed import frozen_statistics
from darts_pt.supernet import MixingWeights, Supernet


def synflow(supernet: Supernet, mixing: MixingWeights, images: Tensor) -> float:
    """log of the sum of |w · ∂R/∂w| over all weights, R the sum of the outputs for an image of ones.

    Tanaka et al., *Pruning neural networks without any data by iteratively conserving synaptic flow*, NeurIPS 2020; as a
    score of networks after Abdelfattah et al., ICLR 2021: weights by their absolute values, batch norms left out. The
    logarithm does not change which is larger and keeps the numbers readable.

    Args:
        images: only their shape, device and dtype matter.
    """
    ones = torch.ones_like(images[:1])
    with _linear(supernet), torch.enable_grad():
        weights = [
            weight
            for module in supernet.modules()
            if not isinstance(module, nn.BatchNorm2d)
            for weight in module.parameters(recurse=False)
        ]
        total = supernet(ones, mixing).sum()
        gradients = torch.autograd.grad(total, weights, allow_unused=True)
        flows = [
            (weight.detach() * gradient).abs().double().sum()
            for weight, gradient in zip(weights, gradients, strict=True)
            if gradient is not None
        ]
    return math.log(max(float(torch.stack(flows).sum()), torch.finfo(torch.float64).tiny))


@contextmanager
def _linear(supernet: nn.Module) -> Iterator[None]:
    """Absolute weights, and batch norms that pass everything through: eval mode with mean 0 and variance 1 − eps."""
    saved = {name: tensor.detach().clone() for name, tensor in supernet.state_dict().items()}
    was_training = supernet.training
    supernet.eval()
    try:
        with torch.no_grad():
            for weight in supernet.parameters():
                weight.abs_()
            for norm in supernet.modules():
                if isinstance(norm, nn.BatchNorm2d):
                    _make_identity(norm)
        yield
    finally:
        supernet.load_state_dict(saved)
        supernet.train(was_training)


def _make_identity(norm: nn.BatchNorm2d) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.zero_()
    norm.running_var.fill_(1.0 - norm.eps)
    if norm.affine:
        norm.weight.fill_(1.0)
        norm.bias.zero_()


def nwot(supernet: Supernet, mixing: MixingWeights, images: Tensor) -> float:
    """log |det K|, K[i, j] the number of ReLUs on which images i and j agree (both on or both off).

    Mellor et al., *Neural Architecture Search without Training*, ICML 2021 (NASWOT).

    Args:
        images: [batch, 3, height, width].
    """
    with frozen_statistics(supernet), torch.no_grad(), _Agreement(len(images), images.device) as agreement:
        supernet(images, mixing)
    return float(torch.linalg.slogdet(agreement.kernel).logabsdet)


class _Agreement(TorchDispatchMode):
    """Adds up the kernel of all ReLUs that are computed inside, whether they are modules or functions."""

    def __init__(self, batch: int, device: torch.device) -> None:
        super().__init__()
        self.kernel = torch.zeros(batch, batch, dtype=torch.float64, device=device)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in (torch.ops.aten.relu.default, torch.ops.aten.relu_.default):
            on = (result > 0).flatten(1).to(self.kernel.dtype)
            self.kernel += on @ on.T + (1.0 - on) @ (1.0 - on).T
        return result
