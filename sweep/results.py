"""The results of a sweep: a table of accuracies over seeds, as Markdown and as JSON, read from the experiments."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from darts_pt.run.files import atomic_write
from report.comparison import Aggregate, aggregate
from runs.reading import read_run
from sweep.jobs import Graph
from sweep.status import duration

HEADER = (
    "space", "data", "method", "seeds", "test accuracy (%)", "best", "table's test accuracy (%)", "time of its runs",
)  # fmt: skip


@dataclass
class MethodResult:
    """One method in one space on one data set.

    Attributes:
        trained: seed -> test accuracy (percent) of the selected architecture, trained from scratch.
        known: seed -> the benchmark table's test accuracy (percent) of the selected architecture.
        planned: how many seeds the plan asks for.
        seconds: that its runs took together; a search that several selections share counts in each.
    """

    space: str
    dataset: str
    label: str
    planned: int = 0
    trained: dict[int, float] = field(default_factory=dict)
    known: dict[int, float] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def cells(self) -> list[str]:
        trained, known = _over_seeds(self.trained), _over_seeds(self.known)
        best = trained or known
        return [
            self.space,
            self.dataset,
            self.label,
            f"{max(len(self.trained), len(self.known))} of {self.planned}",
            str(trained or ""),
            f"{best.best:.2f}" if best else "",
            str(known or ""),
            duration(self.seconds) if self.seconds else "",
        ]

    def plain(self) -> dict[str, Any]:
        return {
            "space": self.space,
            "dataset": self.dataset,
            "method": self.label,
            "planned_seeds": self.planned,
            "test_accuracy": _plain(self.trained),
            "table_accuracy": _plain(self.known),
            "seconds": round(self.seconds, 1),
        }


def _over_seeds(by_seed: dict[int, float]) -> Aggregate | None:
    return aggregate(list(by_seed.values()))


def _plain(by_seed: dict[int, float]) -> dict[str, Any] | None:
    total = _over_seeds(by_seed)
    return total and {"mean": total.mean, "std": total.std, "best": total.best, "by_seed": by_seed}


def rows(graph: Graph) -> list[MethodResult]:
    """Every method of the plan, including those of which nothing has ended yet."""
    found: dict[tuple[str, str, str], MethodResult] = {}
    trainings = {job.needs[0]: job for job in graph.jobs if job.stage == "evaluate"}
    for job in graph.jobs:
        if job.stage != "select":
            continue
        label = f"{job.label} (trial)" if job.options.fast else job.label
        row = found.setdefault((*job.setting, label), MethodResult(*job.setting, label))
        row.planned += 1
        for each in (graph[job.needs[0]], job, trainings.get(job.name)):
            if each is None or not each.is_done or each.folder is None:
                continue
            run = read_run(each.folder)
            row.seconds += run.seconds or 0.0
            if each.stage == "evaluate" and run.test_accuracy is not None:
                row.trained[job.seed] = run.test_accuracy
            if each is job and f"{row.dataset} test" in run.table:
                row.known[job.seed] = run.table[f"{row.dataset} test"]
    return list(found.values())


def write(graph: Graph) -> Path:
    """results.md and results.json in the sweep's folder; the path of the first."""
    found = rows(graph)
    explained = (
        "Mean ± standard deviation (of the sample) over seeds. Test accuracy is that of the selected architectures trained "
        "from scratch; the table's is what a benchmark table knows of them."
    )
    atomic_write(graph.output / "results.json", json.dumps([row.plain() for row in found], indent=1) + "\n")
    path = graph.output / "results.md"
    atomic_write(path, f"# {graph.plan.name}\n\n{explained}\n\n{markdown(found)}\n")
    return path


def markdown(found: list[MethodResult]) -> str:
    """The table."""
    lines = [HEADER, ["---"] * len(HEADER), *(row.cells for row in found)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
