"""`--dry_run`: the jobs of a sweep with their estimated times; nothing is run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from darts_pt.run.logs import duration
from sweep.estimates import Timings, longest_chain, schedule
from sweep.jobs import Graph, Job

_WORDS = {"search": "search", "select": "  select", "evaluate": "    train", "report": "report"}
HOUR = 3600.0


def show(
    graph: Graph, experiments: Path, gpus_per_job: float | None, model_gpus: Sequence[int], price: float | None
) -> None:
    """Print every job (one line for those that differ only in the seed) and totals."""
    timings = Timings(experiments)
    estimates = {job.name: timings.estimate(graph, job) for job in graph.jobs}
    done = {job.name for job in graph.jobs if job.is_done}
    print(f"{graph.plan.name}: {len(graph.jobs)} jobs, {len(done)} of them done")
    setting = None
    for jobs in _alike(graph):
        job = jobs[0]
        if job.run is not None and job.setting != setting:
            setting = job.setting
            print("\n" + ", ".join(setting))
        name = f"{_WORDS[job.stage]} {job.selection if job.stage == 'select' else job.method}".rstrip()
        seeds = f"seed{'s' if len(jobs) > 1 else ''} {' '.join(str(each.seed) for each in jobs)}" if job.run else ""
        finished = sum(each.name in done for each in jobs)
        state = f", {finished} done" if finished else ""
        seconds, source = estimates[job.name]
        cost = f"{duration(seconds)} each, " if seconds is not None else ""
        print(f"  {name:<26} {seeds + state:<24} {cost}{source}".rstrip())
    left = [job for job in graph.jobs if job.name not in done and job.run is not None]
    _totals([(job, estimates[job.name][0]) for job in left], gpus_per_job or 1.0, model_gpus, price)


def _alike(graph: Graph) -> list[list[Job]]:
    """Jobs that differ only in the seed; a search is followed by its selections, a selection by its trainings."""
    groups: dict[tuple[str, ...], list[Job]] = {}
    for job in graph.jobs:
        groups.setdefault((*job.setting, job.method, job.selection, job.stage), []).append(job)
    places = {part: place for place, part in enumerate(dict.fromkeys(part for key in groups for part in key))}
    return [groups[key] for key in sorted(groups, key=lambda key: (key[4] == "report", *map(places.get, key)))]


def _totals(
    jobs: list[tuple[Job, float | None]], gpus_per_job: float, model_gpus: Sequence[int], price: float | None
) -> None:
    known = [(job.name, seconds or 0.0, job.needs) for job, seconds in jobs]
    total = sum(seconds for _, seconds, _ in known)
    unknown = sum(seconds is None for _, seconds in jobs)
    print()
    if total > 0:
        chain = longest_chain(known) / HOUR
        print(f"{len(jobs)} jobs: {total / HOUR:.1f} h one after the other; longest chain {chain:.1f} h")
    if unknown:
        print(
            f"of {unknown} jobs the time is not known: no finished experiment is like them; "
            "docs/scale.md has what was measured"
        )
    for gpus in model_gpus if total > 0 else ():
        slots = max(1, int(gpus / gpus_per_job))
        hours = schedule(known, slots) / HOUR
        busy = 100 * total / HOUR / (hours * slots)
        cost = f", {hours * gpus * price:,.0f} for {hours * gpus:,.0f} GPU-hours paid" if price is not None else ""
        print(
            f"{gpus:4d} GPU{'s' if gpus > 1 else ''}: {hours:9.1f} h = {hours / 24:.1f} days, {busy:.0f} % busy{cost}"
        )
