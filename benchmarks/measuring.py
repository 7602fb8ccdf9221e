"""Measuring what a call takes: time in turn with another's, peak memory, kernels and the bytes that they read and write.

    python -m benchmarks.speed --size paper --json FILE
    python -m benchmarks.measuring FILE …

Kernels and bytes are exact, whatever else the machine does. The command makes a model, not a measurement, of what a step
and a decision would take on a GPU: the larger of two times, that of the launches and that of the bytes. It assumes that
all kernels are like the mean one, that nothing stays in a cache, that no arithmetic takes longer than its bytes, and
that a GPU computes the kernels that were counted on the CPU.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from report.markdown import table

if TYPE_CHECKING:
    import torch


class Timing(NamedTuple):
    """Median seconds of one call by the clock, and of the processor: the latter on a busy machine too."""

    wall: float
    processor: float


def in_turn(
    ours: Callable[[], None], theirs: Callable[[], None], repeats: int, budget: float, device: torch.device
) -> tuple[Timing, Timing]:
    """How long each takes, timed A B A B … after one warm-up each.

    Args:
        repeats: turns; fewer, but 3, where they take more than `budget` seconds.
    """
    import torch

    synchronize = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    times: tuple[list[Timing], list[Timing]] = ([], [])
    end = time.perf_counter() + budget
    for turn in range(repeats + 1):
        for action, taken in zip((ours, theirs), times, strict=True):
            synchronize()
            wall, processor = time.perf_counter(), time.process_time()
            action()
            synchronize()
            if turn > 0:
                taken.append(Timing(time.perf_counter() - wall, time.process_time() - processor))
        if len(times[0]) >= 3 and time.perf_counter() > end:
            break
    first, second = (Timing(*map(statistics.median, zip(*taken, strict=True))) for taken in times)
    return first, second


def peak_bytes(action: Callable[[], None], device: torch.device) -> int:
    """The most memory that torch had allocated for tensors at one time during `action`, above what it had before.

    On the CPU from the profiler's record of every allocation, so that it is exact and repeatable.
    """
    import torch

    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        action()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with (
        _quiet(),
        torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile,
    ):
        action()
    assert profile.profiler is not None
    results = profile.profiler.kineto_results
    assert results is not None
    records: list[Any] = [event for event in results.events() if event.name() == "[memory]"]
    changes = [(record.start_ns(), record.nbytes()) for record in records]
    peak = live = 0
    for _, change in sorted(changes, key=lambda item: item[0]):
        live += change
        peak = max(peak, live)
    return peak


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the profiler's remarks on the standard error."""
    saved = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


# Kernels and bytes -----------------------------------------------------------------------------------------------

NOT_KERNELS = {
    "detach", "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_unsafe_view",
    "_local_scalar_dense", "_record_function_enter_new", "_record_function_exit", "promote_types",
}  # fmt: skip
"""Operators that compute nothing, besides those that return a view."""


class Count(NamedTuple):
    """Operators called that are neither views nor metadata, and the bytes of all tensors that they read and write."""

    kernels: int
    bytes: int


def count(action: Callable[[], object]) -> Count:
    """Count a call's kernels. Several tensors stepped by one operator (`_foreach_…`) count as one."""
    from torch import Tensor
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    kernels = size = 0

    class Counter(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal kernels, size
            outputs, name = func(*args, **(kwargs or {})), func._schema.name
            if not func.is_view and name.removeprefix("aten::").removeprefix("profiler::") not in NOT_KERNELS:
                tensors = [leaf for leaf in tree_leaves((args, kwargs, outputs)) if isinstance(leaf, Tensor)]
                kernels, size = kernels + 1, size + sum(tensor.numel() * tensor.element_size() for tensor in tensors)
            return outputs

    with Counter():
        action()
    return Count(kernels, size)


# The model -------------------------------------------------------------------------------------------------------

PYTHON, GRAPH = 7e-6, 2.5e-6
"""Seconds for a kernel that Python launches, and for one in a CUDA graph."""
GPUS = {"H200": 0.8 * 4.8e12, "A100 80 GB": 0.8 * 2.0e12}
"""Bytes per second that kernels reach: 80 % of the memory's peak."""
UNITS = (("kernels", 1), ("bytes", 1e9))


def model(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The modelled times as a Markdown table.

    Args:
        rows: those of `benchmarks.speed` by name.
    """
    columns = [f"{gpu}{how}, ms" for gpu in GPUS for how in ("", " with graphs")]
    lines: list[list[str]] = []
    for what, title in (("a step", "step"), ("an event", "decision")):
        for whose in ("ours", "textbook"):
            count = Count(*(int(rows[f"{name} of {what}"][whose] * unit) for name, unit in UNITS))
            launches = (PYTHON, GRAPH) if whose == "ours" else (PYTHON, None)  # Only ours can be replayed.
            lines.append([title, whose, f"{count.kernels:,}", f"{count.bytes / 1e9:.3g}"])
            lines[-1] += [milliseconds(count, launch, speed) for speed in GPUS.values() for launch in launches]
    return table(["", "", "kernels", "GB", *columns], lines)


def milliseconds(count: Count, launch: float | None, speed: float) -> str:
    """The modelled time; a dash where nothing can be launched so."""
    return "–" if launch is None else f"{1e3 * max(count.kernels * launch, count.bytes / speed):.1f}"


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        found = {row["name"]: row for row in json.loads(Path(argument).read_text(encoding="utf-8"))}
        print(f"{argument}\n\n{model(found)}\n")
