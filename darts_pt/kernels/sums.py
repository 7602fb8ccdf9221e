"""The maps that one node of a cell sends to all later nodes, kept stacked: [batch, H, W, targets, C].

A later node is the sum of what all earlier ones send it. Handled target by target, that is a kernel for every term of
every edge; stacked, one kernel adds a term for all targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from darts_pt.kernels.bank import is_wanted


class Term(NamedTuple):
    """Something that consecutive targets get.

    Attributes:
        maps: [batch, count · C, H, W], a map for each target; or with `weighted` [batch, C, H, W], the same map for all.
        first, count: the targets, counted from the stack's first.
        weighted: whether it is multiplied by the next `count` weights.
    """

    maps: Tensor
    first: int
    count: int
    weighted: bool = False


def add_terms(later: Tensor | None, terms: Sequence[Term], weights: Tensor, targets: int) -> Tensor:
    """`later` and all terms, summed; stacked maps that come in may be overwritten where gradients are off.

    Args:
        later: the sums so far, or None.
        terms: at least one.
        weights: [Σ count] of the weighted terms, in their order.
    """
    places = tuple((term.first, term.count, term.weighted) for term in terms)
    maps = [term.maps for term in terms]
    if torch.is_grad_enabled():
        return _AddTerms.apply(targets, places, weights, *maps, *([] if later is None else [later]))  # type: ignore[return-value]
    return _sum(later, weights, targets, places, maps, overwrites=True)


Places = tuple[tuple[int, int, bool], ...]


def _sum(
    later: Tensor | None, weights: Tensor, targets: int, places: Places, maps: Sequence[Tensor], overwrites: bool
) -> Tensor:
    total, owned = later, overwrites
    for map_, (_, count, weighted) in zip(maps, places, strict=True):
        if not weighted and count == targets:
            term = map_.permute(0, 2, 3, 1).unflatten(3, (targets, -1))
            if total is None:
                total = term
            elif overwrites:
                total = term.add_(total)
            else:
                total, owned = (total.add_(term) if owned else total + term), True
    if total is None:
        batch, channels, height, width = maps[0].shape
        channels //= 1 if places[0][2] else places[0][1]
        total, owned = maps[0].new_zeros((batch, height, width, targets, channels)), True
    total = total if owned else total.clone()
    used = 0
    for map_, (first, count, weighted) in zip(maps, places, strict=True):
        part = total if count == targets else total[..., first : first + count, :]
        if weighted:
            weight = weights[used : used + count].view(-1, 1).to(map_.dtype)
            rows = map_.permute(0, 2, 3, 1)
            if is_product(targets, map_.shape[1], map_) and total.is_contiguous():
                everyone = weight if count == targets else F.pad(weight, (0, 0, first, targets - first - count))
                spread(total, rows, spreading(everyone, map_.shape[1]))
            else:
                part.addcmul_(rows.unsqueeze(3), weight)
            used += count
        elif count < targets:
            part.add_(map_.permute(0, 2, 3, 1).unflatten(3, (count, -1)))
    return total


class _AddTerms(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, targets: int, places: Places, weights: Tensor, *tensors: Tensor) -> Tensor:
        maps, later = tensors[: len(places)], tensors[len(places)] if len(tensors) > len(places) else None
        ctx.places, ctx.targets = places, targets
        kept = [
            map_ if weighted and weights.requires_grad else None
            for map_, (*_, weighted) in zip(maps, places, strict=True)
        ]
        ctx.save_for_backward(weights, *kept)
        return _sum(later, weights, targets, places, maps, overwrites=False)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        weights, *kept = ctx.saved_tensors
        by_maps: list[Tensor | None] = []
        by_weights: list[Tensor] = []
        wants_weights = is_wanted(ctx, 0)
        used = 0
        for index, (map_, (first, count, weighted)) in enumerate(zip(kept, ctx.places, strict=True)):
            part = gradient if count == ctx.targets else gradient[..., first : first + count, :]
            wanted = is_wanted(ctx, 1 + index)
            if not weighted:
                # A slice in place: batch norms take seven times as long for its gradient as for a copy's.
                by_maps.append(part.flatten(3).contiguous().permute(0, 3, 1, 2) if wanted else None)
                continue
            weight = weights[used : used + count].view(-1, 1).to(gradient.dtype)
            used += count
            by_maps.append(_sum_of_targets(part, weight).permute(0, 3, 1, 2) if wanted else None)
            if wants_weights:
                by_weights.append((part * map_.permute(0, 2, 3, 1).unsqueeze(3)).sum((0, 1, 2, 4), dtype=weights.dtype))
        found = (torch.cat(by_weights) if by_weights else torch.zeros_like(weights)) if wants_weights else None
        by_later = [gradient] * (len(ctx.needs_input_grad) - 3 - len(by_maps))
        return None, None, found, *by_maps, *by_later


def _sum_of_targets(gradients: Tensor, weight: Tensor) -> Tensor:
    """[batch, H, W, C]: Σ weight · gradient over the targets."""
    return (gradients * weight).sum(3) if gradients.shape[3] > 1 else gradients.squeeze(3) * weight[0]


# One map for all targets -----------------------------------------------------------------------------------------


def is_product(targets: int, channels: int, like: Tensor) -> bool:
    """Whether one map of `channels` channels, of the type and device of `like`, reaches several targets faster by a matrix
    product.

    On the CPU it does where the channels of a pixel are too few for its vector instructions.
    """
    return targets > 1 and like.device.type == "cpu" and (channels <= 16 or like.dtype == torch.bfloat16)


def spreading(weights: Tensor, channels: int) -> Tensor:
    """The weights [targets, 1] as a matrix [C, targets · C] that maps are multiplied by."""
    return (_identity(channels, weights.dtype, weights.device) * weights).flatten(1)


@lru_cache(maxsize=64)
def _identity(channels: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.eye(channels, dtype=dtype, device=device).unsqueeze(1)


def spread(later: Tensor | None, maps: Tensor, weights: Tensor) -> Tensor:
    """`later` [batch, H, W, targets, C] and weights · maps [batch, H, W, C] for all targets.

    Args:
        later: overwritten, consecutive targets of any stack; None for 0.
        weights: [targets, 1], [H, W, targets, 1], or the matrix of :func:`spreading`.
    """
    if weights.shape[-1] == 1:
        return maps.unsqueeze(3) * weights if later is None else later.addcmul_(maps.unsqueeze(3), weights)
    rows = maps.reshape(-1, maps.shape[3])
    if later is None:
        return (rows @ weights).view(*maps.shape[:3], -1, maps.shape[3])
    later.view(-1, weights.shape[1]).addmm_(rows, weights)
    return later
