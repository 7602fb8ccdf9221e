"""One pass through a cell of the NAS-Bench-201 supernet, forwards and backwards, in few kernels and few bytes.

A supernet's step is thousands of small kernels. Their number is what it costs on a GPU, and on small maps anywhere; the
bytes that they read and write are what it costs on large maps beside the convolutions. So the edges that leave a node are
computed together:

- They share its ReLU and its pooling. Their convolutions with equal kernels are one, with stacked outputs.
- A convolution's mixing weight is the scale of its batch norm, which is computed anyway.
- What a node sends to the later nodes stays stacked, [batch, H, W, targets, C], from source to source: its first target is
  the next node, the rest is what the nodes after that have so far.

Backwards, the skips and the poolings P of all edges that leave a node are one matrix-vector product: with the gradients
G of the later nodes and P'G as rows, the node gets the weighted sum of the rows, and the weights get row · node.

A cell is one function of autograd: that spares autograd's own sums of gradients, and its time between kernels. Without
gradients batch norms overwrite their inputs, so that scoring takes little memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from darts_pt.kernels.bank import is_wanted
from darts_pt.kernels.pooling import average_pool, average_pool_backward
from nasbench201.cell_plan import BY_SOURCE, CONVOLUTIONS, LAST, Mixture, Plan, Stack
from nasbench201.operations import NOR_CONV_3X3

aten = torch.ops.aten


class Statistics(NamedTuple):
    """How a cell's batch norms normalise: running statistics [12 · C] (None leaves them alone), mode, momentum, epsilon."""

    mean: Tensor | None
    variance: Tensor | None
    training: bool
    momentum: float
    eps: float

    def running(self, stack: Stack, channels: int) -> tuple[Tensor | None, Tensor | None]:
        """Running mean and variance of a stack."""
        if self.mean is None or self.variance is None:
            return None, None
        return _scale(self.mean, stack, channels), _scale(self.variance, stack, channels)


class Saved(NamedTuple):
    """What the backward pass needs of one source: the node, its ReLU, and of every stack the batch norm's input and
    statistics."""

    node: Tensor | None
    rectified: Tensor | None
    norms: list[tuple[Tensor, Tensor, Tensor]]


def cell_output(inputs: Tensor, kernels: Tensor, statistics: Statistics, mixture: Mixture) -> Tensor:
    """Node 3 [batch, C, H, W] of the cell's input, which is channels-last.

    Args:
        kernels: all of the cell's, flat, in the order of :data:`CONVOLUTIONS`.
    """
    scales = mixture.scales(inputs.shape[1])
    if torch.is_grad_enabled():
        return _CellPass.apply(inputs, kernels, scales, mixture.backward, mixture, statistics)  # type: ignore[return-value]
    return _forward(inputs, kernels, scales, mixture, statistics, None)


def _forward(
    inputs: Tensor,
    kernels: Tensor,
    scales: Tensor,
    mixture: Mixture,
    statistics: Statistics,
    save: Callable[[Saved], None] | None,
) -> Tensor:
    kernels = kernels.to(inputs.dtype)
    channels = inputs.shape[1]
    node, later = inputs.permute(0, 2, 3, 1), None  # `later`: what the nodes after this one have so far, stacked.
    for source, work in enumerate(mixture.plan.sources):
        if source > 0:
            node = torch.zeros_like(node) if later is None else later[..., 0, :]
            later = None if later is None else later[..., 1:, :]
        saved = Saved(node, torch.relu(node) if work.stacks else None, [])
        for stack in work.stacks:
            convolved = _convolved(saved.rectified, kernels, stack)  # type: ignore[arg-type]
            normalised = _normalised(convolved, scales, statistics, stack, channels, saved.norms if save else None)
            later = _add(
                later, normalised.unflatten(3, (stack.count, channels)), stack.target - source - 1, LAST - source
            )
        if save:
            save(saved)
        del saved
        if work.pools:
            pooled, shares = average_pool(node)
            later = _add_weighted(later, pooled, mixture.pools(source, shares))
            del pooled
        if work.skips:
            later = _add_weighted(later, node, mixture.skips(source))
    output = torch.zeros_like(node) if later is None else later[..., 0, :].contiguous()
    return output.permute(0, 3, 1, 2)


def _convolved(rectified: Tensor, kernels: Tensor, stack: Stack) -> Tensor:
    """[batch, H, W, count · C]. A 1x1 convolution is a matrix product."""
    kernel = _kernel(kernels, stack, rectified.shape[3])
    if stack.operation == NOR_CONV_3X3:
        return torch.conv2d(rectified.permute(0, 3, 1, 2), kernel, padding=1).permute(0, 2, 3, 1)
    return (_rows(rectified) @ kernel.flatten(1).t()).view(*rectified.shape[:3], -1)


def _normalised(
    convolved: Tensor,
    scales: Tensor,
    statistics: Statistics,
    stack: Stack,
    channels: int,
    saved: list[tuple[Tensor, Tensor, Tensor]] | None,
) -> Tensor:
    """The batch norms of a stack, times the mixing weights; in place if nothing is to be saved."""
    maps = convolved.permute(0, 3, 1, 2)
    running = statistics.running(stack, channels)
    arguments = (maps, _scale(scales, stack, channels), None, *running, *statistics[2:])
    if saved is None:
        unused = scales.new_empty(0), scales.new_empty(0)
        output, *_ = aten.native_batch_norm.out(*arguments, out=maps, save_mean=unused[0], save_invstd=unused[1])
    else:
        output, mean, inverse_std = torch.native_batch_norm(*arguments)
        saved.append((maps, mean, inverse_std))
    return output.permute(0, 2, 3, 1)


def _add(later: Tensor | None, terms: Tensor, begin: int, targets: int) -> Tensor:
    """`terms` [batch, H, W, n, C], which may be overwritten, added to n of all targets from `begin` on."""
    if terms.shape[3] == targets:
        return terms if later is None else terms.add_(later)
    if later is None:
        later = terms.new_zeros((*terms.shape[:3], targets, terms.shape[4]))
    later[..., begin : begin + terms.shape[3], :].add_(terms)
    return later


def _add_weighted(later: Tensor | None, maps: Tensor, weights: Tensor) -> Tensor:
    """The same maps [batch, H, W, C] for all targets, times weights [targets, 1] or [H, W, targets, 1]."""
    return maps.unsqueeze(3) * weights if later is None else later.addcmul_(maps.unsqueeze(3), weights)


class _CellPass(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        kernels: Tensor,
        scales: Tensor,
        weights: Tensor,
        mixture: Mixture,
        statistics: Statistics,
    ) -> Tensor:
        ctx.saved = []
        ctx.kernels, ctx.scales, ctx.weights, ctx.plan, ctx.statistics = (
            kernels,
            scales,
            weights,
            mixture.plan,
            statistics,
        )
        keeps_nodes = weights.requires_grad

        def save(saved: Saved) -> None:
            ctx.saved.append(saved if keeps_nodes else saved._replace(node=None))

        return _forward(inputs, kernels, scales, mixture, statistics, save)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        plan: Plan = ctx.plan
        wants_inputs, wants_kernels, wants_scales, wants_weights = (is_wanted(ctx, position) for position in range(4))
        gradient = gradient.permute(0, 2, 3, 1)
        channels = gradient.shape[3]
        # The gradients of the nodes from the last on, each followed by that of its pooling.
        rows = gradient.new_empty((LAST + len(plan.pooled_targets), *gradient.shape))
        rows[0].copy_(gradient)
        row_of: dict[int, int] = {}
        filled = used = 0
        by_node = None
        by_kernels, by_scales, by_weights = {}, {}, []
        for source in reversed(range(LAST)):
            row_of[source + 1] = filled
            filled += 1
            if source + 1 in plan.pooled_targets:
                rows[filled].copy_(average_pool_backward(rows[filled - 1]))
                filled += 1
            weights, used = ctx.weights[used : used + filled], used + filled
            saved, work = ctx.saved.pop(), plan.sources[source]
            matrix = rows[:filled].view(filled, -1)
            if wants_weights:
                by_weights.append(torch.mv(matrix, saved.node.reshape(-1)))
            wants_node = source > 0 or wants_inputs
            stacked = {}
            by_rectified = None
            for stack, normalised in zip(work.stacks, saved.norms, strict=True):
                ends = range(stack.target, stack.target + stack.count)
                if ends not in stacked:
                    terms = [rows[row_of[target]] for target in ends]
                    stacked[ends] = torch.cat(terms, dim=3) if len(terms) > 1 else terms[0]
                by_convolved, by_scales[stack] = _normalised_backward(
                    stacked[ends], normalised, ctx, stack, wants_scales
                )
                by_rectified, by_kernels[stack] = _convolved_backward(
                    by_convolved, saved.rectified, ctx.kernels, stack, by_rectified, wants_node, wants_kernels
                )
            if not wants_node:
                continue
            by_node = rows[filled] if source > 0 else torch.empty_like(rows[0])
            if by_rectified is None:
                by_node.zero_()
            else:
                aten.threshold_backward.grad_input(by_rectified, saved.rectified, 0, grad_input=by_node)
            if work.skips or work.pools:
                by_node.view(-1).addmv_(matrix.t(), weights.to(matrix.dtype))
        return (
            by_node.permute(0, 3, 1, 2) if wants_inputs and by_node is not None else None,
            _joined(by_kernels, ctx.kernels, _kernel, channels) if wants_kernels else None,
            _joined(by_scales, ctx.scales, _scale, channels) if wants_scales else None,
            torch.cat(by_weights) if wants_weights else None,
            None,
            None,
        )


def _joined(
    parts: dict[Stack, Tensor], like: Tensor, part_of: Callable[[Tensor, Stack, int], Tensor], channels: int
) -> Tensor:
    """The gradients of all stacks in the order in which their convolutions are stored; zeros where there is no stack."""
    if sum(stack.count for stack in parts) == len(CONVOLUTIONS):
        ordered = sorted(parts, key=lambda stack: stack.begin)
        return torch.cat([parts[stack].reshape(-1) for stack in ordered]).to(like.dtype)
    whole = torch.zeros_like(like)
    for stack, part in parts.items():
        part_of(whole, stack, channels).copy_(part)
    return whole


def _normalised_backward(
    gradient: Tensor, saved: tuple[Tensor, Tensor, Tensor], ctx: Any, stack: Stack, wants_scales: bool
) -> tuple[Tensor, Tensor]:
    """The gradients by a stack's convolutions [batch, H, W, count · C] and by its scales."""
    maps, mean, inverse_std = saved
    channels = gradient.shape[3] // stack.count
    statistics: Statistics = ctx.statistics
    by_maps, by_scale, _ = aten.native_batch_norm_backward(
        gradient.permute(0, 3, 1, 2),
        maps,
        _scale(ctx.scales, stack, channels),
        *statistics.running(stack, channels),
        mean,
        inverse_std,
        statistics.training,
        statistics.eps,
        [True, wants_scales, False],
    )
    return by_maps.permute(0, 2, 3, 1), by_scale


def _convolved_backward(
    gradient: Tensor,
    rectified: Tensor,
    kernels: Tensor,
    stack: Stack,
    by_rectified: Tensor | None,
    wants_rectified: bool,
    wants_kernel: bool,
) -> tuple[Tensor | None, Any]:
    """The gradients by the ReLU, added to `by_rectified`, and by a stack's kernels."""
    kernel = _kernel(kernels, stack, rectified.shape[3]).to(gradient.dtype)
    if stack.operation == NOR_CONV_3X3:
        maps = gradient.permute(0, 3, 1, 2), rectified.permute(0, 3, 1, 2)
        wanted = [wants_rectified, wants_kernel, False]
        found, by_kernel, _ = aten.convolution_backward(
            *maps, kernel, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, wanted
        )
        if not wants_rectified:
            return None, by_kernel
        found = found.permute(0, 2, 3, 1).contiguous()
        return found if by_rectified is None else by_rectified.add_(found), by_kernel
    rows = _rows(gradient)
    by_kernel = (rows.t() @ _rows(rectified)).view(kernel.shape) if wants_kernel else None
    if not wants_rectified:
        return None, by_kernel
    if by_rectified is None:
        return (rows @ kernel.flatten(1)).view(rectified.shape), by_kernel
    _rows(by_rectified).addmm_(rows, kernel.flatten(1))
    return by_rectified, by_kernel


def _rows(maps: Tensor) -> Tensor:
    """[pixels, channels]."""
    return maps.reshape(-1, maps.shape[3])


def _kernel(kernels: Tensor, stack: Stack, channels: int) -> Tensor:
    """The stack's part of all kernels, as [count · C, C, k, k]."""
    size = 3 if stack.operation == NOR_CONV_3X3 else 1
    before = len(BY_SOURCE) * 9 if size == 1 else 0
    begin = (before + stack.begin % len(BY_SOURCE) * size**2) * channels**2
    length = stack.count * size**2 * channels**2
    return kernels[begin : begin + length].view(stack.count * channels, channels, size, size)


def _scale(per_channel: Tensor, stack: Stack, channels: int) -> Tensor:
    """The stack's part of all convolutions' [12 · C]."""
    return per_channel[stack.begin * channels : (stack.begin + stack.count) * channels]
