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

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from darts_pt.kernels.bank import Statistics, is_wanted
from darts_pt.kernels.pooling import average_pool, average_pool_backward, convolution
from darts_pt.kernels.sums import is_product, spread
from nasbench201.cell_plan import CONVOLUTIONS, LAST, Mixture, Plan, Stack
from nasbench201.operations import NOR_CONV_3X3

aten = torch.ops.aten


class Saved(NamedTuple):
    """The tensors of one source that the backward pass needs: the node, its ReLU, and of every stack the batch norm's
    input and statistics."""

    node: Tensor | None
    rectified: Tensor | None
    norms: list[tuple[Tensor, Tensor, Tensor]]


def cell_output(inputs: Tensor, kernels: Sequence[Tensor], statistics: Statistics, mixture: Mixture) -> Tensor:
    """Node 3 [batch, C, H, W] of the cell's input, which is channels-last.

    Args:
        kernels: those of every stack of the plan, flat.
    """
    scales = mixture.scales(inputs.shape[1])
    if torch.is_grad_enabled():
        return _CellPass.apply(mixture, statistics, inputs, scales, mixture.backward, *kernels)  # type: ignore[return-value]
    return _forward(inputs, kernels, scales, mixture, statistics, None)


def _forward(
    inputs: Tensor,
    kernels: Sequence[Tensor],
    scales: Tensor,
    mixture: Mixture,
    statistics: Statistics,
    save: Callable[[Saved], None] | None,
) -> Tensor:
    channels = inputs.shape[1]
    kernel_of = dict(zip(mixture.plan.stacks, kernels, strict=True))
    node, later = inputs.permute(0, 2, 3, 1), None  # `later`: what the nodes after this one have so far, stacked.
    for source, work in enumerate(mixture.plan.sources):
        if source > 0:
            node = torch.zeros_like(node) if later is None else later[..., 0, :]
            later = None if later is None else later[..., 1:, :]
        saved = Saved(node, torch.relu(node) if work.stacks else None, [])
        for stack in work.stacks:
            convolved = _convolved(saved.rectified, kernel_of[stack], stack)  # type: ignore[arg-type]
            normalised = _normalised(convolved, scales, statistics, stack, channels, saved.norms if save else None)
            terms = normalised.reshape(*normalised.shape[:3], stack.run[1], channels)
            later = _add(later, terms, stack.target - source - 1, LAST - source)
        if save:
            save(saved)
        del saved
        if work.pools:
            pooled, shares = average_pool(node)
            if shares is not None and is_product(LAST - source, channels, node):
                pooled, shares = pooled.mul_(shares), None
            later = spread(later, pooled, mixture.pools(source, channels, shares))
            del pooled
        if work.skips:
            later = spread(later, node, mixture.skips(source, channels))
    output = torch.zeros_like(node) if later is None else later[..., 0, :].contiguous()
    return output.permute(0, 3, 1, 2)


def _convolved(rectified: Tensor, kernel: Tensor, stack: Stack) -> Tensor:
    """[batch, H, W, count · C]. A 1x1 convolution is a matrix product."""
    kernel = _unflattened(kernel, stack, rectified)
    if stack.operation == NOR_CONV_3X3:
        return convolution(rectified, kernel)
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
    scale = _scale(scales, stack, channels)
    if saved is None:
        output = statistics.normalise(maps, scale, stack.run)
    else:
        running = statistics.running(stack.run, channels)
        output, mean, inverse_std = torch.native_batch_norm(maps, scale, None, *running, *statistics[3:])
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


class _CellPass(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        mixture: Mixture,
        statistics: Statistics,
        inputs: Tensor,
        scales: Tensor,
        weights: Tensor,
        *kernels: Tensor,
    ) -> Tensor:
        ctx.plan, ctx.statistics, ctx.scales, ctx.weights, ctx.kernels = (
            mixture.plan,
            statistics,
            scales,
            weights,
            kernels,
        )
        ctx.saved = []
        keeps_nodes = weights.requires_grad

        def save(saved: Saved) -> None:
            ctx.saved.append(saved if keeps_nodes else saved._replace(node=None))

        return _forward(inputs, kernels, scales, mixture, statistics, save)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        plan: Plan = ctx.plan
        wants_inputs, wants_scales, wants_weights = (is_wanted(ctx, position) for position in range(3))
        wants_kernels = bool(plan.stacks) and is_wanted(ctx, 3)
        kernel_of = dict(zip(plan.stacks, ctx.kernels, strict=True))
        gradient = gradient.permute(0, 2, 3, 1)
        channels = gradient.shape[3]
        # The gradients of the nodes from the last on, each followed by that of its pooling.
        rows = gradient.new_empty((LAST + len(plan.pooled_targets), *gradient.shape))
        rows[0].copy_(gradient)
        row_of: dict[int, int] = {}
        filled = used = 0
        by_node = None
        by_kernels: dict[Stack, Tensor | None] = dict.fromkeys(plan.stacks)
        by_scales: dict[Stack, Tensor] = {}
        by_weights: list[Tensor] = []
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
                ends = range(stack.target, stack.target + stack.run[1])
                if ends not in stacked:
                    terms = [rows[row_of[target]] for target in ends]
                    stacked[ends] = torch.cat(terms, dim=3) if len(terms) > 1 else terms[0]
                by_convolved, by_scales[stack] = _normalised_backward(
                    stacked[ends], normalised, ctx, stack, wants_scales
                )
                by_rectified, by_kernels[stack] = _convolved_backward(
                    by_convolved, saved.rectified, kernel_of[stack], stack, by_rectified, wants_node, wants_kernels
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
            None,
            None,
            by_node.permute(0, 3, 1, 2) if wants_inputs and by_node is not None else None,
            _by_all_scales(by_scales, ctx.scales, channels) if wants_scales else None,
            torch.cat(by_weights) if wants_weights else None,
            *by_kernels.values(),
        )


def _by_all_scales(by_scales: dict[Stack, Tensor], scales: Tensor, channels: int) -> Tensor:
    """The gradient by all [12 · C]; zeros where nothing is computed."""
    if sum(stack.run[1] for stack in by_scales) == len(CONVOLUTIONS):
        return torch.cat([by_scales[stack] for stack in sorted(by_scales, key=lambda stack: stack.run)])
    whole = torch.zeros_like(scales)
    for stack, part in by_scales.items():
        _scale(whole, stack, channels).copy_(part)
    return whole


def _normalised_backward(
    gradient: Tensor, saved: tuple[Tensor, Tensor, Tensor], ctx: Any, stack: Stack, wants_scales: bool
) -> tuple[Tensor, Tensor]:
    """The gradients by a stack's convolutions [batch, H, W, count · C] and by its scales."""
    maps, mean, inverse_std = saved
    channels = gradient.shape[3] // stack.run[1]
    statistics: Statistics = ctx.statistics
    by_maps, by_scale, _ = aten.native_batch_norm_backward(
        gradient.permute(0, 3, 1, 2),
        maps,
        _scale(ctx.scales, stack, channels),
        *statistics.running(stack.run, channels),
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
    kernel: Tensor,
    stack: Stack,
    by_rectified: Tensor | None,
    wants_rectified: bool,
    wants_kernel: bool,
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients by the ReLU, added to `by_rectified`, and by a stack's kernels, flat."""
    flat, kernel = kernel, _unflattened(kernel, stack, rectified)
    by_kernel = None
    if stack.operation == NOR_CONV_3X3:
        maps = gradient.permute(0, 3, 1, 2), rectified.permute(0, 3, 1, 2)
        wanted = [wants_rectified, wants_kernel, False]
        found, by_kernel, _ = aten.convolution_backward(
            *maps, kernel, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, wanted
        )
        if wants_rectified:
            found = found.permute(0, 2, 3, 1).contiguous()
            by_rectified = found if by_rectified is None else by_rectified.add_(found)
    else:
        rows, matrix = _rows(gradient), kernel.flatten(1)
        if wants_kernel:
            by_kernel = rows.t() @ _rows(rectified)
        if wants_rectified and by_rectified is None:
            by_rectified = (rows @ matrix).view(rectified.shape)
        elif wants_rectified:
            _rows(by_rectified).addmm_(rows, matrix)  # type: ignore[arg-type]
    return by_rectified, None if by_kernel is None else by_kernel.reshape(-1).to(flat.dtype)


def _rows(maps: Tensor) -> Tensor:
    """[pixels, channels]."""
    return maps.reshape(-1, maps.shape[3])


def _unflattened(kernel: Tensor, stack: Stack, rectified: Tensor) -> Tensor:
    """A stack's kernels [count · C, C, k, k] in the maps' type."""
    channels, size = rectified.shape[3], 3 if stack.operation == NOR_CONV_3X3 else 1
    return kernel.view(stack.run[1] * channels, channels, size, size).to(rectified.dtype)


def _scale(per_channel: Tensor, stack: Stack, channels: int) -> Tensor:
    """The stack's part of all convolutions' [12 · C]."""
    begin, count = stack.run
    return per_channel[begin * channels : (begin + count) * channels]
