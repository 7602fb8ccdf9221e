"""The indices of batches: random batches, and passes over a half or a set."""

from __future__ import annotations

import torch
from torch import Tensor

from darts_pt.run.errors import ArgumentError


def random_batch_indices(half: Tensor, batch_size: int, generator: torch.Generator) -> Tensor:
    """Draw `batch_size` distinct indices out of `half`, each call from all of it.

    Raises:
        ArgumentError: the batch is larger than the half.
    """
    if not 1 <= batch_size <= len(half):
        raise ArgumentError("batch_size", f"expected 1 to {len(half)}, the images to draw from, got {batch_size}")
    order = torch.randperm(len(half), generator=generator, device=generator.device)
    return half.index_select(0, order[:batch_size].to(half.device))


def shuffled(half: Tensor, generator: torch.Generator) -> Tensor:
    """The indices of `half` in random order."""
    return half[torch.randperm(len(half), generator=generator, device=generator.device).to(half.device)]


def in_batches(order: Tensor, batch_size: int) -> list[Tensor]:
    """Split `order` into batches of `batch_size`; the last may be smaller, but a single image joins the one before."""
    batches = list(order.split(batch_size))
    # One image has no batch statistics where maps are one pixel.
    if len(batches) > 1 and len(batches[-1]) == 1 < batch_size:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches
