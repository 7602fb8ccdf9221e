"""Building blocks of a fast mixed operation: what the candidates of many edges can share, computed once.

The supernets keep one module per operation for its parameters, buffers and name; their cells compute many operations at
once with the functions below. Maps are kept channels-last: there a 1x1 convolution is a matrix product, and on
the CPU convolutions and poolings are several times faster (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from darts_pt.run.errors import ArgumentError

LARGE = 500_000
"""Values in a map from which fewer passes over it count for more than fewer calls: from there a 1x1 convolution is faster
than the matrix product it is, and without gradients a batch norm goes into sums as its factor and shift."""

FEW_PIXELS = 1024
"""Pixels in all maps of a batch up to which torch's average pooling is faster on the CPU than a convolution."""


class BatchNorm2d(nn.BatchNorm2d):
    """Batch norm that leaves its running statistics and its counter alone in train mode while `momentum` is 0.0.

    Scoring a removal runs the supernet in train mode, and must not move what it is scored on.
    """

    def forward(self, input: Tensor) -> Tensor:
        if self.training and self.momentum == 0.0:
            return F.batch_norm(input, None, None, self.weight, self.bias, training=True, eps=self.eps)
        return super().forward(input)


@contextmanager
def frozen_statistics(supernet: nn.Module) -> Iterator[None]:
    """Train mode (batch statistics) that leaves the running statistics as they are.

    The original scores in train mode too, but its running statistics move while it does. Decisions do not depend on
    them; the accuracies logged in eval mode do, so here they are left alone.
    """
    was_training = supernet.training
    norms = [module for module in supernet.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    supernet.train()
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        supernet.train(was_training)


def stacked_batch_norm(stacked: Tensor, norms: Sequence[BatchNorm2d], scale: Tensor | None) -> Tensor:
    """Many batch norms that are not affine, as one over their stacked channels; `scale` times the result.

    Args:
        stacked: [batch, n · C, H, W], the inputs of `norms` one after the other.
        norms: all in the same mode and with the same momentum; their running statistics and counters move as if each
            had been called.
        scale: [n · C] or None for 1: mixing weights cost nothing here.
    """
    first = norms[0]
    if first.training and first.momentum == 0.0:
        return F.batch_norm(stacked, None, None, scale, None, training=True, eps=first.eps)
    if len(norms) == 1:
        output = F.batch_norm(
            stacked,
            first.running_mean,
            first.running_var,
            scale,
            None,
            first.training,
            first.momentum or 0.0,
            first.eps,
        )
        if first.training:
            first.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        return output
    means: list[Any] = [norm.running_mean for norm in norms]
    variances: list[Any] = [norm.running_var for norm in norms]
    mean, variance = torch.cat(means), torch.cat(variances)
    output = F.batch_norm(stacked, mean, variance, scale, None, first.training, first.momentum, first.eps)  # type: ignore[arg-type]
    if first.training:
        with torch.no_grad():
            size = first.num_features
            counters: list[Any] = [norm.num_batches_tracked for norm in norms]
            torch._foreach_copy_(means + variances, [*mean.split(size), *variance.split(size)])  # pyright: ignore[reportPrivateImportUsage]
            torch._foreach_add_(counters, 1)  # pyright: ignore[reportPrivateImportUsage]
    return output


def shared_batch_norm(inputs: Tensor, norms: Sequence[BatchNorm2d]) -> Tensor:
    """In train mode: the one output that all of `norms`, which are not affine, have for the same input.

    Their running statistics and counters move as if each had been called.
    """
    first = norms[0]
    if first.momentum == 0.0:
        return F.batch_norm(inputs, None, None, training=True, eps=first.eps)
    mean, variance = torch.zeros_like(first.running_mean), torch.zeros_like(first.running_var)  # type: ignore[arg-type]
    # With momentum 1 the running statistics become those of the batch.
    output = F.batch_norm(inputs, mean, variance, training=True, momentum=1.0, eps=first.eps)
    with torch.no_grad():
        for norm in norms:
            norm.running_mean.lerp_(mean, norm.momentum)  # type: ignore[union-attr,arg-type]
            norm.running_var.lerp_(variance, norm.momentum)  # type: ignore[union-attr,arg-type]
            norm.num_batches_tracked.add_(1)  # type: ignore[union-attr]
    return output


def pointwise(inputs: Tensor, kernels: Sequence[Tensor]) -> Tensor:
    """1x1 convolutions [C_out, C_in, 1, 1] of one input, their outputs stacked.

    For small maps as a matrix product over the pixels: a convolution spends more on being called.
    """
    kernel = kernels[0] if len(kernels) == 1 else torch.cat(list(kernels))
    if inputs.numel() >= LARGE:
        return F.conv2d(inputs, kernel)
    return F.linear(inputs.permute(0, 2, 3, 1), kernel.flatten(1)).permute(0, 3, 1, 2)


def convolution(inputs: Tensor, kernels: Sequence[Tensor]) -> Tensor:
    """k×k convolutions of stride 1 of one input, padded to keep its size, their outputs stacked."""
    kernel = kernels[0] if len(kernels) == 1 else torch.cat(list(kernels))
    return F.conv2d(inputs, kernel, padding=kernel.shape[2] // 2)


# Poolings --------------------------------------------------------------------------------------------------------


def average_pool(inputs: Tensor) -> Tensor:
    """3x3 average of stride 1 that does not count the padding.

    On the CPU as a depthwise convolution, which is faster there than torch's pooling but for the smallest maps.
    """
    if inputs.device.type != "cpu" or inputs.numel() // inputs.shape[1] <= FEW_PIXELS:
        return F.avg_pool2d(inputs, 3, stride=1, padding=1, count_include_pad=False)
    return _AveragePool.apply(inputs) if torch.is_grad_enabled() else _window_means(inputs)  # type: ignore[return-value]


def _window_means(inputs: Tensor) -> Tensor:
    """Sum over the 3x3 window, then division by the pixels it holds."""
    ones, shares = _window(inputs.shape[1], inputs.shape[2], inputs.shape[3], inputs.dtype)
    return F.conv2d(inputs, ones, padding=1, groups=inputs.shape[1]).mul_(shares)


class _AveragePool(torch.autograd.Function):
    """The window sum is its own transpose."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor) -> Tensor:
        return _window_means(inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        ones, shares = _window(gradient.shape[1], gradient.shape[2], gradient.shape[3], gradient.dtype)
        return F.conv2d(gradient * shares, ones, padding=1, groups=gradient.shape[1])


@lru_cache(maxsize=64)
def _window(channels: int, height: int, width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The depthwise kernel of ones, and 1 / (pixels in the window) of every place."""
    with torch.inference_mode(False):
        inside = torch.ones(1, 1, height, width, dtype=torch.float64)
        count = F.avg_pool2d(inside, 3, stride=1, padding=1, divisor_override=1)
        return torch.ones(channels, 1, 3, 3, dtype=dtype), (1 / count).to(dtype)


# Partial channels ------------------------------------------------------------------------------------------------


def channels_through(channels: int, one_in: int) -> int:
    """How many channels pass through the operations if one in so many does (PC-DARTS).

    Raises:
        ArgumentError: the channels cannot be divided so.
    """
    if channels % one_in or channels < one_in:
        raise ArgumentError(
            "partial_channels", f"expected a divisor of the supernet's {channels} channels, got {one_in}"
        )
    return channels // one_in


def shuffled(maps: Tensor, groups: int) -> Tensor:
    """The channels [batch, groups · n, H, W] in the order in which every group comes round in turn."""
    return maps.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)
