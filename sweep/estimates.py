"""How long jobs will take: by what finished experiments like them took; of others it is not known.

A search and a training are reckoned by their epochs, a selection as a whole.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runs.reading import read_run, runs_below
from sweep.jobs import Graph, Job

_TIMING = (
    "space", "dataset", "method", "selection", "init_channels", "layers", "cells_per_stage", "batch_size", "proj_intv",
    "edge_decision", "oneshot_epochs", "train_portion", "fast", "cutout", "auxiliary", "partial_channels", "precision",
)  # fmt: skip
"""Options that decide how long an epoch takes."""


_IGNORED = {"selection": (), "search": ("proj_intv",), "training": ("space", "method")}
"""Those of them that a command has, but does not depend on."""


class Timings:
    """The times of the finished experiments in a folder: seconds per epoch and device of those that are alike."""

    def __init__(self, experiments: Path) -> None:
        self._runs: dict[tuple[Any, ...], list[tuple[float, str]]] = {}
        for run in map(read_run, runs_below(experiments)):
            epochs = 1 if run.kind == "selection" else max((line.get("epoch", 0) for line in run.timing), default=0)
            if run.kind in _IGNORED and epochs and run.seconds and (run.genotype or run.summary):
                device = str(run.config.get("device") or "an unknown device")
                self._runs.setdefault(_key(run.kind, run.options), []).append((run.seconds / epochs, device))

    def estimate(self, graph: Graph, job: Job) -> tuple[float | None, str]:
        """The median of the finished experiments like a job, for its epochs, and how one knows."""
        if job.run is None:
            return None, ""
        options = vars(job.options)
        if job.stage == "select":  # What a plan leaves open is taken from the search.
            theirs = vars(graph[job.needs[0]].options)
            options = {name: theirs.get(name) if value is None else value for name, value in options.items()}
        found = self._runs.get(_key(job.run.kind, options), [])
        if not found:
            return None, "not known until one like it has run"
        epochs = 1 if job.stage == "select" else options["epochs"]
        devices = ", ".join(sorted({device for _, device in found}))
        source = f"measured: {len(found)} run{'s' if len(found) > 1 else ''} on {devices}"
        return statistics.median(seconds for seconds, _ in found) * epochs, source


def _key(kind: str, options: Mapping[str, Any]) -> tuple[Any, ...]:
    return (kind, *(None if name in _IGNORED[kind] else options.get(name) for name in _TIMING))


def schedule(jobs: list[tuple[str, float, tuple[str, ...]]], slots: int) -> float:
    """Seconds until all jobs have ended if `slots` can run at once and each starts as soon as it can, in their order.

    Args:
        jobs: (name, seconds, needs) of every job, those that others need first.
    """
    ends: dict[str, float] = {}
    running: list[tuple[float, str]] = []
    names = {name for name, *_ in jobs}  # What others needed has ended before.
    waiting = list(jobs)
    now = 0.0
    while waiting or running:
        ready = [job for job in waiting if all(need in ends for need in job[2] if need in names)]
        for job in ready[: slots - len(running)]:
            waiting.remove(job)
            running.append((now + job[1], job[0]))
        now, name = min(running)
        running.remove((now, name))
        ends[name] = now
    return now


def longest_chain(jobs: list[tuple[str, float, tuple[str, ...]]]) -> float:
    """Seconds of the longest chain of jobs that need each other: no number of GPUs is quicker."""
    return schedule(jobs, max(1, len(jobs)))
