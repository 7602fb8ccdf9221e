"""Running a graph of jobs on Ray: all are handed over at once, and Ray starts each when what it needs has ended.

A job is a Ray task that gets the outcomes of the jobs it needs; Ray places it, waits for resources, and repeats it when its
worker or node is lost.
"""

from __future__ import annotations

import platform
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from darts_pt.run.errors import Stopped
from sweep import cluster
from sweep.jobs import Graph, Job
from sweep.plan import Resources
from sweep.status import Status
from sweep.worker import GRACE_SECONDS, Outcome, run_job

TICK_SECONDS = 0.5
LOST_SECONDS = 60.0
"""So long may jobs wait for a node that can run them after the last such node is lost."""


class News:
    """Where workers say what they are doing; an actor on the node of the command."""

    def __init__(self) -> None:
        self._news: list[tuple[str, str, str]] = []

    def say(self, job: str, node: str, text: str) -> None:
        self._news.append((job, node, text))

    def read(self) -> list[tuple[str, str, str]]:
        """What has been said since the last call: (job, node, what); an empty text says that it has started."""
        news, self._news = self._news, []
        return news


def task(
    job: Job, log: Path, cpus: float, gpus: float, settled: Mapping[str, Outcome], news: Any, *needed: Outcome
) -> Outcome:
    """A job, as Ray runs it; `settled` are needed jobs that were done before the sweep began."""
    node = platform.node()
    # Ray cancels by this handler; a sweep in the background of a script would have started its workers without it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def say(text: str) -> None:
        news.say.remote(job.name, node, text)

    say("")
    return run_job(job, log, cpus, gpus, [*settled.values(), *needed], say)


def run(
    graph: Graph, ray: Any, status: Status, cpus: float | None, gpus: float | None, retries: int
) -> dict[str, Outcome]:
    """Run what is not done yet; how every job ended.

    Raises:
        UserError: a job asks for what no node has; nothing has been started.
        Stopped: SIGTERM or Ctrl-C; running jobs have saved themselves.
    """
    there = cluster.nodes(ray)
    outcomes = {job.name: Outcome(job.name, "done", job.folder) for job in graph.jobs if job.is_done}
    left = {job.name: job for job in graph.jobs if job.name not in outcomes}
    resources = {name: cluster.granted(job, there, cpus, gpus) for name, job in left.items()}
    cluster.check_possible([(left[name], resources[name]) for name in left], there, graph.plan)
    for outcome in outcomes.values():
        status.ended(outcome, before=True)
    news = ray.remote(News).options(num_cpus=0, max_restarts=-1, scheduling_strategy=_here(ray)).remote()
    references: dict[Any, str] = {}
    by_name: dict[str, Any] = {}
    with _signals_stop() as stop:
        for name, job in left.items():
            remote = ray.remote(task).options(**cluster.task_options(job, resources[name], retries))
            settled = {need: outcomes[need] for need in job.needs if need in outcomes}
            waits = [by_name[need] for need in job.needs if need in by_name]
            share = (resources[name].num_cpus or 1.0, resources[name].num_gpus or 0.0)
            by_name[name] = remote.remote(job, graph.output / "logs" / f"{name}.log", *share, settled, news, *waits)
            references[by_name[name]] = name
        _wait(ray, news, references, left, resources, outcomes, status, stop)
        if stop:
            late = _cancel(ray, references, status)
            done = sum(outcome.state == "done" for outcome in outcomes.values())
            saved = "those that were running have saved themselves"
            if late:
                saved = (
                    f"{', '.join(late)} did not end in {GRACE_SECONDS:.0f} s and will go on from the last checkpoint"
                )
            raise Stopped(
                stop[0],
                f"stopped by {signal.Signals(stop[0]).name}: {done} of {len(graph.jobs)} jobs are done, {saved}; "
                "the same command goes on there",
            )
    return outcomes


def _wait(
    ray: Any,
    news: Any,
    references: dict[Any, str],
    jobs: Mapping[str, Job],
    resources: Mapping[str, Resources],
    outcomes: dict[str, Outcome],
    status: Status,
    stop: list[int],
) -> None:
    """Until every job has ended, or a signal says stop."""
    lost_since: float | None = None
    running: set[str] = set()
    while references and not stop:
        ready, _ = ray.wait(list(references), num_returns=1, timeout=TICK_SECONDS)
        if ready:
            ready, _ = ray.wait(list(references), num_returns=len(references), timeout=0)
        for name, node, text in _read(ray, news):
            running.add(name)
            status.said(name, node, text)
        for reference in ready:
            name = references.pop(reference)
            outcomes[name] = _outcome(ray, reference, jobs[name], outcomes)
            status.ended(outcomes[name])
        status.tick()
        there = cluster.nodes(ray)
        stuck = [name for name in references.values() if not any(cluster.fits(resources[name], node) for node in there)]
        lost_since = (lost_since or time.monotonic()) if stuck else None
        if lost_since is not None and time.monotonic() - lost_since > LOST_SECONDS:
            for reference in [reference for reference, name in references.items() if name in stuck]:
                name = references.pop(reference)
                ray.cancel(reference, force=True)
                reason = f"no node is left that has {cluster.spell(resources[name])}"
                outcomes[name] = Outcome(name, "failed", reason=reason)
                status.ended(outcomes[name])


def _read(ray: Any, news: Any) -> list[tuple[str, str, str]]:
    try:
        return ray.get(news.read.remote(), timeout=5)
    except ray.exceptions.RayError:  # It only informs: a sweep goes on without.
        return []


def _outcome(ray: Any, reference: Any, job: Job, outcomes: Mapping[str, Outcome]) -> Outcome:
    """What a task returned, or what became of it."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        missing = next(
            (outcomes[need] for need in job.needs if need in outcomes and outcomes[need].state != "done"), None
        )
        if missing is not None:
            return Outcome(job.name, "skipped", reason=f"{missing.job} {missing.state}")
        cause = getattr(error, "cause", None) or error
        reason = " ".join(str(cause).split())[:300] or type(cause).__name__
        return Outcome(job.name, "failed", job.folder, f"{reason} (given up after every retry)")


def _cancel(ray: Any, references: Mapping[Any, str], status: Status) -> list[str]:
    """Ask every job to stop, those that wait first, and give those that run time to save themselves; who did not."""
    status.stopping()
    for reference in reversed(list(references)):
        ray.cancel(reference, force=False)
    _, late = ray.wait(list(references), num_returns=len(references), timeout=GRACE_SECONDS + 5)
    return [references[reference] for reference in late]


def _here(ray: Any) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)


@contextmanager
def _signals_stop() -> Iterator[list[int]]:
    """SIGTERM and Ctrl-C are noted in the list; a second one ends the process as usual."""
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    former = {}

    def note(number: int, frame: Any) -> None:
        noted.append(number)
        for each, handler in former.items():
            signal.signal(each, handler if each == signal.SIGTERM else signal.default_int_handler)

    for number in (signal.SIGTERM, signal.SIGINT):
        former[number] = signal.signal(number, note)
    try:
        yield noted
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
