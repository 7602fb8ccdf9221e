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


class LaterNodes:
    """What the later nodes of a cell have so far, [batch, H, W, targets, C]; the next node is the first target.

    In memory, pixel follows pixel, so that stacked maps are added at once; or, `by_target`, target follows target, so that
    the maps of an edge are added in place and their gradient is a slice. The second is faster where maps are large and each
    edge computes its own.
    """

    def __init__(self, targets: int, by_target: bool) -> None:
        self._targets, self._by_target = targets, by_target
        self._sums: Tensor | None = None
        self._gradients = _Gradients(targets) if by_target else None

    def add(self, terms: Sequence[Term], weights: Tensor) -> None:
        """Add all terms; where gradients are off, stacked maps that come in may be overwritten.

        Args:
            terms: at least one.
            weights: [Σ count] of the weighted terms, in their order.
        """
        places = tuple((term.first, term.count, term.weighted) for term in terms)
        maps, later = [term.maps for term in terms], [] if self._sums is None else [self._sums]
        if torch.is_grad_enabled():
            self._sums = _AddTerms.apply(self._targets, self._by_target, places, weights, *maps, *later)
        else:
            self._sums = _sum(self._sums, weights, self._targets, places, maps, self._by_target, overwrites=True)

    def take(self) -> Tensor | None:
        """The next node [batch, C, H, W], channels-last, which is a target no more; None if nothing was sent to it."""
        self._targets -= 1
        if self._sums is None:
            return None
        if torch.is_grad_enabled():
            node, self._sums = _Take.apply(self._gradients, self._sums)  # type: ignore[misc]
        else:
            node, self._sums = _first_and_rest(self._sums)
        if self._targets == 0:
            self._sums = None
        return node.permute(0, 3, 1, 2)


Places = tuple[tuple[int, int, bool], ...]


def _sum(
    later: Tensor | None,
    weights: Tensor,
    targets: int,
    places: Places,
    maps: Sequence[Tensor],
    by_target: bool,
    overwrites: bool,
) -> Tensor:
    """`later` and all terms. By target it goes on in `later`'s memory."""
    total, owned = later, overwrites or by_target
    for map_, (_, count, weighted) in zip(maps, places, strict=True):
        if not weighted and count == targets and not by_target:
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
        total, owned = _empty(maps[0], (batch, height, width, targets, channels), by_target).zero_(), True
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
        elif count < targets or by_target:
            part.add_(map_.permute(0, 2, 3, 1).unflatten(3, (count, -1)))
    return total


def _empty(like: Tensor, shape: tuple[int, ...], by_target: bool) -> Tensor:
    """[batch, H, W, targets, C]. Not a view, which could not be overwritten within a graph."""
    if not by_target:
        return like.new_empty(shape)
    _, height, width, _, channels = shape
    row = width * channels
    return like.new_empty_strided(shape, (height * row, row, channels, shape[0] * height * row, 1))


class _AddTerms(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, targets: int, by_target: bool, places: Places, weights: Tensor, *tensors: Tensor) -> Tensor:
        maps, later = tensors[: len(places)], tensors[len(places)] if len(tensors) > len(places) else None
        ctx.places, ctx.targets, ctx.by_target = places, targets, by_target
        kept = [
            map_ if weighted and weights.requires_grad else None
            for map_, (*_, weighted) in zip(maps, places, strict=True)
        ]
        ctx.save_for_backward(weights, *kept)
        if by_target and later is not None:
            ctx.mark_dirty(later)
        return _sum(later, weights, targets, places, maps, by_target, overwrites=False)

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
            weight = weights[used : used + count].to(gradient.dtype)
            used += count
            by_maps.append(_sum_of_targets(part, weight, ctx.by_target).permute(0, 3, 1, 2) if wanted else None)
            if wants_weights:
                by_weights.append(_by_weights(part, map_.permute(0, 2, 3, 1), ctx.by_target).to(weights.dtype))
        found = (torch.cat(by_weights) if by_weights else torch.zeros_like(weights)) if wants_weights else None
        by_later = [gradient] * (len(ctx.needs_input_grad) - 4 - len(by_maps))
        return None, None, None, found, *by_maps, *by_later


def _sum_of_targets(gradients: Tensor, weight: Tensor, by_target: bool) -> Tensor:
    """[batch, H, W, C]: Σ weight · gradient over the targets."""
    if gradients.shape[3] == 1:
        return gradients.squeeze(3) * weight
    if by_target:
        return torch.mv(_rows(gradients).t(), weight).view(gradients[..., 0, :].shape)
    return (gradients * weight.unsqueeze(1)).sum(3)


def _by_weights(gradients: Tensor, map_: Tensor, by_target: bool) -> Tensor:
    """[targets]: the products of the targets' gradients and the map [batch, H, W, C] that all got."""
    if by_target:
        return torch.mv(_rows(gradients), map_.reshape(-1))
    return (gradients * map_.unsqueeze(3)).sum((0, 1, 2, 4), dtype=torch.promote_types(map_.dtype, torch.float32))


def _rows(gradients: Tensor) -> Tensor:
    """[targets, batch · H · W · C]."""
    return gradients.permute(3, 0, 1, 2, 4).reshape(gradients.shape[3], -1)


def _first_and_rest(sums: Tensor) -> tuple[Tensor, Tensor]:
    """The first target [batch, H, W, C] and the others."""
    return sums[..., 0, :].contiguous(), sums[..., 1:, :]


class _Gradients:
    """The gradients of a cell's nodes in one tensor, target after target, which fills from the last node to the first."""

    def __init__(self, targets: int) -> None:
        self._targets = targets
        self._whole: Tensor | None = None
        self._returned: Tensor | None = None

    def with_first(self, first: Tensor, rest: Tensor | None, targets: int) -> Tensor:
        """Those of the last `targets` nodes: the `first` [batch, H, W, C], and the rest, as returned for the next node."""
        if self._whole is None:
            batch, height, width, channels = first.shape
            self._whole = _empty(first, (batch, height, width, self._targets, channels), by_target=True)
        found = self._whole[..., -targets:, :]
        found[..., 0, :].copy_(first)
        if rest is not None and rest is not self._returned:
            found[..., 1:, :].copy_(rest)
        self._whole, self._returned = (self._whole, found) if targets < self._targets else (None, None)
        return found


class _Take(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradients: _Gradients | None, sums: Tensor) -> tuple[Tensor, Tensor]:
        ctx.gradients, ctx.targets = gradients, sums.shape[3]
        first, rest = _first_and_rest(sums)
        # .data: the rest is overwritten, while others keep the node, which lies beside it.
        return first.data, rest.data

    @staticmethod
    def backward(ctx: Any, by_first: Tensor, by_rest: Tensor | None) -> tuple[None, Tensor]:  # type: ignore[override]
        if ctx.gradients is not None:
            return None, ctx.gradients.with_first(by_first, by_rest, ctx.targets)
        by_first = by_first.unsqueeze(3)
        return None, by_first if by_rest is None else torch.cat([by_first, by_rest], dim=3)


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
