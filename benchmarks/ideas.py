"""What each idea behind the fast cells gives on this machine's CPU: one operation at a time, before and after.

    python -m benchmarks.ideas

One thread, processor time, the smallest of many calls made in turn, so that it holds on a busy machine too. Maps are those
of the paper's size (64 images) or of the digits'.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from darts_pt.commands.command_line import run_command
from darts_pt.run.errors import positive

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class IdeaOptions:
    """Time every idea before and after."""

    seconds: float = 1.0
    """For how long each is timed; the smallest time counts."""

    def __post_init__(self) -> None:
        positive("seconds", self.seconds)


class Idea(NamedTuple):
    """Two ways to the same numbers."""

    name: str
    before: Callable[[], object]
    after: Callable[[], object]


def _maps(batch: int, channels: int, side: int) -> Tensor:
    import torch

    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(batch, channels, side, side, generator=generator)
    return maps.contiguous(memory_format=torch.channels_last)


def layouts() -> Iterator[Idea]:
    """What channels-last and matrix products give to convolutions, batch norms and poolings."""
    import torch
    from torch.nn import functional as F

    from darts_pt.kernels.mixed import average_pool, convolution, pointwise

    maps, stack = _maps(64, 16, 32), _maps(64, 48, 32)
    plain, plain_stack = maps.contiguous(), stack.contiguous()
    three, one = torch.randn(48, 16, 3, 3), torch.randn(48, 16, 1, 1)
    yield Idea(
        "channels-last: 3x3 convolution 16 → 48, 32x32",
        lambda: F.conv2d(plain, three, padding=1),
        lambda: convolution(maps, [three]),
    )
    yield Idea(
        "channels-last: 1x1 convolution 16 → 48, 32x32", lambda: F.conv2d(plain, one), lambda: pointwise(maps, [one])
    )
    yield Idea(
        "channels-last: batch norm, 48 channels, 32x32",
        lambda: F.batch_norm(plain_stack, None, None, training=True),
        lambda: F.batch_norm(stack, None, None, training=True),
    )
    small, kernel = _maps(32, 8, 8), torch.randn(24, 8, 1, 1)
    yield Idea(
        "small maps: 1x1 convolution 8 → 24, 8x8, as a product",
        lambda: F.conv2d(small, kernel),
        lambda: pointwise(small, [kernel]),
    )
    for name, inputs in (("16 channels, 32x32, as a convolution", maps), ("8 channels, 8x8, likewise", small)):
        yield Idea(
            f"average pooling, {name}",
            lambda inputs=inputs: F.avg_pool2d(inputs, 3, 1, 1, count_include_pad=False),
            lambda inputs=inputs: average_pool(inputs),
        )


def sums() -> Iterator[Idea]:
    """Batch norms on their way into nodes, and alpha's gradient."""
    import torch

    from darts_pt.kernels.mixed import BatchNorm2d, stacked_batch_norm
    from darts_pt.kernels.sums import NodeSums

    stack, maps, one, scale = _maps(64, 48, 32), _maps(64, 16, 32), torch.ones(()), torch.rand(48)
    norms = [BatchNorm2d(16, affine=False) for _ in range(3)]
    for norm in norms:
        norm.momentum = 0.0  # as while removals are scored

    def one_by_one() -> list[Tensor]:
        totals = [maps * one for _ in norms]
        for total, term in zip(totals, stacked_batch_norm(stack, norms, scale).split(16, dim=1), strict=True):
            total.add_(term)
        return totals

    def as_factors() -> list[Tensor]:
        collected = NodeSums()
        for node in range(3):
            collected.add_weighted(node, maps, one)
        collected.add_normalised([0, 1, 2], stack, norms, scale)
        return [total for node in range(3) if (total := collected.take(node)) is not None]

    yield Idea("scoring: 3 batch norms of 16 channels, 32x32, added to 3 nodes", one_by_one, as_factors)
    other = _maps(64, 16, 32)
    flat, flat_other = (each.permute(0, 2, 3, 1).reshape(-1) for each in (maps, other))
    yield Idea(
        "gradient by alpha: a dot product, 16 channels, 32x32",
        lambda: torch.sum(maps * other),
        lambda: torch.dot(flat, flat_other),
    )


def depthwise_passes() -> Iterator[Idea]:
    """Depthwise convolutions: backward passes by forward passes, edges stacked, kernels without what meets padding."""
    import torch
    from torch.nn import functional as F

    from sota.mixed import depthwise

    def backward(inputs: Tensor, kernel: Tensor, dilation: int, by_inputs: bool, ours: bool) -> Callable[[], object]:
        inputs, kernel = inputs.clone().requires_grad_(by_inputs), kernel.clone().requires_grad_(not by_inputs)
        padding = dilation * (kernel.shape[2] - 1) // 2

        def call() -> object:
            with torch.enable_grad():
                if ours:
                    output = depthwise(inputs, [kernel], 1, dilation)
                else:
                    output = F.conv2d(inputs, kernel, padding=padding, dilation=dilation, groups=inputs.shape[1])
                return torch.autograd.grad(output, inputs if by_inputs else kernel, torch.ones_like(output))

        return call

    maps = _maps(64, 16, 32)
    for size, dilation, by_inputs in ((3, 2, True), (5, 2, True), (5, 1, False), (5, 2, False)):
        kernel = torch.randn(16, 1, size, size)
        yield Idea(
            f"depthwise {size}x{size}, dilation {dilation}, 16 channels, 32x32: with its gradient by its "
            f"{'input' if by_inputs else 'kernel'}",
            backward(maps, kernel, dilation, by_inputs, ours=False),
            backward(maps, kernel, dilation, by_inputs, ours=True),
        )
    small, kernels = _maps(64, 4, 8), [torch.randn(4, 1, 3, 3) for _ in range(4)]
    yield Idea(
        "4 edges' depthwise 3x3, 4 channels, 8x8, as one",
        lambda: [depthwise(small, [kernel], 1, 1) for kernel in kernels],
        lambda: depthwise(torch.cat([small] * 4, dim=1), kernels, 1, 1),
    )
    stacked = _maps(64, 16, 8)
    yield Idea(
        "their batch norms",
        lambda: [F.batch_norm(small, None, None, training=True) for _ in kernels],
        lambda: F.batch_norm(stacked, None, None, training=True),
    )
    tiny, dilated = _maps(64, 16, 2), torch.randn(16, 1, 5, 5)
    yield Idea(
        "depthwise 5x5, dilation 2, 16 channels, 2x2: only what meets the map",
        lambda: F.conv2d(tiny, dilated, padding=4, dilation=2, groups=16),
        lambda: depthwise(tiny, [dilated], 1, 2),
    )


def smallest(idea: Idea, seconds: float) -> tuple[float, float]:
    """Milliseconds of one call before and after; they take turns."""
    times: tuple[list[float], list[float]] = ([], [])
    end = time.process_time() + seconds
    while len(times[0]) < 4 or time.process_time() < end:
        for action, taken in zip((idea.before, idea.after), times, strict=True):
            start = time.process_time()
            action()
            taken.append(time.process_time() - start)
    return 1e3 * min(times[0][1:]), 1e3 * min(times[1][1:])


def main(options: IdeaOptions) -> None:
    """Print a table in Markdown."""
    import torch

    torch.set_num_threads(1)
    print("| Idea | before, ms | after, ms |\n|---|---|---|")
    with torch.no_grad():
        for idea in (*layouts(), *sums(), *depthwise_passes()):
            before, after = smallest(idea, options.seconds)
            print(f"| {idea.name} | {before:.3g} | {after:.3g} |", flush=True)


if __name__ == "__main__":
    run_command(IdeaOptions, main, sys.argv[1:])
