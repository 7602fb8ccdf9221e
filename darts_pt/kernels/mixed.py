"""The batch norm of supernets, and what partial channels (PC-DARTS) are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch.nn.functional as F
from torch import Tensor, nn

from darts_pt.run.errors import ArgumentError


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


# Partial channels ------------------------------------------------------------------------------------------------


def channels_through(channels: int, one_in: int) -> int:
    """The channels that pass through the operations if one in `one_in` does (PC-DARTS).

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
