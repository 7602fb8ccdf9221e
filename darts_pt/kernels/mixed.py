"""The batch norm of supernets, and what partial channels (PC-DARTS) are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

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
    """Norms in train mode (batch statistics) that leave their running statistics as they are; the rest in eval mode, so
    that nothing is dropped out.

    The original scores in train mode too, but its running statistics move while it does. Decisions do not depend on
    them; the accuracies logged in eval mode do, so here they are left alone.
    """
    modules = list(supernet.modules())
    norms = [module for module in modules if isinstance(module, _NormBase)]
    before = [(norm.momentum, norm.track_running_stats) for norm in norms]
    # Module by module: train() and eval() take as long as a pass through a small supernet.
    changed = [module for module in modules if module.training != isinstance(module, _NormBase)]
    for module in changed:
        module.training = isinstance(module, _NormBase)
    for norm in norms:
        norm.momentum, norm.track_running_stats = 0.0, False  # The second is for the norms of torch.
    try:
        yield
    finally:
        for module in changed:
            module.training = not isinstance(module, _NormBase)
        for norm, (momentum, tracks) in zip(norms, before, strict=True):
            norm.momentum, norm.track_running_stats = momentum, tracks


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
