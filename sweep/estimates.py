"""Estimates of how long jobs take, from finished experiments like them.

The time of a search or a training is estimated per epoch, that of a selection as a whole.
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
"""Those of them that a command has but that do not affect its time."""


class Timings:
    """The times of the finished experiments in a folder: seconds per epoch and device, by kind of run."""

    def __init__(self, experiments: Path) -> None:
        self._runs: dict[tuple[Any, ...], list[tuple[float, str]]] = {}
        for run in map(read_run, runs_below(experiments)):
            epochs = 1 if run.kind == "selection" else max((line.get("epoch", 0) for line in run.timing), default=0)
            if run.kind in _IGNORED and epochs and run.seconds and (run.genotype or run.summary):
                device = str(run.config.get("device") or "an unknown device")
                self._runs.setdefault(_key(run.kind, run.options), []).append((run.seconds / epochs, device))

    def estimate(self, graph: Graph, job: Job) -> tuple[float | None, str]:
        """The time of a job from the median of finished experiments like it, and the source of the estimate."""
        if job.run is None:
            return None, ""
        options = vars(job.options)
        if job.stage == "select":  # What the plan leaves open comes from the search.
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
    """Seconds until all jobs have ended if `slots` run at once and each starts as soon as it can, in order.

    Args:
        jobs: (name, seconds, needs) of every job, those that others need first.
    """
    ends: dict[str, float] = {}
    running: list[tuple[float, str]] = []
    names = {name for name, *_ in jobs}  # Other needs have ended already.
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
    """Seconds of the longest chain of dependent jobs: no number of GPUs is faster."""
    return schedule(jobs, max(1, len(jobs)))
