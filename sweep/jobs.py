"""A job: one of the project's commands, with what it needs, where it writes, and how one sees that it is done.

Nothing here imports torch: workers on every node use this module. What a job has done is read from its experiment folder
(its checkpoints, genotype.json, summary.json) and from nowhere else.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from darts_pt.run.chosen import GENOTYPE_FILE, SUMMARY_FILE
from darts_pt.run.files import read_json
from runs.costs import located
from sweep.plan import Resources, family_of

Stage = Literal["search", "select", "evaluate", "report"]

MODULES = {
    ("search", "nasbench201"): "nasbench201.train_search",
    ("search", "sota"): "sota.train_search",
    ("select", "nasbench201"): "nasbench201.projection",
    ("select", "sota"): "sota.projection",
    ("evaluate", "nasbench201"): "nasbench201.train",
    ("evaluate", "sota"): "sota.train",
}
"""(stage, family) -> the command."""

PAGE = "index.html"
RESUME = {"search": "--resume_epoch", "select": "--dev_resume_epoch", "evaluate": "--resume_epoch"}


@dataclass(frozen=True)
class Job:
    """One run of one command.

    Attributes:
        name: unique in the sweep, and fit for a file's name.
        options: the command's options, with presets filled in as far as they are known before the job runs.
        arguments: the same as the plan says them, as a command line.
        folder: where it writes, if that is known beforehand; a `*` in its name stands for what is not.
        source: the job whose result it starts from.
        needs: names of the jobs that must have ended before.
        resources: what it is given.
        line: the line of the plan that asks for it.
    """

    name: str
    stage: Stage
    space: str
    dataset: str
    method: str
    selection: str
    seed: int
    options: Any
    arguments: tuple[str, ...]
    folder: Path | None
    source: Job | None
    needs: tuple[str, ...]
    resources: Resources
    line: int = 1

    @property
    def label(self) -> str:
        """Method and selection: `darts + pt`; a search has only the first."""
        return f"{self.method} + {self.selection}" if self.selection else self.method


def folder_of(job: Job) -> Path | None:
    """The experiment folder of a job as far as it can be told now; None if that depends on a job that has not ended."""
    if job.folder is not None:
        folder = located(job.folder)
        return None if "*" in folder.name else folder
    assert job.stage == "evaluate", job
    assert job.source is not None
    selected = folder_of(job.source)
    if selected is None or read_object(selected / GENOTYPE_FILE) is None:
        return None
    return _training_folder(_training(job, selected))


def _training(job: Job, selected: Path) -> Any:
    """The options of an evaluation training, now that the architecture is known."""
    if family_of(job.space) == "nasbench201":
        arch = str((read_object(selected / GENOTYPE_FILE) or {}).get("genotype"))
    else:
        arch = f"{selected.parent.name}/{selected.name}"  # By name: paths would tell equal runs apart.
    return dataclasses.replace(job.options, arch=arch)


def _training_folder(options: Any) -> Path:
    if hasattr(options, "cells_per_stage"):
        from nasbench201.train import folder_of as folder

        return folder(options)
    from sota.choice import find
    from sota.train import folder_of as named_folder

    return named_folder(options, find(options.arch, options.experiments / "sota", options.dataset).name)


def read_object(path: Path) -> Mapping[str, Any] | None:
    """The object in a file; None if there is none that is whole."""
    try:
        content = read_json(path)
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def is_done(job: Job) -> bool:
    """Whether the job's experiment has come to its end."""
    folder = folder_of(job)
    if folder is None:
        return False
    if job.stage == "report":
        return False  # It is quick, and what it tells of may have changed.
    if job.stage == "search":  # Selections start from its last checkpoint.
        last = folder / f"checkpoint_{job.options.epochs}.pth.tar"
        return read_object(folder / GENOTYPE_FILE) is not None and last.is_file()
    return read_object(folder / (GENOTYPE_FILE if job.stage == "select" else SUMMARY_FILE)) is not None


def is_begun(folder: Path) -> bool:
    """Whether there is a checkpoint to go on from."""
    return any(folder.glob("checkpoint_*.pth.tar"))


def command_of(job: Job, gpu: bool, made: Sequence[Path] = ()) -> list[str]:
    """The command line of a job whose needs are done: from the beginning, or on from its checkpoint.

    Args:
        gpu: whether it has been given (a part of) one.
        made: for the report, the experiments that it is about.
    """
    if job.stage == "report":
        return [sys.executable, "-m", "report.page", *map(str, made), *job.arguments]
    words = [sys.executable, "-m", MODULES[job.stage, family_of(job.space)], *job.arguments]
    if job.stage == "select":
        searched = _source(job).folder
        assert searched is not None, job
        words += ["--resume_expid", searched.name]
    elif job.stage == "evaluate":
        selected = folder_of(_source(job))
        assert selected is not None
        words += ["--arch", _training(job, selected).arch]
    words += ["--gpu", "auto" if gpu else "cpu"]
    folder = folder_of(job)
    if folder is not None and folder.exists():
        words += [RESUME[job.stage], "-1"] if is_begun(folder) else ["--overwrite"]
    return words


def _source(job: Job) -> Job:
    assert job.source is not None, job
    return job.source


def epochs_done(folder: Path) -> int | None:
    """The epochs that a run has recorded so far, from the end of its timing.jsonl."""
    try:
        with (folder / "timing.jsonl").open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 4096))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        try:
            return int(json.loads(line)["epoch"])
        except (ValueError, KeyError, TypeError):
            continue
    return None
