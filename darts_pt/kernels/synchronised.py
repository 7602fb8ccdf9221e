"""Batch norm over the images of all ranks: n processes normalise as one process with the n-fold batch does.

On CUDA it is torch's SyncBatchNorm, which has kernels of its own there and nowhere else; this is the same for the CPU.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn


class SynchronisedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm with the statistics of all ranks' images in train mode; a rank may have none."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        output, mean, variance, count = _Normalise.apply(input, self.weight, self.bias, self.eps)  # type: ignore[misc]
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            assert self.momentum is not None
            self.num_batches_tracked.add_(1)
            unbiased = variance * (count / (count - 1))
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
        return output


class _Normalise(torch.autograd.Function):
    """(x − mean) / sqrt(variance + eps) · weight + bias, with mean and variance over the images of all ranks."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mean, variance, count = _statistics(inputs)
        if count <= 1:
            raise ValueError(f"batch norm needs more than one value per channel, got {tuple(inputs.shape)}")
        scale = (variance + eps).rsqrt()
        normalised = (inputs - _map(mean)) * _map(scale)
        ctx.save_for_backward(normalised, scale, count, weight)
        ctx.mark_non_differentiable(mean, variance, count)
        output = normalised if weight is None else normalised * _map(weight)
        return output if bias is None else output + _map(bias), mean, variance, count

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        normalised, scale, count, weight = ctx.saved_tensors
        by_bias = gradient.sum((0, 2, 3))
        by_weight = (gradient * normalised).sum((0, 2, 3))
        # The loss of every rank depends on the statistics, and so on the images of every other.
        sums = torch.cat([by_bias, by_weight])
        distributed.all_reduce(sums)
        bias_sum, weight_sum = sums.chunk(2)
        by_inputs = gradient - _map(bias_sum / count) - normalised * _map(weight_sum / count)
        by_inputs = by_inputs * _map(scale if weight is None else scale * weight)
        affine = weight is not None
        return by_inputs, by_weight if affine else None, by_bias if affine else None, None


def _statistics(inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and (biased) variance per channel [C] over the images of all ranks, and the values per channel (a scalar).

    Combined from every rank's own mean and variance, which does not cancel as sums of squares do.
    """
    channels = inputs.shape[1]
    own = inputs.new_zeros(2 * channels + 1)
    if inputs.numel():
        own[:channels] = inputs.mean((0, 2, 3))
        own[channels:-1] = inputs.var((0, 2, 3), correction=0)
        own[-1] = inputs.numel() // channels
    every = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(every, own)
    table = torch.stack(every)
    means, variances, counts = table[:, :channels], table[:, channels:-1], table[:, -1:]
    count = counts.sum()
    mean = (means * counts).sum(0) / count
    variance = ((variances + (means - mean).square()) * counts).sum(0) / count
    return mean, variance, count


def _map(per_channel: Tensor) -> Tensor:
    return per_channel[:, None, None]


def synchronise(module: nn.Module, device: torch.device) -> None:
    """Replace every batch norm inside `module` by one over all ranks; parameters, buffers and their names stay."""
    for name, child in module.named_children():
        if not isinstance(child, nn.BatchNorm2d):
            synchronise(child, device)
            continue
        kind = nn.SyncBatchNorm if device.type == "cuda" else SynchronisedBatchNorm2d
        norm = kind(child.num_features, child.eps, child.momentum, child.affine, child.track_running_stats)
        norm.train(child.training)
        norm._parameters = child._parameters
        norm._buffers = child._buffers
        module._modules[name] = norm
