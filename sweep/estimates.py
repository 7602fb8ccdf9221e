"""How long jobs will take: by what finished experiments like them took; of others it is not known.

A search and a training are reckoned by their epochs, a selection as a whole.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darts_pt.run.results import GENOTYPE_FILE, SUMMARY_FILE
from runs.reading import read_lines
from runs.recorded import number
from runs.run import read_object
from sweep.jobs import Graph, Job

_TIMING = (
    "space", "dataset", "method", "selection", "init_channels", "layers", "cells_per_stage", "batch_size", "proj_intv",
    "edge_decision", "oneshot_epochs", "train_portion", "fast", "cutout", "auxiliary", "partial_channels", "precision",
)  # fmt: skip
"""Options that decide how long an epoch takes."""


@dataclass(frozen=True)
class Estimate:
    """Seconds that a job takes, None where that is not known, and how one knows."""

    seconds: float | None
    source: str


class Timings:
    """What the finished experiments of a folder took: seconds per epoch and device of those that are alike."""

    def __init__(self, experiments: Path) -> None:
        self._runs: dict[tuple[Any, ...], list[tuple[float, str]]] = {}
        for folder, inside, files in os.walk(experiments):
            inside[:] = [name for name in inside if name not in ("scripts", "runs", "sweeps")]
            if "timing.jsonl" in files and (GENOTYPE_FILE in files or SUMMARY_FILE in files):
                self._add(Path(folder))

    def _add(self, folder: Path) -> None:
        config = read_object(folder / "config.json") or {}
        options, lines = config.get("options"), read_lines(folder / "timing.jsonl")
        seconds = sum(number(line.get("seconds")) or 0.0 for line in lines)
        if not isinstance(options, dict) or not seconds:
            return
        stage = "evaluate" if "arch" in options else "select" if "selection" in options else "search"
        epochs = 1 if stage == "select" else max((line.get("epoch", 0) for line in lines), default=0)
        if epochs > 0:
            device = str(config.get("device") or "an unknown device")
            self._runs.setdefault(_key(stage, options), []).append((seconds / epochs, device))

    def estimate(self, graph: Graph, job: Job) -> Estimate:
        """The median of the finished experiments like a job, for its epochs."""
        if job.run is None:
            return Estimate(None, "")
        options = vars(job.options)
        if job.stage == "select":  # What a plan leaves open is taken from the search.
            theirs = vars(graph[job.needs[0]].options)
            options = {name: theirs.get(name) if value is None else value for name, value in options.items()}
        found = self._runs.get(_key(job.stage, options), [])
        if not found:
            return Estimate(None, "not known until one like it has run")
        epochs = 1 if job.stage == "select" else options["epochs"]
        devices = ", ".join(sorted({device for _, device in found}))
        source = f"measured: {len(found)} run{'s' if len(found) > 1 else ''} on {devices}"
        return Estimate(statistics.median(seconds for seconds, _ in found) * epochs, source)


def _key(stage: str, options: Mapping[str, Any]) -> tuple[Any, ...]:
    ignored = {"select": (), "search": ("proj_intv",), "evaluate": ("space", "method")}[stage]
    return (stage, *(None if name in ignored else options.get(name) for name in _TIMING))


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
