"""3x3 windows: average pooling of stride 1 that does not count the padding, forwards and backwards, and convolution on
tiny maps; maps are [batch, H, W, C] where nothing else is said.

On the CPU torch's pooling is slow. Small maps are multiplied there by a matrix [pixels, pixels]. Larger ones go through a
depthwise convolution with ones, divided by the number of pixels in each window; that division is left to whoever multiplies
the result by a mixing weight anyway. The window sum is its own transpose.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

SMALL_MAP, FEW_VALUES = 64, 65_536
"""Pixels of a map and values of all maps up to which a matrix product is faster than a convolution."""

TINY_MAP = 16
"""Pixels of a map up to which copying every window is faster on the CPU than oneDNN's convolution."""

aten = torch.ops.aten


def average_pool(maps: Tensor) -> tuple[Tensor, Tensor | None]:
    """(sums, shares [H, W, C] or None for 1): the averages are sums · shares."""
    if maps.device.type != "cpu":
        return F.avg_pool2d(maps.permute(0, 3, 1, 2), 3, 1, 1, count_include_pad=False).permute(0, 2, 3, 1), None
    if _is_small(maps):
        return _product(_averaging(maps.shape[1], maps.shape[2], maps.dtype), maps), None
    kernel, shares = _window(*maps.shape[1:], maps.dtype)
    return _window_sums(maps, kernel), shares


def averaged(maps: Tensor) -> Tensor:
    """The averages, [batch, C, H, W] of maps of that shape; differentiable."""
    return _Averaged.apply(maps) if torch.is_grad_enabled() else _averages(maps)  # type: ignore[return-value]


def _averages(maps: Tensor) -> Tensor:
    sums, shares = average_pool(maps.permute(0, 2, 3, 1))
    return (sums if shares is None else sums.mul_(shares)).permute(0, 3, 1, 2)


class _Averaged(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        return _averages(maps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return average_pool_backward(gradient.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def average_pool_backward(gradient: Tensor) -> Tensor:
    """The gradient by the maps, given that by the averages."""
    if gradient.device.type != "cpu":
        by_averages = gradient.permute(0, 3, 1, 2)
        by_maps = aten.avg_pool2d_backward(by_averages, by_averages, [3, 3], [1, 1], [1, 1], False, False, None)
        return by_maps.permute(0, 2, 3, 1)
    if _is_small(gradient):
        return _product(_averaging(gradient.shape[1], gradient.shape[2], gradient.dtype).t(), gradient)
    kernel, shares = _window(*gradient.shape[1:], gradient.dtype)
    return _window_sums(gradient * shares, kernel)


def convolution(maps: Tensor, kernel: Tensor) -> Tensor:
    """A convolution with kernels [n, C, 3, 3] and padding 1 of channels-last maps, both [batch, channels, H, W]; without
    gradient."""
    batch, channels, height, width = maps.shape
    if maps.device.type != "cpu" or height * width > TINY_MAP:
        return torch.conv2d(maps, kernel, padding=1)
    rows = maps.permute(0, 2, 3, 1).flatten(1, 2)
    padded = torch.cat([rows, maps.new_zeros(batch, 1, channels)], dim=1)
    windows = padded.index_select(1, _windows(height, width)).view(-1, 9 * channels)
    convolved = windows @ kernel.permute(2, 3, 1, 0).reshape(9 * channels, -1)
    return convolved.view(batch, height, width, -1).permute(0, 3, 1, 2)


@lru_cache(maxsize=64)
def _windows(height: int, width: int) -> Tensor:
    """[pixels · 9]: the pixels in the window around each; beyond the map the pixel after the last."""
    with torch.inference_mode(False):
        numbers = torch.arange(height * width).view(height, width)
        around = F.pad(numbers, (1, 1, 1, 1), value=height * width)
        return around.unfold(0, 3, 1).unfold(1, 3, 1).flatten()


def _is_small(maps: Tensor) -> bool:
    return maps.shape[1] * maps.shape[2] <= SMALL_MAP and maps.numel() <= FEW_VALUES


def _product(matrix: Tensor, maps: Tensor) -> Tensor:
    return torch.bmm(matrix.expand(len(maps), -1, -1), maps.flatten(1, 2)).view(maps.shape)


@lru_cache(maxsize=64)
def _averaging(height: int, width: int, dtype: torch.dtype) -> Tensor:
    """The pooling as a matrix [pixels, pixels]."""
    with torch.inference_mode(False):
        pixels = torch.eye(height * width, dtype=torch.float64).view(-1, 1, height, width)
        averages = F.avg_pool2d(pixels, 3, stride=1, padding=1, count_include_pad=False)
        return averages.flatten(1).t().to(dtype).contiguous()


def _window_sums(maps: Tensor, kernel: Tensor) -> Tensor:
    return F.conv2d(maps.permute(0, 3, 1, 2), kernel, padding=1, groups=maps.shape[3]).permute(0, 2, 3, 1)


@lru_cache(maxsize=64)
def _window(height: int, width: int, channels: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The depthwise kernel of ones, and 1 / (pixels in the window) of every place; for every channel, since the CPU is
    slow at multiplying a few channels by one number."""
    with torch.inference_mode(False):
        inside = torch.ones(1, 1, height, width, dtype=torch.float64)
        count = F.avg_pool2d(inside, 3, stride=1, padding=1, divisor_override=1)
        shares = (1 / count[0, 0, :, :, None]).to(dtype).repeat(1, 1, channels)
        return torch.ones(channels, 1, 3, 3, dtype=dtype), shares
