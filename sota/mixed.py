"""The candidate operations of S1–S5 as a supernet's cell computes them: what edges share once, mixing weights for free.

The modules of :mod:`sota.operations` hold the parameters; the functions here give the same numbers. Edges that leave one
node share its ReLU and its poolings: these have no parameters, and neither has the batch norm behind a pooling. The
last batch norm of a convolution has the mixing weight as its scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from darts_pt.mixed import BatchNorm2d, average_pool, pointwise, shared_batch_norm
from sota.operations import DilConv, SepConv

PIECEWISE_FROM = 200_000
"""Values in a map from which the weight gradient of a 5x5 depthwise convolution is faster in four pieces."""


class Source:
    """A node that edges leave, and what they share of it, computed when it is first asked for.

    Args:
        node: [batch, C, H, W], channels-last.
        stride: of all edges that leave the node.
    """

    def __init__(self, node: Tensor, stride: int) -> None:
        self.node = node
        self.stride = stride
        self._rectified: Tensor | None = None
        self._pooled: dict[str, Tensor] = {}
        self._normalised: dict[str, Tensor] = {}

    def rectified(self) -> Tensor:
        """The node after its ReLU."""
        if self._rectified is None:
            self._rectified = torch.relu(self.node)
        return self._rectified

    def pooled(self, name: str) -> Tensor:
        """The node after `max_pool_3x3` or `avg_pool_3x3`."""
        if name not in self._pooled:
            if name == "max_pool_3x3":
                self._pooled[name] = F.max_pool2d(self.node, 3, self.stride, padding=1)
            elif self.stride == 1:
                self._pooled[name] = average_pool(self.node)
            else:
                self._pooled[name] = F.avg_pool2d(self.node, 3, self.stride, padding=1, count_include_pad=False)
        return self._pooled[name]

    def normalised(self, name: str, norms: Sequence[BatchNorm2d]) -> Tensor:
        """The pooled node after the batch norm of train mode, the same for all edges; `norms` are those of all edges."""
        if name not in self._normalised:
            self._normalised[name] = shared_batch_norm(self.pooled(name), norms)
        return self._normalised[name]


def convolved(module: SepConv | DilConv, rectified: Tensor, weight: Tensor) -> Tensor:
    """`weight` times the module's output for an input that has passed its ReLU.

    Args:
        rectified: [batch, C, H, W], channels-last.
        weight: a scalar tensor.
    """
    layers: Any = module.op
    hidden = pointwise(depthwise(rectified, layers[1]), [layers[2].weight])
    if isinstance(module, DilConv):
        return layers[3].scaled(hidden, weight)
    hidden = layers[3](hidden).relu_()  # The batch norm keeps its input for the backward pass, not its output.
    return layers[7].scaled(pointwise(depthwise(hidden, layers[5]), [layers[6].weight]), weight)


def depthwise(inputs: Tensor, convolution: nn.Conv2d) -> Tensor:
    """The depthwise convolution, with a faster backward pass on the CPU at stride 1."""
    if inputs.device.type != "cpu" or convolution.stride != (1, 1):
        return convolution(inputs)
    return _Depthwise.apply(inputs, convolution.weight, convolution.dilation[0])  # type: ignore[return-value]


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
        by_inputs = by_kernel = None
        if ctx.needs_input_grad[0]:
            by_inputs = _depthwise(gradient, kernel.flip(2, 3), ctx.dilation)
        if ctx.needs_input_grad[1]:
            by_kernel = _kernel_gradient(inputs, gradient, kernel, ctx.dilation)
        return by_inputs, by_kernel, None


def _depthwise(inputs: Tensor, kernel: Tensor, dilation: int) -> Tensor:
    padding = dilation * (kernel.shape[2] - 1) // 2
    return F.conv2d(inputs, kernel, padding=padding, dilation=dilation, groups=inputs.shape[1])


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
