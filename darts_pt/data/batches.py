"""Which images make a batch: random batches, and passes over a half or a set; all as indices."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from darts_pt.run.errors import ArgumentError


def random_batch_indices(half: Tensor, batch_size: int, generator: torch.Generator) -> Tensor:
    """`batch_size` distinct indices out of `half`, uniform and drawn afresh each time, so an epoch is not a pass.

    Raises:
        ArgumentError: the batch is larger than the half.
    """
    _check_batch_size(half, batch_size)
    order = torch.randperm(len(half), generator=generator, device=generator.device)
    return half.index_select(0, order[:batch_size].to(half.device))


def passes(half: Tensor, batch_size: int, generator: torch.Generator | None) -> Iterator[Tensor]:
    """One pass over `half` in batches, in random order, or in the given order without a generator.

    Raises:
        ArgumentError: at once, if the batch is larger than the half.
    """
    _check_batch_size(half, batch_size)
    return iter(in_batches(half if generator is None else shuffled(half, generator), batch_size))


def shuffled(half: Tensor, generator: torch.Generator) -> Tensor:
    """The indices of `half` in random order."""
    return half[torch.randperm(len(half), generator=generator, device=generator.device).to(half.device)]


def in_batches(order: Tensor, batch_size: int) -> list[Tensor]:
    """The indices in batches of `batch_size`; the last may be smaller, but a single image joins the batch before it."""
    batches = list(order.split(batch_size))
    # Batch norm has no statistics of one image where maps are one pixel.
    if len(batches) > 1 and len(batches[-1]) == 1 < batch_size:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def _check_batch_size(half: Tensor, batch_size: int) -> None:
    if not 1 <= batch_size <= len(half):
        raise ArgumentError("batch_size", f"expected 1 to {len(half)}, the images to draw from, got {batch_size}")
