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
    if torch.is_grad_enabled():
        scales, _ = mixture.scales(inputs.shape[1])
        return _CellPass.apply(mixture, statistics, inputs, scales, mixture.backward, *kernels)  # type: ignore[return-value]
    return _forward(inputs, kernels, mixture, statistics, None)


def _forward(
    inputs: Tensor,
    kernels: Sequence[Tensor],
    mixture: Mixture,
    statistics: Statistics,
    save: Callable[[Saved], None] | None,
) -> Tensor:
    node, later = inputs.permute(0, 2, 3, 1), None  # `later`: what the nodes after this one have so far, stacked.
    batch, height, width, channels = node.shape
    _, scales = mixture.scales(channels)
    for source, work in enumerate(mixture.plan.sources):
        if source > 0:
            node = torch.zeros_like(node) if later is None else later[..., 0, :]
            later = None if later is None else later[..., 1:, :]
        saved = Saved(node, torch.relu(node) if work.stacks else None, [])
        for place in work.stacks:
            stack = mixture.plan.stacks[place]
            convolved = _convolved(saved.rectified, kernels[place], stack)  # type: ignore[arg-type]
            normalised = _normalised(convolved, scales[place], statistics, stack, saved.norms if save else None)
            terms = normalised.permute(0, 2, 3, 1).view(batch, height, width, stack.run[1], channels)
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
    """[batch, count · C, H, W]. A 1x1 convolution is a matrix product."""
    kernel = _unflattened(kernel, stack, rectified)
    if stack.operation == NOR_CONV_3X3:
        return convolution(rectified.permute(0, 3, 1, 2), kernel)
    return (_rows(rectified) @ kernel.t()).view(*rectified.shape[:3], -1).permute(0, 3, 1, 2)


def _normalised(
    maps: Tensor, scale: Tensor, statistics: Statistics, stack: Stack, saved: list[tuple[Tensor, Tensor, Tensor]] | None
) -> Tensor:
    """The batch norms of a stack, times the mixing weights; in place if nothing is to be saved."""
    if saved is None:
        return statistics.normalise(maps, scale, stack.run)
    running = statistics.running(stack.run)
    output, mean, inverse_std = torch.native_batch_norm(maps, scale, None, *running, *statistics[3:6])
    saved.append((maps, mean, inverse_std))
    return output


def _add(later: Tensor | None, terms: Tensor, begin: int, targets: int) -> Tensor:
    """`terms` [batch, H, W, n, C], which may be overwritten, added to n of all targets from `begin` on."""
    count = terms.shape[3]
    if count == targets:
        return terms if later is None else terms.add_(later)
    if later is None:
        later = terms.new_zeros((*terms.shape[:3], targets, terms.shape[4]))
    later[..., begin : begin + count, :].add_(terms)
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
        ctx.plan, ctx.scales = mixture.plan, mixture.scales(inputs.shape[1])
        ctx.statistics, ctx.weights, ctx.kernels = statistics, weights, kernels
        ctx.saved = []
        keeps_nodes = weights.requires_grad

        def save(saved: Saved) -> None:
            ctx.saved.append(saved if keeps_nodes else saved._replace(node=None))

        return _forward(inputs, kernels, mixture, statistics, save)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        plan: Plan = ctx.plan
        wants_inputs, wants_scales, wants_weights = (is_wanted(ctx, position) for position in range(3))
        wants_kernels = bool(plan.stacks) and is_wanted(ctx, 3)
        gradient = gradient.permute(0, 2, 3, 1)
        # The gradients of the nodes from the last on, each followed by that of its pooling.
        rows = gradient.new_empty((LAST + len(plan.pooled_targets), *gradient.shape))
        matrix, maps = rows.flatten(1), rows.unbind()
        maps[0].copy_(gradient)
        row_of: dict[int, int] = {}
        filled = used = 0
        by_node = None
        by_kernels: list[Tensor | None] = [None] * len(plan.stacks)
        by_scales: list[Tensor | None] = [None] * len(plan.stacks)
        by_weights: list[Tensor] = []
        for source in reversed(range(LAST)):
            row_of[source + 1] = filled
            filled += 1
            if source + 1 in plan.pooled_targets:
                maps[filled].copy_(average_pool_backward(maps[filled - 1]))
                filled += 1
            weights, used = ctx.weights[used : used + filled], used + filled
            saved, work = ctx.saved.pop(), plan.sources[source]
            if wants_weights:
                by_weights.append(torch.mv(matrix[:filled], saved.node.reshape(-1)))
            wants_node = source > 0 or wants_inputs
            stacked: dict[range, Tensor] = {}
            by_rectified = None
            for place, normalised in zip(work.stacks, saved.norms, strict=True):
                stack = plan.stacks[place]
                ends = range(stack.target, stack.target + stack.run[1])
                if ends not in stacked:
                    terms = [maps[row_of[target]] for target in ends]
                    joined = torch.cat(terms, dim=3) if len(terms) > 1 else terms[0]
                    stacked[ends] = joined.permute(0, 3, 1, 2)
                by_convolved, by_scales[place] = _normalised_backward(
                    stacked[ends], normalised, ctx, place, wants_scales
                )
                by_rectified, by_kernels[place] = _convolved_backward(
                    by_convolved, saved.rectified, ctx.kernels[place], stack, by_rectified, wants_node, wants_kernels
                )
            if not wants_node:
                continue
            by_node = maps[filled] if source > 0 else torch.empty_like(maps[0])
            if by_rectified is None:
                by_node.zero_()
            else:
                aten.threshold_backward.grad_input(by_rectified, saved.rectified, 0, grad_input=by_node)
            if work.skips or work.pools:
                by_node.view(-1).addmv_(matrix[:filled].t(), weights.to(matrix.dtype))
        return (
            None,
            None,
            by_node.permute(0, 3, 1, 2) if wants_inputs and by_node is not None else None,
            _by_all_scales(by_scales, ctx.scales[0], plan) if wants_scales else None,
            torch.cat(by_weights) if wants_weights else None,
            *by_kernels,
        )


def _by_all_scales(by_scales: Sequence[Tensor | None], scales: Tensor, plan: Plan) -> Tensor:
    """The gradient by all [12 · C]; zeros where nothing is computed."""
    parts = [part for part in by_scales if part is not None]
    if sum(stack.run[1] for stack in plan.stacks) == len(CONVOLUTIONS):
        return torch.cat(parts)
    whole = torch.zeros_like(scales)
    for stack, part in zip(plan.stacks, parts, strict=True):
        stack.part(whole, len(scales) // len(CONVOLUTIONS)).copy_(part)
    return whole


def _normalised_backward(
    gradient: Tensor, saved: tuple[Tensor, Tensor, Tensor], ctx: Any, place: int, wants_scales: bool
) -> tuple[Tensor, Tensor | None]:
    """The gradients by a stack's convolutions [batch, count · C, H, W] and by its scales.

    Args:
        gradient: of the same shape, by what the stack adds to its targets.
    """
    maps, mean, inverse_std = saved
    statistics, run = ctx.statistics, ctx.plan.stacks[place].run
    by_maps, by_scale, _ = aten.native_batch_norm_backward.default(
        gradient,
        maps,
        ctx.scales[1][place],
        *statistics.running(run),
        mean,
        inverse_std,
        statistics.training,
        statistics.eps,
        [True, wants_scales, False],
    )
    return by_maps, by_scale


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
        wanted = [wants_rectified, wants_kernel, False]
        found, by_kernel, _ = aten.convolution_backward.default(
            gradient, rectified.permute(0, 3, 1, 2), kernel, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, wanted
        )
        if wants_rectified:
            found = found.permute(0, 2, 3, 1).contiguous()
            by_rectified = found if by_rectified is None else by_rectified.add_(found)
    else:
        rows = _rows(gradient.permute(0, 2, 3, 1))
        if wants_kernel:
            by_kernel = rows.t() @ _rows(rectified)
        if wants_rectified and by_rectified is None:
            by_rectified = (rows @ kernel).view(rectified.shape)
        elif wants_rectified:
            _rows(by_rectified).addmm_(rows, kernel)  # type: ignore[arg-type]
    return by_rectified, None if by_kernel is None else by_kernel.reshape(-1).to(flat.dtype)


def _rows(maps: Tensor) -> Tensor:
    """[pixels, channels]."""
    return maps.reshape(-1, maps.shape[3])


def _unflattened(kernel: Tensor, stack: Stack, rectified: Tensor) -> Tensor:
    """A stack's kernels in the maps' type: [count · C, C, 3, 3], of 1x1 convolutions [count · C, C]."""
    channels = rectified.shape[3]
    kernel = kernel.view((-1, channels, 3, 3) if stack.operation == NOR_CONV_3X3 else (-1, channels))
    return kernel if kernel.dtype == rectified.dtype else kernel.to(rectified.dtype)
