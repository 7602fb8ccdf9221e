"""The candidate operations of S1–S5 as modules, named as in the original's checkpoints.

They compute what they say and are used as they are by the derived networks; the supernet holds the same modules for
their parameters, and computes many of them at once (:mod:`sota.cells.mixed`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from darts_pt.kernels.mixed import BatchNorm2d
from darts_pt.run.processes import Share

OPERATIONS = (
    "none",
    "skip_connect",
    "max_pool_3x3",
    "avg_pool_3x3",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
    "noise",
    "sep_conv_7x7",
    "conv_7x1_1x7",
)
"""Every operation there is; S1–S5 use all but the last two (`sota.spaces`)."""


def _kernel_size(name: str) -> int:
    return int(name[-1])


def _stage(c_in: int, c_out: int, kernel_size: int, stride: int, dilation: int, affine: bool) -> list[nn.Module]:
    """ReLU, depthwise convolution, pointwise convolution, batch norm."""
    padding = dilation * (kernel_size - 1) // 2
    return [
        nn.ReLU(),
        nn.Conv2d(c_in, c_in, kernel_size, stride, padding, dilation, groups=c_in, bias=False),
        nn.Conv2d(c_in, c_out, 1, bias=False),
        BatchNorm2d(c_out, affine=affine),
    ]


class ReLUConvBN(nn.Module):
    """ReLU, 1x1 convolution, batch norm: brings a cell's input [batch, C_in, H, W] to the cell's C_out channels."""

    def __init__(self, c_in: int, c_out: int, affine: bool) -> None:
        super().__init__()
        self.op = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(c_in, c_out, 1, bias=False),
            BatchNorm2d(c_out, affine=affine),
        )

    def forward(self, inputs: Tensor, is_rectified: bool = False) -> Tensor:
        """The cell's input [batch, C_out, H, W]; inputs that come out of a ReLU (`is_rectified`) get no other."""
        relu, convolution, norm = self.op
        return norm(convolution(inputs if is_rectified else relu(inputs)))


class FactorizedReduce(nn.Module):
    """[batch, C_in, H, W] -> [batch, C_out, ceil(H/2), ceil(W/2)]: two 1x1 convolutions of stride 2, one pixel apart."""

    def __init__(self, c_in: int, c_out: int, affine: bool) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(c_in, c_out // 2, 1, bias=False)
        self.conv_2 = nn.Conv2d(c_in, c_out - c_out // 2, 1, bias=False)
        self.bn = BatchNorm2d(c_out, affine=affine)

    def forward(self, inputs: Tensor, is_rectified: bool = False) -> Tensor:
        """As :meth:`ReLUConvBN.forward`; a ReLU more on half of the pixels costs little."""
        first, second = rectified_halves(inputs)
        return self.bn(torch.cat([self.conv_1(first), self.conv_2(second)], dim=1))


def rectified_halves(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """What the convolutions of :class:`FactorizedReduce` read: after a ReLU, the pixels of even rows and columns, and those
    of odd ones.

    A map of odd size has one odd row or column less; the original fails there, here it is padded by 0.
    """
    if torch.is_grad_enabled():
        return _RectifiedHalves.apply(inputs)  # type: ignore[return-value]
    height, width = inputs.shape[2:]
    second = torch.relu(inputs[:, :, 1::2, 1::2])
    if height % 2 or width % 2:  # Padding by nothing would copy.
        second = nn.functional.pad(second, (0, width % 2, 0, height % 2))
    return torch.relu(inputs[:, :, ::2, ::2]), second


class _RectifiedHalves(torch.autograd.Function):
    """With a backward pass that writes both gradients into one map; autograd's own makes six."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor) -> tuple[Tensor, Tensor]:
        ctx.shape = inputs.shape
        halves = rectified_halves(inputs)
        ctx.save_for_backward(*halves)
        return halves

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # type: ignore[override]
        like, layout = gradients[0], torch.channels_last
        found = torch.empty(ctx.shape, dtype=like.dtype, device=like.device, memory_format=layout).zero_()
        for start, half, gradient in zip((0, 1), ctx.saved_tensors, gradients, strict=True):
            pixels = found[:, :, start::2, start::2]
            rows, columns = (slice(size) for size in pixels.shape[2:])
            torch.ops.aten.threshold_backward.grad_input(
                gradient[:, :, rows, columns], half[:, :, rows, columns], 0, grad_input=pixels
            )
        return found


class SepConv(nn.Module):
    """ReLU, depthwise convolution, pointwise convolution, batch norm; twice, the stride in the first."""

    def __init__(self, channels: int, kernel_size: int, stride: int, affine: bool) -> None:
        super().__init__()
        first = _stage(channels, channels, kernel_size, stride, dilation=1, affine=affine)
        second = _stage(channels, channels, kernel_size, stride=1, dilation=1, affine=affine)
        self.op = nn.Sequential(*first, *second)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.op(inputs)


class DilConv(nn.Module):
    """ReLU, depthwise convolution of dilation 2, pointwise convolution, batch norm."""

    def __init__(self, channels: int, kernel_size: int, stride: int, affine: bool) -> None:
        super().__init__()
        self.op = nn.Sequential(*_stage(channels, channels, kernel_size, stride, dilation=2, affine=affine))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.op(inputs)


class Zero(nn.Module):
    """The operation none: zeros of the output's shape."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.zeros_like(inputs[:, :, :: self.stride, :: self.stride])


class Noise(nn.Module):
    """N(0, 1) of the output's shape, drawn at each call; the input has no influence (S4).

    The numbers come from `generator`, which whoever runs the network sets; it must be on the input's device. With a
    `share`, the input is a part of a batch, and it is drawn for all of it.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.generator: torch.Generator | None = None
        self.share: Share | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        output = torch.empty_like(inputs[:, :, :: self.stride, :: self.stride])
        # Numbers are drawn in the order of the shape, so that they do not depend on how the map lies in memory.
        if self.share is None:
            return output.copy_(self.draw(output, len(output)))
        return output.copy_(self.draw(output, self.share.total)[self.share.place])

    def draw(self, like: Tensor, batch: int) -> Tensor:
        """The next numbers [batch, C, H, W], for maps like `like`."""
        if self.generator is None:
            raise RuntimeError(
                "the operation noise needs random numbers: set a supernet's noise_generator, or call a network's draw_from"
            )
        return like.new_empty((batch, *like.shape[1:])).normal_(generator=self.generator)


def pooling(name: str, stride: int) -> nn.Module:
    """`max_pool_3x3` or `avg_pool_3x3`: padding 1, the average without counting the padding."""
    if name == "max_pool_3x3":
        return nn.MaxPool2d(3, stride, padding=1)
    return nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)


def operation(name: str, channels: int, stride: int, affine: bool, normalised_pooling: bool = False) -> nn.Module:
    """The module of one operation: [batch, channels, H, W] -> [batch, channels, H/stride, W/stride].

    Args:
        affine: whether batch norms have a scale and a shift: in derived networks, not in the supernet.
        normalised_pooling: whether a batch norm that is not affine follows the poolings: in the supernet only.
    """
    if name == "none":
        return Zero(stride)
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, affine)
    if name == "noise":
        return Noise(stride)
    if name.endswith("_pool_3x3"):
        pool = pooling(name, stride)
        return nn.Sequential(pool, BatchNorm2d(channels, affine=False)) if normalised_pooling else pool
    if name.startswith("sep_conv_"):
        return SepConv(channels, _kernel_size(name), stride, affine)
    if name.startswith("dil_conv_"):
        return DilConv(channels, _kernel_size(name), stride, affine)
    if name == "conv_7x1_1x7":
        return nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels, (1, 7), (1, stride), padding=(0, 3), bias=False),
            nn.Conv2d(channels, channels, (7, 1), (stride, 1), padding=(3, 0), bias=False),
            BatchNorm2d(channels, affine=affine),
        )
    raise ValueError(f"unknown operation {name!r}")
