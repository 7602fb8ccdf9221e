"""The NAS-Bench-201 supernet as a user of the library writes it, from the paper's description and torch's own layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from darts_pt import MixedOperation

EDGES = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))


class Zero(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


def conv(c_in: int, c_out: int, size: int, stride: int = 1, affine: bool = True) -> nn.Sequential:
    layers = nn.Conv2d(c_in, c_out, size, stride, size // 2, bias=False), nn.BatchNorm2d(c_out, affine=affine)
    return nn.Sequential(nn.ReLU(), *layers)


def candidates(channels: int) -> dict[str, nn.Module]:
    return {
        "none": Zero(), "skip_connect": nn.Identity(),
        "nor_conv_1x1": conv(channels, channels, 1, affine=False),
        "nor_conv_3x3": conv(channels, channels, 3, affine=False),
        "avg_pool_3x3": nn.AvgPool2d(3, 1, 1, count_include_pad=False),
    }  # fmt: skip


class Cell(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.edges = nn.ModuleList(
            MixedOperation(candidates(channels), name=f"{target}<-{source}") for target, source in EDGES
        )

    def forward(self, x: Tensor) -> Tensor:
        nodes = [x, 0.0, 0.0, 0.0]
        for (target, source), edge in zip(EDGES, self.edges, strict=True):
            nodes[target] = nodes[target] + edge(nodes[source])
        return nodes[3]  # type: ignore[return-value]


class Residual(nn.Module):
    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(conv(c_in, c_out, 3, stride=2), conv(c_out, c_out, 3))
        self.shortcut = nn.Sequential(nn.AvgPool2d(2, 2), nn.Conv2d(c_in, c_out, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.convs(x)


def nasbench201(channels: int, cells: int, classes: int) -> nn.Sequential:
    stem = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
    c, stages = channels, [[Cell(channels * 2**stage) for _ in range(cells)] for stage in range(3)]
    blocks = [*stages[0], Residual(c, 2 * c), *stages[1], Residual(2 * c, 4 * c), *stages[2]]
    end = [nn.BatchNorm2d(4 * c), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * c, classes)]
    return nn.Sequential(stem, *blocks, *end)
