"""Measuring what a call takes: time in turn with another's, and peak memory."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

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
