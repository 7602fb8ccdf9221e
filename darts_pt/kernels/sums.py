"""The sums that the nodes of a cell are: every term weighted, in few passes over the maps and in little memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from darts_pt.kernels.mixed import LARGE, BatchNorm2d, stacked_batch_norm


class NodeSums:
    """The weighted sums that the nodes of a cell are, while their terms come in.

    With gradients the terms wait until the sum is asked for and are then added at once (:func:`weighted_sum`). Without,
    each is added when it comes, and a large map's batch norm is only its factor and shift, so that neither terms nor
    outputs of batch norms are held: that bounds the memory that scoring a removal takes.
    """

    def __init__(self) -> None:
        self._waits = torch.is_grad_enabled()
        self._terms: dict[int, list[Tensor]] = defaultdict(list)
        self._maps: dict[int, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        self._shifts: dict[int, Tensor] = {}

    def add_weighted(self, node: int, map_: Tensor, weight: Tensor) -> None:
        """`weight`, a scalar, times `map_` as a term of `node`; all terms of a node have one shape."""
        if self._waits:
            self._maps[node].append((map_, weight))
        elif self._terms[node]:
            self._terms[node][0].addcmul_(map_, weight)
        else:
            self._terms[node].append(map_ * weight)

    def add_normalised(
        self, nodes: Sequence[int], stacked: Tensor, norms: Sequence[BatchNorm2d], scale: Tensor
    ) -> None:
        """A term for each of `nodes`: `stacked` after its batch norms, scaled, as :func:`stacked_batch_norm` has it."""
        channels = norms[0].num_features
        moves = norms[0].training and norms[0].momentum != 0.0
        if self._waits or moves or stacked.numel() < LARGE:
            for node, term in zip(nodes, stacked_batch_norm(stacked, norms, scale).split(channels, dim=1), strict=True):
                self._add(node, term)
            return
        factors, shifts = _factors_and_shifts(stacked, norms, scale)
        parts = zip(stacked.split(channels, dim=1), factors.split(channels), shifts.split(channels), strict=True)
        for node, (part, factor, shift) in zip(nodes, parts, strict=True):
            self.add_weighted(node, part, factor.view(-1, 1, 1))
            self._shifts[node] = self._shifts[node] + shift if node in self._shifts else shift

    def _add(self, node: int, term: Tensor) -> None:
        terms = self._terms[node]
        if self._waits or not terms:
            # Part of a stack would hold the whole.
            terms.append(term if self._waits else term.contiguous(memory_format=torch.channels_last))
        else:
            terms[0].add_(term)

    def take(self, node: int) -> Tensor | None:
        """The sum of all terms of `node`, which is complete; None if there are none."""
        terms, maps = self._terms.pop(node, []), self._maps.pop(node, [])
        if not terms and not maps:
            return None
        total = weighted_sum(terms, [map_ for map_, _ in maps], [weight for _, weight in maps])
        return total.add_(self._shifts.pop(node).view(-1, 1, 1)) if node in self._shifts else total


def _factors_and_shifts(stacked: Tensor, norms: Sequence[BatchNorm2d], scale: Tensor) -> tuple[Tensor, Tensor]:
    """Per channel, what stacked batch norms multiply and then add; in train mode by the statistics of the batch alone."""
    if norms[0].training:
        mean, variance = torch.ops.aten.batch_norm_update_stats(stacked, None, None, 0.0)
    else:
        mean = torch.cat([norm.running_mean for norm in norms])  # type: ignore[misc]
        variance = torch.cat([norm.running_var for norm in norms])  # type: ignore[misc]
    factors = scale * torch.rsqrt(variance + norms[0].eps)
    return factors, -mean * factors


def scale_vectors(weights: Sequence[Tensor], channels: int, counts: Sequence[int]) -> tuple[Tensor, ...]:
    """Scalars as scales of stacked batch norms: every weight `channels` times, cut into stacks of `counts` weights."""
    if not weights:
        return ()
    # Not expand and reshape: of a single weight that is a view, and batch norm's backward pass reads past its end.
    scales = torch.stack(list(weights)).unsqueeze(1).repeat(1, channels).flatten()
    return scales.split([count * channels for count in counts])


def weighted_sum(terms: Sequence[Tensor], maps: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """Σ terms + Σ weights · maps, all of one shape; the weights are scalars.

    Against writing it with operators, nothing is stored for the backward pass but the maps where a weight wants its
    gradient, and no product is.
    """
    if len(terms) == 1 and not maps:
        return terms[0]
    return _WeightedSum.apply(len(terms), len(maps), *terms, *maps, *weights)  # type: ignore[return-value]


class _WeightedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, count: int, weighted: int, *tensors: Tensor) -> Tensor:
        terms, maps, weights = tensors[:count], tensors[count : count + weighted], tensors[count + weighted :]
        ctx.count, ctx.weighted = count, weighted
        wanted = any(ctx.needs_input_grad[2 + count + weighted :])
        ctx.save_for_backward(*weights, *(maps if wanted else ()))
        if count == 0:
            total = maps[0] * weights[0]
            maps, weights = maps[1:], weights[1:]
        elif count == 1:
            total = torch.addcmul(terms[0], maps[0], weights[0])
            maps, weights = maps[1:], weights[1:]
        else:
            total = terms[0] + terms[1]
        for term in terms[2:]:
            total.add_(term)
        for map_, weight in zip(maps, weights, strict=True):
            total.addcmul_(map_, weight)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        weights, maps = ctx.saved_tensors[: ctx.weighted], ctx.saved_tensors[ctx.weighted :]
        by_term, by_map = 2 + ctx.count, 2 + ctx.count + ctx.weighted
        wanted = ctx.needs_input_grad
        return (
            None,
            None,
            *(gradient if want else None for want in wanted[2:by_term]),
            *(
                gradient * weight if want else None
                for want, weight in zip(wanted[by_term:by_map], weights, strict=True)
            ),
            *(_dot(gradient, maps[i], weights[i].dtype) if want else None for i, want in enumerate(wanted[by_map:])),
        )


def _dot(one: Tensor, other: Tensor, dtype: torch.dtype) -> Tensor:
    """The sum of the products in `dtype`, without storing them; both [batch, C, H, W], channels-last."""
    return torch.dot(one.permute(0, 2, 3, 1).reshape(-1).to(dtype), other.permute(0, 2, 3, 1).reshape(-1).to(dtype))
