"""The results of a sweep: a table of accuracies over seeds, as Markdown and JSON, from the experiments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from darts_pt.run.files import atomic_write
from darts_pt.run.logs import duration
from report.comparison import Aggregate, aggregate
from report.markdown import table
from runs.reading import read_run
from sweep.jobs import Graph, Job

HEADER = (
    "space", "data", "method", "seeds", "test accuracy (%)", "best", "table's test accuracy (%)", "time of its runs",
)  # fmt: skip


def rows(graph: Graph) -> list[dict[str, Any]]:
    """Every method in every space on every data set, as in results.json.

    `test_accuracy` is of selected architectures trained from scratch, `table_accuracy` by the benchmark table (percent);
    None if nothing has ended. `seconds` is the time of all runs; a search counts for each of its selections.
    """
    trainings = {job.needs[0]: job for job in graph.jobs if job.stage == "evaluate"}
    planned: dict[tuple[str, str, str], list[Job]] = {}
    for job in graph.jobs:
        if job.stage == "select":
            label = f"{job.label} (trial)" if job.options.fast else job.label
            planned.setdefault((*job.setting, label), []).append(job)
    found = []
    for (space, dataset, label), jobs in planned.items():
        trained: dict[int, float] = {}
        known: dict[int, float] = {}
        seconds = 0.0
        for job in jobs:
            for each in (graph[job.needs[0]], job, trainings.get(job.name)):
                if each is None or not each.is_done or each.folder is None:
                    continue
                run = read_run(each.folder)
                seconds += run.seconds or 0.0
                if each.stage == "evaluate" and run.test_accuracy is not None:
                    trained[job.seed] = run.test_accuracy
                if each is job and f"{dataset} test" in run.table:
                    known[job.seed] = run.table[f"{dataset} test"]
        row = {"space": space, "dataset": dataset, "method": label, "planned_seeds": len(jobs)}
        row |= {"test_accuracy": _over_seeds(trained), "table_accuracy": _over_seeds(known)}
        found.append(row | {"seconds": round(seconds, 1)})
    return found


def _over_seeds(by_seed: dict[int, float]) -> dict[str, Any] | None:
    total = aggregate(by_seed.values())
    return total and {**total._asdict(), "by_seed": by_seed}


def write(graph: Graph) -> Path:
    """results.md and results.json in the sweep's folder; the path of the first."""
    found = rows(graph)
    explained = (
        "Mean ± standard deviation (of the sample) over seeds. Test accuracy is that of the selected architectures trained "
        "from scratch; the table's is what a benchmark table knows of them."
    )
    atomic_write(graph.output / "results.json", json.dumps(found, indent=1) + "\n")
    path = graph.output / "results.md"
    atomic_write(path, f"# {graph.plan.name}\n\n{explained}\n\n{markdown(found)}\n")
    return path


def markdown(found: list[dict[str, Any]]) -> str:
    """The table."""
    return table(HEADER, [_cells(row) for row in found])


def _cells(row: dict[str, Any]) -> list[str]:
    trained, known = row["test_accuracy"] or {}, row["table_accuracy"] or {}
    ended = max(len(one.get("by_seed", ())) for one in (trained, known))
    best = (trained or known).get("best")
    return [
        row["space"],
        row["dataset"],
        row["method"],
        f"{ended} of {row['planned_seeds']}",
        _mean(trained),
        "" if best is None else f"{best:.2f}",
        _mean(known),
        duration(row["seconds"]) if row["seconds"] else "",
    ]


def _mean(total: dict[str, Any]) -> str:
    return str(Aggregate(total["mean"], total["std"], total["best"])) if total else ""
