"""The candidate operations of S1–S5 as a supernet's cell computes them: the same operation of many edges as one.

The modules of :mod:`sota.operations` hold the parameters; the functions here give the same numbers, stacked. They
take what edges that leave one node share: its ReLU, which has no parameters. The last batch norm of a convolution is
left to the node's sum, for which the mixing weight is its scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from darts_pt.kernels.mixed import FEW_PIXELS, LARGE, BatchNorm2d, average_pool, pointwise, stacked_batch_norm
from sota.operations import DilConv, FactorizedReduce, SepConv

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
        plain = node.numel() >= LARGE or node.numel() // node.shape[1] <= FEW_PIXELS
        if plain or torch.is_grad_enabled() or node.device.type != "cpu":
            return F.max_pool2d(node, 3, stride, padding=1)
        return _maxima(node, stride)
    if stride == 1:
        return average_pool(node)
    return F.avg_pool2d(node, 3, stride, padding=1, count_include_pad=False)


def _maxima(node: Tensor, stride: int) -> Tensor:
    """3x3 maxima, rows first: where no gradient is wanted and maps are small, faster than torch's pooling."""
    maps = F.pad(node.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1), value=-torch.inf)
    for dim in (1, 2):
        first, second, third = (maps.narrow(dim, shift, maps.shape[dim] - 2) for shift in range(3))
        maps = torch.maximum(torch.maximum(first, second), third)
    return maps[:, ::stride, ::stride].contiguous().permute(0, 3, 1, 2)


def convolved(modules: Sequence[Any], rectified: Rectified) -> tuple[Tensor, list[BatchNorm2d]]:
    """What modules of one kind compute from one node, but for their last batch norms.

    Args:
        modules: SepConv, DilConv or FactorizedReduce, with equal kernels and strides.

    Returns:
        their maps, stacked [batch, n · C, H', W'], and the batch norms that are left to do.
    """
    if isinstance(modules[0], FactorizedReduce):
        return _reduced(modules, rectified.maps), [module.bn for module in modules]
    layers = [list(module.op) for module in modules]
    hidden = _stacked_depthwise(rectified.repeated(len(modules)), layers, 1)
    hidden = _stacked_pointwise(hidden, layers, 2)
    if isinstance(modules[0], DilConv):
        return hidden, [layer[3] for layer in layers]
    assert isinstance(modules[0], SepConv)
    # The batch norm keeps its input for the backward pass, not its output.
    hidden = stacked_batch_norm(hidden, [layer[3] for layer in layers], None).relu_()
    last = _stacked_depthwise(hidden, layers, 5)
    del hidden
    return _stacked_pointwise(last, layers, 6), [layer[7] for layer in layers]


def _stacked_pointwise(inputs: Tensor, layers: Sequence[Any], position: int) -> Tensor:
    """The 1x1 convolutions at one position of all modules, each of its own part of the stacked inputs; stacked."""
    kernels = [layer[position].weight for layer in layers]
    if len(kernels) == 1:
        return pointwise(inputs, kernels)
    # As one matrix with the kernels on its diagonal: for few channels faster than one product for each.
    count, (outputs, channels) = len(kernels), kernels[0].shape[:2]
    rows = torch.cat(kernels).view(count, outputs, 1, channels)
    matrix = (rows * _diagonal(count, rows.dtype, rows.device)).view(count * outputs, count * channels)
    return F.linear(inputs.permute(0, 2, 3, 1), matrix).permute(0, 3, 1, 2)


@lru_cache(maxsize=64)
def _diagonal(count: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """[count, 1, count, 1]: 1 where a kernel meets its own part of the inputs, 0 elsewhere."""
    with torch.inference_mode(False):
        return torch.eye(count, dtype=dtype, device=device).view(count, 1, count, 1)


def _reduced(modules: Sequence[FactorizedReduce], rectified: Tensor) -> Tensor:
    """The two convolutions of every module, stacked module by module."""
    halves = [
        pointwise(inputs[:, :, ::2, ::2], kernels).permute(0, 2, 3, 1).unflatten(-1, (len(modules), -1))
        for inputs, kernels in (
            (rectified, [module.conv_1.weight for module in modules]),
            (FactorizedReduce.shifted(rectified), [module.conv_2.weight for module in modules]),
        )
    ]
    return torch.cat(halves, dim=-1).flatten(-2).permute(0, 3, 1, 2)


def _stacked_depthwise(inputs: Tensor, layers: Sequence[Any], position: int) -> Tensor:
    """The depthwise convolutions at one position of all modules, likewise."""
    convolution = layers[0][position]
    return depthwise(
        inputs, [layer[position].weight for layer in layers], convolution.stride[0], convolution.dilation[0]
    )


def depthwise(inputs: Tensor, kernels: Sequence[Tensor], stride: int, dilation: int) -> Tensor:
    """Depthwise convolutions with kernels [C, 1, k, k] of as many groups of C channels; with a faster backward pass on
    the CPU at stride 1."""
    kernel = kernels[0] if len(kernels) == 1 else torch.cat(list(kernels))
    kernel = _within(kernel, (max(inputs.shape[2:]) - 1) // dilation)
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
        inputs, gradient = inputs.to(kernel.dtype), gradient.to(kernel.dtype)  # Autocast is for the forward pass.
        by_inputs = by_kernel = None
        if ctx.needs_input_grad[0]:
            by_inputs = _depthwise(gradient, kernel.flip(2, 3), ctx.dilation)
        if ctx.needs_input_grad[1]:
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
