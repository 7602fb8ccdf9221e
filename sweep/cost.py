"""What jobs will cost: by what finished experiments like them took, or else by published figures, or unknown.

A published figure is of one job on one GPU, and is carried over to others by the work they do: multiply-adds of a forward
pass × images × passes. That is a model on paper, not a measurement; docs/scale.md says what it assumes.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darts_pt.run.chosen import GENOTYPE_FILE, SUMMARY_FILE
from sweep import work
from sweep.jobs import Job, read_object
from sweep.plan import family_of

HOUR, DAY = 3600.0, 86400.0


@dataclass(frozen=True)
class Estimate:
    """Seconds that a job takes, None where that is not known, and how one knows."""

    seconds: float | None
    source: str


@dataclass(frozen=True)
class Published:
    """A published time of one kind of job: on CIFAR-10 in the DARTS space, at the paper's sizes."""

    seconds: float
    source: str


GTX_1080_TI = {
    "search": Published(
        0.4 * DAY, "0.4 GPU-days for the search of S5 on a GTX 1080 Ti (Wang et al., ICLR 2021, table 2: 0.8 with PT)"
    ),
    "select": Published(0.4 * DAY, "0.4 GPU-days for PT in S5 on a GTX 1080 Ti (likewise: 0.8 less the search's 0.4)"),
    "evaluate": Published(
        1.5 * DAY, "1.5 days for 600 epochs, C=36, L=20 on a GTX 1080 Ti (Liu et al., DARTS, ICLR 2019, appendix A)"
    ),
}
"""Published times; the original's code, not this one's, which has not been timed on a GPU."""

_ALIKE = (
    "space", "dataset", "method", "selection", "init_channels", "layers", "cells_per_stage", "batch_size", "proj_intv",
    "edge_decision", "oneshot_epochs", "train_portion", "fast", "cutout", "auxiliary", "partial_channels", "precision",
)  # fmt: skip
"""Options that decide how long an epoch takes."""


class Timings:
    """What the finished experiments of a folder took.

    Attributes:
        runs: what tells jobs apart -> (seconds per epoch, device) of every such run.
    """

    def __init__(self, experiments: Path) -> None:
        self.runs: dict[tuple[Any, ...], list[tuple[float, str]]] = {}
        for folder, inside, files in os.walk(experiments):
            inside[:] = [name for name in inside if name not in ("scripts", "runs", "sweeps")]
            if "timing.jsonl" in files and (GENOTYPE_FILE in files or SUMMARY_FILE in files):
                self._add(Path(folder))

    def _add(self, folder: Path) -> None:
        config = read_object(folder / "config.json") or {}
        options = config.get("options")
        lines = [_line(text) for text in (folder / "timing.jsonl").read_text("utf-8", "replace").splitlines()]
        seconds = sum(line.get("seconds", 0.0) for line in lines)
        if not isinstance(options, dict) or not seconds:
            return
        stage = "evaluate" if "arch" in options else "select" if "selection" in options else "search"
        family = "nasbench201" if "cells_per_stage" in options else "sota"
        epochs = 1 if stage == "select" else max((line.get("epoch", 0) for line in lines), default=0)
        if epochs > 0:
            device = str(config.get("device") or "an unknown device")
            self.runs.setdefault(_key(stage, family, options), []).append((seconds / epochs, device))

    def of(self, job: Job, searched: Job | None) -> Estimate | None:
        """The median of the runs like a job, for its epochs."""
        options = {**vars(job.options), **(_open(job, searched) if searched else {})}
        family = family_of(job.space)
        found = self.runs.get(_key(job.stage, family, options))
        if not found:
            return None
        epochs = 1 if job.stage == "select" else options["epochs"]
        devices = ", ".join(sorted({device for _, device in found}))
        many = f"{len(found)} run{'s' if len(found) > 1 else ''}"
        return Estimate(statistics.median(each for each, _ in found) * epochs, f"measured: {many} on {devices}")


def _line(text: str) -> Mapping[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _key(stage: str, family: str, options: Mapping[str, Any]) -> tuple[Any, ...]:
    own = {name: options.get(name) for name in _ALIKE}
    if stage != "select":
        own |= {"selection": None, "proj_intv": None}
    if stage == "evaluate":
        own |= {"space": None, "method": None}
    return (stage, family, *own.values())


def _open(job: Job, searched: Job) -> dict[str, Any]:
    """What a selection takes from its search."""
    theirs = vars(searched.options)
    return {name: theirs[name] for name in theirs if name in _ALIKE and getattr(job.options, name, None) is None}


def estimate(job: Job, timings: Timings) -> Estimate:
    """What a job will cost."""
    if job.stage == "report":
        return Estimate(None, "")
    searched = job.source if job.stage == "select" else None
    measured = timings.of(job, searched)
    if measured is not None:
        return measured
    if job.selection == "magnitude" and job.stage == "select":
        return Estimate(0.0, "nothing is trained")
    passes = work.of(job)
    if passes is None:
        return Estimate(None, "not known")
    published = GTX_1080_TI[job.stage]
    return Estimate(published.seconds * passes / work.reference(job.stage), "published, carried over")
