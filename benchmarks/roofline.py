"""A rough roofline of a bilevel step: its operations and bytes against the rates that this machine reaches.

    python -m benchmarks.roofline [--space S] [--size S]

Operations are those of convolutions and matrix products; bytes are what every operator reads and writes, as if no cache
held anything. Rates are of a dense 3x3 convolution and of a copy, both of the step's own largest map.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from darts_pt.commands.command_line import run_command
from darts_pt.run.errors import positive


@dataclass(frozen=True, kw_only=True)
class RooflineOptions:
    """Count a bilevel step's operations and bytes, measure the machine's rates, and compare."""

    space: Literal["nasbench201", "s1", "s2", "s3", "s4", "s5"] = "nasbench201"
    """Search space."""
    size: Literal["paper", "digits"] = "paper"
    """The sizes of benchmarks.speed."""
    threads: int = 1
    """CPU threads."""

    def __post_init__(self) -> None:
        positive("threads", self.threads)


def count(step: Callable[[], None]) -> tuple[float, float]:
    """(floating-point operations of products, bytes that operators read and write) of one call."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves
    from torch.utils.flop_counter import FlopCounterMode

    class Traffic(TorchDispatchMode):
        bytes = 0.0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            outputs = func(*args, **(kwargs or {}))
            if not func.is_view:
                tensors = [leaf for leaf in tree_leaves((args, kwargs, outputs)) if isinstance(leaf, torch.Tensor)]
                self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
            return outputs

    with Traffic() as traffic, FlopCounterMode(display=False) as operations:
        step()
    return float(operations.get_total_flops()), traffic.bytes


def seconds_of(call: Callable[[], object], repeats: int = 7) -> float:
    """The smallest time of a call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def main(options: RooflineOptions) -> None:
    """Print what a step needs, what the machine gives, and what is between."""
    import torch
    from torch.nn import functional as F

    from benchmarks.speed import Contest, SpeedOptions

    torch.set_num_threads(options.threads)
    contest = Contest(SpeedOptions(space=options.space, size=options.size))
    contest.our_step()
    operations, traffic = count(contest.our_step)
    step = seconds_of(contest.our_step, 3)
    images = contest.training.data.train.pixels
    size = contest.size
    maps = torch.randn(size.batch_size, size.init_channels, *images.shape[2:]).contiguous(
        memory_format=torch.channels_last
    )
    kernel = torch.randn(3 * size.init_channels, size.init_channels, 3, 3)
    with torch.no_grad():
        convolution = seconds_of(lambda: F.conv2d(maps, kernel, padding=1))
        copy = seconds_of(maps.clone)
    rate = 2 * maps.numel() * kernel[:, 0].numel() / convolution
    bandwidth = 2 * maps.numel() * maps.element_size() / copy
    print(f"{options.space}, {options.size} size, {options.threads} threads, torch {torch.__version__}")
    print(f"a step: {operations / 1e9:.3g} GFLOP, {traffic / 2**30:.3g} GiB, {step:.3g} s")
    print(f"the machine: {rate / 1e9:.3g} GFLOP/s (3x3 convolution), {bandwidth / 2**30:.3g} GiB/s (copy)")
    print(f"so operations take {operations / rate:.3g} s, traffic {traffic / bandwidth:.3g} s at least")


if __name__ == "__main__":
    run_command(RooflineOptions, main, sys.argv[1:])
