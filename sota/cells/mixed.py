"""The candidate operations of S1–S5 as a supernet's cell computes them: the same operation of many edges as one.

The modules of :mod:`sota.operations` hold the parameters; the functions here give the same numbers, stacked. They
take what edges that leave one node share: its ReLU, which has no parameters. The mixing weights are the scales of
the last batch norms.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from darts_pt.kernels.bank import Statistics, is_wanted
from darts_pt.kernels.pooling import averaged
from sota.cells.plan import Group
from sota.operations import rectified_halves

STACKED_UP_TO = 65_536
"""Values in a map up to which the convolutions of several edges are faster as one: calls are dear there, copies cheap."""

PIECEWISE_FROM = 200_000
"""Values in a map from which the weight gradient of a 5x5 depthwise convolution is faster in four pieces."""


class Rectified:
    """A node after its ReLU, and its channels once and again for edges that read them together.

    Attributes:
        maps: [batch, C, H, W], channels-last.
    """

    def __init__(self, node: Tensor) -> None:
        self.maps = torch.relu(node)
        self._repeated = {1: self.maps}

    def repeated(self, count: int) -> Tensor:
        """[batch, count · C, H, W]."""
        if count not in self._repeated:
            self._repeated[count] = torch.cat([self.maps] * count, dim=1)
        return self._repeated[count]


def pooled(node: Tensor, name: str, stride: int) -> Tensor:
    """The node after `max_pool_3x3` or `avg_pool_3x3`."""
    if name == "max_pool_3x3":
        pixels = node.numel() // node.shape[1]
        by_rows = stride == 1 and node.device.type == "cpu" and pixels > 1024 and node.numel() < 500_000
        by_rows = by_rows and not torch.is_grad_enabled()
        return _maxima(node) if by_rows else F.max_pool2d(node, 3, stride, padding=1)
    if stride == 1:
        return averaged(node)
    return F.avg_pool2d(node, 3, stride, padding=1, count_include_pad=False)


def _maxima(node: Tensor) -> Tensor:
    """3x3 maxima, rows first: where no gradient is wanted and maps are small, faster than torch's pooling."""
    maps = F.pad(node.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1), value=-torch.inf)
    for dim in (1, 2):
        first, second, third = (maps.narrow(dim, shift, maps.shape[dim] - 2) for shift in range(3))
        maps = torch.maximum(torch.maximum(first, second), third)
    return maps.permute(0, 3, 1, 2)


def convolved(
    group: Group, kernels: Sequence[Tensor], rectified: Rectified, stride: int, statistics: Statistics, scale: Tensor
) -> Tensor:
    """[batch, n · C, H', W']: one separable or dilated convolution on each edge of the group, stacked.

    Args:
        kernels: of every convolution in turn, those of all edges, flat.
        scale: [n · C] of the last batch norm.
    """
    size, count = int(group.name[-1]), len(group.places)
    dilated = group.name.startswith("dil_")
    hidden = depthwise(rectified.repeated(count), kernels[0].view(-1, 1, size, size), stride, 2 if dilated else 1)
    hidden = _pointwise(hidden, kernels[1], count)
    if dilated:
        return statistics.normalise(hidden, scale, group.norms[0])
    # The batch norm keeps its input for the backward pass, not its output.
    hidden = statistics.normalise(hidden, None, group.norms[0]).relu_()
    hidden = depthwise(hidden, kernels[2].view(-1, 1, size, size), 1, 1)
    return statistics.normalise(_pointwise(hidden, kernels[3], count), scale, group.norms[1])


def _pointwise(inputs: Tensor, kernels: Tensor, count: int) -> Tensor:
    """1x1 convolutions of as many groups of C channels, each of its own; `kernels` [count · C · C]."""
    if not torch.is_grad_enabled():
        return _product(inputs, _matrix(kernels.to(inputs.dtype), inputs.shape[1] // count, count))
    return _Pointwise.apply(inputs, kernels, count)  # type: ignore[return-value]


def _product(inputs: Tensor, matrix: Tensor) -> Tensor:
    """[batch, n, H, W] of a matrix [n, channels] times every pixel."""
    batch, channels, height, width = inputs.shape
    rows = inputs.permute(0, 2, 3, 1).reshape(-1, channels) @ matrix.t()
    return rows.view(batch, height, width, -1).permute(0, 3, 1, 2)


def _matrix(kernels: Tensor, channels: int, count: int) -> Tensor:
    """The kernels on the diagonal of one matrix: for few channels faster than one product for each."""
    if count == 1:
        return kernels.view(channels, channels)
    blocks = kernels.view(count, channels, 1, channels) * _diagonal(count, kernels.dtype, kernels.device)
    return blocks.view(count * channels, count * channels)


class _Pointwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, kernels: Tensor, count: int) -> Tensor:
        matrix = _matrix(kernels.to(inputs.dtype), inputs.shape[1] // count, count)
        ctx.save_for_backward(inputs, matrix)
        ctx.count, ctx.dtype = count, kernels.dtype
        return _product(inputs, matrix)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        inputs, matrix = ctx.saved_tensors
        by_inputs = _product(gradient, matrix.t())
        by_kernels = None
        if is_wanted(ctx, 1):
            rows = gradient.permute(0, 2, 3, 1).reshape(-1, len(matrix))
            product = rows.t() @ inputs.permute(0, 2, 3, 1).reshape(-1, len(matrix))
            blocks = product.view(ctx.count, len(matrix) // ctx.count, ctx.count, -1).diagonal(dim1=0, dim2=2)
            by_kernels = blocks.permute(2, 0, 1).reshape(-1).to(ctx.dtype)
        return by_inputs, by_kernels, None


@lru_cache(maxsize=64)
def _diagonal(count: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """[count, 1, count, 1]: 1 where a kernel meets its own part of the inputs, 0 elsewhere."""
    with torch.inference_mode(False):
        return torch.eye(count, dtype=dtype, device=device).view(count, 1, count, 1)


def reduced(group: Group, kernels: Sequence[Tensor], rectified: Tensor) -> Tensor:
    """The two 1x1 convolutions of stride 2 on each edge of the group, stacked edge by edge; without their batch norms.

    Args:
        kernels: of either convolution those of all edges, flat.
    """
    halves = [
        _product(inputs, own.view(-1, inputs.shape[1]).to(inputs.dtype)).unflatten(1, (len(group.places), -1))
        for inputs, own in zip(rectified_halves(rectified), kernels, strict=True)
    ]
    return torch.cat(halves, dim=2).flatten(1, 2).contiguous(memory_format=torch.channels_last)


def depthwise(inputs: Tensor, kernel: Tensor, stride: int, dilation: int) -> Tensor:
    """Depthwise convolution with kernels [C, 1, k, k]; with a faster backward pass on the CPU at stride 1."""
    if stride == dilation == 2:  # Only even rows and columns are read.
        inputs, stride, dilation = inputs[:, :, ::2, ::2], 1, 1
    kernel = _within(kernel, (max(inputs.shape[2:]) - 1) // dilation).to(inputs.dtype)
    if kernel.shape[2] == 1 and stride == 1:
        return inputs * kernel.view(1, -1, 1, 1)
    if inputs.device.type == "cpu" and stride == 1 and torch.is_grad_enabled():
        return _Depthwise.apply(inputs, kernel, dilation)  # type: ignore[return-value]
    return _depthwise(inputs, kernel, dilation, stride)


def _within(kernel: Tensor, reach: int) -> Tensor:
    """The kernel without the rows and columns further than `reach` from its middle: on a small map they meet padding only.

    oneDNN takes twenty times longer where they do.
    """
    surplus = (kernel.shape[2] - 1) // 2 - reach
    return kernel[:, :, surplus:-surplus, surplus:-surplus] if surplus > 0 else kernel


class _Depthwise(torch.autograd.Function):
    """Stride 1, odd kernel, same size. oneDNN's backward passes are up to twenty times slower than its forward pass for
    dilated and for 5x5 kernels (docs/performance.md), so they are put into forward passes and 3x3 kernels here.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, kernel: Tensor, dilation: int) -> Tensor:
        ctx.save_for_backward(inputs, kernel)
        ctx.dilation = dilation
        return _depthwise(inputs, kernel, dilation)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # type: ignore[override]
        inputs, kernel = ctx.saved_tensors
        by_kernel = None
        by_inputs = _depthwise(gradient, kernel.flip(2, 3), ctx.dilation)
        if is_wanted(ctx, 1):
            by_kernel = _kernel_gradient(inputs, gradient, kernel, ctx.dilation)
        return by_inputs, by_kernel, None


def _depthwise(inputs: Tensor, kernel: Tensor, dilation: int, stride: int = 1) -> Tensor:
    padding = dilation * (kernel.shape[2] - 1) // 2
    return F.conv2d(inputs, kernel, None, stride, padding, dilation, inputs.shape[1])


def _kernel_gradient(inputs: Tensor, gradient: Tensor, kernel: Tensor, dilation: int) -> Tensor:
    """The gradient by the kernel, [C, 1, k, k]."""
    height, width = inputs.shape[2:]
    if dilation == 2 and height % 2 == 0 and width % 2 == 0:
        inputs, gradient, dilation = _phases(inputs), _phases(gradient), 1
        height, width = height // 2, width // 2
    size = kernel.shape[2]
    padding = dilation * (size - 1) // 2
    if dilation > 1 or size != 5 or inputs.numel() < PIECEWISE_FROM:
        return _convolution_kernel_gradient(inputs, gradient, kernel, padding, dilation)
    # Four 3x3 corners of the 5x5 kernel, which overlap in its middle row and column.
    padded = F.pad(inputs, (2, 2, 2, 2))
    result = torch.empty_like(kernel)
    for row in (0, 2):
        for column in (0, 2):
            window = padded[:, :, row : row + height + 2, column : column + width + 2]
            corner = kernel[:, :, row : row + 3, column : column + 3]
            result[:, :, row : row + 3, column : column + 3] = _convolution_kernel_gradient(
                window, gradient, corner, 0, 1
            )
    return result


def _convolution_kernel_gradient(
    inputs: Tensor, gradient: Tensor, kernel: Tensor, padding: int, dilation: int
) -> Tensor:
    return torch.ops.aten.convolution_backward(
        gradient, inputs, kernel, None, [1, 1], [padding] * 2, [dilation] * 2, False, [0, 0], inputs.shape[1],
        [False, True, False],
    )[1]  # fmt: skip


def _phases(maps: Tensor) -> Tensor:
    """[B, C, H, W] -> [4 · B, C, H/2, W/2]: the pixels of even and odd rows and columns apart, which a kernel of dilation 2
    never mixes."""
    batch, channels, height, width = maps.shape
    pixels = maps.permute(0, 2, 3, 1).reshape(batch, height // 2, 2, width // 2, 2, channels)
    return pixels.permute(2, 4, 0, 1, 3, 5).reshape(4 * batch, height // 2, width // 2, channels).permute(0, 3, 1, 2)
