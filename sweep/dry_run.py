"""`--dry_run`: the graph of a sweep with what its jobs would cost; nothing is run."""

from __future__ import annotations

from collections.abc import Sequence

from sweep.cost import GTX_1080_TI, HOUR, Estimate, Timings, estimate
from sweep.expansion import Graph
from sweep.jobs import Job, is_done
from sweep.status import spell
from sweep.work import longest_chain, schedule

_INDENT = {"search": "", "select": "  ", "evaluate": "    ", "report": ""}
_WORDS = {"search": "search", "select": "select", "evaluate": "train", "report": "report"}


def show(graph: Graph, gpus_per_job: float | None, model_gpus: Sequence[int], price: float | None) -> None:
    """Print every job (those that differ only in the seed in one line), totals, and where the figures are from."""
    experiments = graph.jobs[0].options.experiments
    timings = Timings(experiments)
    estimates = {job.name: estimate(job, timings) for job in graph.jobs}
    done = {job.name for job in graph.jobs if is_done(job)}
    print(f"{graph.plan.name}: {len(graph.jobs)} jobs, {len(done)} of them done")
    print()
    place = ""
    for jobs in _grouped(graph):
        here = f"{jobs[0].space}, {jobs[0].dataset}" if jobs[0].space else ""
        if here != place:
            print(here)
            place = here
        print(_line(jobs, estimates, done))
    print()
    left = [job for job in graph.jobs if job.name not in done and job.stage != "report"]
    _totals(left, estimates, gpus_per_job, model_gpus, price)


def _grouped(graph: Graph) -> list[list[Job]]:
    """Jobs that differ only in the seed, a search followed by its selections, a selection by its training."""
    groups: dict[tuple[str, ...], list[Job]] = {}
    for job in graph.jobs:
        groups.setdefault((job.space, job.dataset, job.method, job.selection, job.stage), []).append(job)
    order = {key: index for index, key in enumerate(groups)}
    first: dict[tuple[str, ...], int] = {}
    for key, index in order.items():
        for length in (2, 3, 4):
            first.setdefault(key[:length], index)
    stages = list(_INDENT)

    def rank(key: tuple[str, ...]) -> tuple[int, ...]:
        last = int(key[4] == "report")
        return last, first[key[:2]], first[key[:3]], int(key[4] != "search"), first[key[:4]], stages.index(key[4])

    return [groups[key] for key in sorted(groups, key=rank)]


def _line(jobs: list[Job], estimates: dict[str, Estimate], done: set[str]) -> str:
    job = jobs[0]
    if job.stage == "report":
        return "report"
    name = f"{_INDENT[job.stage]}{_WORDS[job.stage]} {job.selection if job.stage == 'select' else job.method}"
    if job.stage == "evaluate":
        name = f"{_INDENT[job.stage]}train"
    seeds = f"seeds {' '.join(str(each.seed) for each in jobs)}" if len(jobs) > 1 else f"seed {job.seed}"
    finished = sum(each.name in done for each in jobs)
    state = f", {finished} done" if finished else ""
    known = estimates[job.name]
    cost = "?" if known.seconds is None else f"{spell(known.seconds)} each"
    return f"  {name:<26} {seeds + state:<24} {cost:<14} {known.source}"


def _totals(
    jobs: list[Job],
    estimates: dict[str, Estimate],
    per_job: float | None,
    model_gpus: Sequence[int],
    price: float | None,
) -> None:
    unknown = [job for job in jobs if estimates[job.name].seconds is None]
    known = [(job.name, estimates[job.name].seconds or 0.0, job.needs) for job in jobs]
    for stage in ("search", "select", "evaluate"):
        seconds = [estimates[job.name].seconds for job in jobs if job.stage == stage]
        known_seconds = [value for value in seconds if value is not None]
        if seconds:
            cost = f"{sum(known_seconds) / HOUR:9.1f} h" if known_seconds else "        ?"
            print(f"{_WORDS[stage]:<8} {len(seconds):4d} jobs, {cost}")
    total = sum(seconds for _, seconds, _ in known)
    if total > 0:
        chain = longest_chain(known) / HOUR
        print(f"all      {len(jobs):4d} jobs, {total / HOUR:9.1f} h one after the other; longest chain {chain:.1f} h")
    if unknown:
        print(f"of {len(unknown)} jobs the cost is not known: no finished experiment like them, no published figure")
    for gpus in model_gpus:
        share = per_job or 1.0
        hours = schedule(known, max(1, int(gpus / share))) / HOUR
        busy = f", {100 * total / HOUR / (hours * max(1, int(gpus / share))):.0f} % busy" if hours else ""
        cost = f", {hours * gpus * price:,.0f} for {hours * gpus:,.0f} GPU-hours paid" if price is not None else ""
        print(f"{gpus:4d} GPU{'s' if gpus > 1 else ''}: {hours:9.1f} h = {hours / 24:.1f} days{busy}{cost}")
    sources = sorted({job.stage for job in jobs if estimates[job.name].source.startswith("published")})
    for stage in sources:
        print(f"published: {GTX_1080_TI[stage].source}")
    if sources:
        print("carried over: by multiply-adds × images × passes (sweep/work.py); a model on paper, not a measurement")
