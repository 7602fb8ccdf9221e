"""A pass through a cell of S1–S5 that scores: without gradients, by batch statistics, on small maps, in few kernels.

All separable convolutions that leave a node are one there, and so are all dilated ones: 3x3 kernels lie in the middle of
5x5 ones, and 1x1 convolutions are blocks of one matrix. One gather per node puts all kernels into these places. The mixing
weights are a matrix too: it brings what a node sends to the later nodes, which lie side by side in the cell's output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from darts_pt.kernels.bank import Statistics
from sota.cells.mixed import pooled
from sota.cells.plan import Place
from sota.cells.scoring_plan import Family, ScoringPlan
from sota.operations import rectified_halves
from sota.spaces import INPUTS, NODES

MOST_CHANNELS = 16
"""Channels up to which it is faster: the blocks of a matrix are surrounded by zeros, which cost more with every channel."""


def scores(maps: Tensor, channels: int, statistics: Statistics) -> bool:
    """Whether a pass on such maps is one that :func:`scored` can make, and makes faster."""
    is_frozen = statistics.training and statistics.mean is None
    plain = not torch.is_grad_enabled() and not torch.is_autocast_enabled(maps.device.type)
    return is_frozen and plain and channels <= MOST_CHANNELS


def scored(
    inputs: Sequence[Callable[[], Tensor]],
    work: ScoringPlan,
    gathered: Callable[[Tensor], Tensor],
    weights: Tensor,
    stride: int,
    statistics: Statistics,
    noise: Callable[[Place, Tensor], Tensor],
) -> Tensor:
    """The cell's nodes [batch, nodes · C, H, W].

    Args:
        inputs: make the two input nodes.
        gathered: the elements of the kernels at these places of the cell's bank.
        weights: the plan's matrix.
        stride: of the edges that leave the input nodes.
        noise: what the operation noise at a place gives for a node.
    """
    channels = work.spread.shape[1]
    node = inputs[0]()
    batch, _, height, width = node.shape
    output = node.new_zeros(batch, -(-height // stride), -(-width // stride), NODES * channels)
    for source, (families, places, sizes) in enumerate(work.sources):
        first = max(0, source - INPUTS + 1)  # A node sends nothing back.
        if source >= INPUTS:
            node = output[..., (first - 1) * channels : first * channels].permute(0, 3, 1, 2)
        elif source > 0:
            node = inputs[source]()
        rectified = torch.relu(node) if sizes else node
        parts = iter(gathered(places).split(sizes) if sizes else ())
        for family in families:
            own = [next(parts).view(shape) for shape in family.kernels]
            maps = _maps(family, own, node, rectified, stride if source < INPUTS else 1, statistics, noise)
            ends = slice(first * channels, None)
            output.view(-1, NODES * channels)[:, ends].addmm_(
                maps.reshape(-1, maps.shape[3]), weights[family.rows, ends]
            )
            del maps, own
        del parts
    return output.permute(0, 3, 1, 2)


def _maps(
    family: Family,
    kernels: Sequence[Tensor],
    node: Tensor,
    rectified: Tensor,
    stride: int,
    statistics: Statistics,
    noise: Callable[[Place, Tensor], Tensor],
) -> Tensor:
    """A family's maps [batch, H, W, n · C], normalised but not weighted."""
    if family.kind == "skip":
        return node.permute(0, 2, 3, 1)
    if family.kind == "noise":
        return _side_by_side([noise(place, node) for place in family.places])
    if family.kind == "pool":
        return _normalised(_side_by_side([pooled(node, name, stride) for name in family.names]), statistics)
    if family.kind == "reduce":
        return _normalised(_product(_side_by_side(rectified_halves(rectified)), kernels[0]), statistics)
    dilation = 2 if family.kind == "dil_conv" else 1
    maps = rectified.permute(0, 2, 3, 1)
    for number, (depthwise, matrix) in enumerate(zip(kernels[::2], kernels[1::2], strict=True)):
        if number > 0:
            maps, stride = maps.relu_(), 1
        padding = dilation * (depthwise.shape[2] - 1) // 2
        maps = maps.permute(0, 3, 1, 2)
        maps = F.conv2d(maps, depthwise, None, stride, padding, dilation, maps.shape[1]).permute(0, 2, 3, 1)
        maps = _normalised(_product(maps, matrix), statistics)
    return maps


def _side_by_side(maps: Sequence[Tensor]) -> Tensor:
    """[batch, H, W, n · C] of n maps [batch, C, H, W]."""
    seen = [each.permute(0, 2, 3, 1) for each in maps]
    return torch.cat(seen, dim=3) if len(seen) > 1 else seen[0]


def _product(maps: Tensor, matrix: Tensor) -> Tensor:
    return (maps.reshape(-1, len(matrix)) @ matrix).view(*maps.shape[:3], -1)


def _normalised(maps: Tensor, statistics: Statistics) -> Tensor:
    return statistics.normalise(maps.permute(0, 3, 1, 2), None, (0, 1)).permute(0, 2, 3, 1)
