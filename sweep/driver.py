"""Run a graph of jobs on Ray: all are submitted at once, and Ray starts each when the jobs it needs have ended.

A job is a Ray task that gets the outcomes of the jobs it needs; Ray places it, waits for resources, and repeats it if its
worker or node is lost.
"""

from __future__ import annotations

import platform
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from darts_pt.run.errors import Stopped
from sweep import cluster
from sweep.jobs import Graph, Job
from sweep.status import Status
from sweep.worker import GRACE_SECONDS, REMINDER_SECONDS, Interrupted, Outcome, run_job

TICK_SECONDS = 0.5


class News:
    """Messages from workers; an actor on the node of the command."""

    def __init__(self) -> None:
        self._news: list[tuple[str, str, str]] = []

    def say(self, job: str, node: str, text: str) -> None:
        self._news.append((job, node, text))

    def read(self) -> list[tuple[str, str, str]]:
        """The messages since the last call: (job, node, text); an empty text means that the job has started."""
        news, self._news = self._news, []
        return news


def task(job: Job, log: Path, cpus: float, gpus: float, news: Any, *needed: Outcome) -> Outcome:
    """A job, as Ray runs it."""
    node = platform.node()
    # Ray cancels through this handler; workers of a sweep that a script runs in the background start without it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def say(text: str) -> None:
        news.say.remote(job.name, node, text)

    say("")
    return run_job(job, log, cpus, gpus, needed, say)


def run(
    graph: Graph, ray: Any, status: Status, cpus: float | None, gpus: float | None, retries: int
) -> dict[str, Outcome]:
    """Run the jobs that are not done, and return how every job ended.

    Raises:
        UserError: a job asks for more than any node has; nothing has been started.
        Stopped: SIGTERM or Ctrl-C; running jobs have saved themselves.
    """
    nodes = cluster.nodes(ray)
    outcomes = {job.name: Outcome(job.name, "done", job.folder) for job in graph.jobs if job.is_done}
    left = [(job, cluster.granted(job, nodes, cpus, gpus)) for job in graph.jobs if job.name not in outcomes]
    cluster.check_possible(left, nodes, graph.plan)
    for outcome in outcomes.values():
        status.ended(outcome, before=True)
    news = ray.remote(News).options(num_cpus=0, max_restarts=-1).remote()
    stop = _noted_signals()
    results: dict[str, Any] = {}
    for job, resources in left:
        options = {
            "name": job.name,
            "num_cpus": resources.num_cpus,
            "num_gpus": resources.num_gpus,
            "memory": resources.memory_gb and resources.memory_gb * cluster.GIB,
            "max_retries": retries,
            "retry_exceptions": [Interrupted],
            "scheduling_strategy": "SPREAD",
        }
        needed = [outcomes.get(need) or results[need] for need in job.needs]
        log, share = graph.output / "logs" / f"{job.name}.log", (resources.num_cpus or 1.0, resources.num_gpus or 0.0)
        results[job.name] = ray.remote(task).options(**options).remote(job, log, *share, news, *needed)
    waiting = {results[job.name]: job for job, _ in left}
    reminder = time.monotonic()
    while waiting and not stop:
        if time.monotonic() >= reminder:
            reminder += REMINDER_SECONDS
            startable = [pair for pair in left if pair[0] in waiting.values() and outcomes.keys() >= set(pair[0].needs)]
            lost = ", ".join(cluster.lost(ray))
            for job, wanted in cluster.impossible(startable, cluster.nodes(ray)):
                status.said(job.name, "", f"{wanted}; lost: {lost}" if lost else wanted)
        ray.wait(list(waiting), num_returns=1, timeout=TICK_SECONDS)
        ready, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=0)
        with suppress(ray.exceptions.RayError):  # Messages only inform: the sweep can go on without them.
            for name, node, text in ray.get(news.read.remote(), timeout=5):
                status.said(name, node, text)
        for result in ready:
            job = waiting.pop(result)
            outcomes[job.name] = _outcome(ray, result, job, outcomes)
            status.ended(outcomes[job.name])
    if stop:
        late = _cancel(ray, waiting, status)
        done = sum(outcome.state == "done" for outcome in outcomes.values())
        saved = "those that were running have saved themselves"
        if late:
            saved = f"{', '.join(late)} did not end in {GRACE_SECONDS:.0f} s and will go on from the last checkpoint"
        raise Stopped(
            stop[0],
            f"stopped by {signal.Signals(stop[0]).name}: {done} of {len(graph.jobs)} jobs are done, {saved}; "
            "the same command goes on there",
        )
    return outcomes


def _outcome(ray: Any, result: Any, job: Job, outcomes: Mapping[str, Outcome]) -> Outcome:
    """The outcome that a task returned, or the reason why there is none."""
    try:
        return ray.get(result)
    except ray.exceptions.RayError as error:
        for need in job.needs:  # A task whose argument failed fails by the same error.
            if need in outcomes and outcomes[need].state != "done":
                return Outcome(job.name, "skipped", reason=f"{need} {outcomes[need].state}")
        cause = getattr(error, "cause", None) or error
        reason = " ".join(str(cause).split())[:300] or type(cause).__name__
        return Outcome(job.name, "failed", job.folder, f"{reason} (given up after every retry)")


def _cancel(ray: Any, waiting: Mapping[Any, Job], status: Status) -> list[str]:
    """Stop every job, waiting ones first, and give running ones time to save themselves; returns those that did not."""
    status.stopping()
    for result in reversed(list(waiting)):
        ray.cancel(result, force=False)
    _, late = ray.wait(list(waiting), num_returns=len(waiting), timeout=GRACE_SECONDS + 5)
    return [waiting[result].name for result in late]


def _noted_signals() -> list[int]:
    """A list that gets the first SIGTERM or Ctrl-C; a second one ends the process as usual."""
    noted: list[int] = []

    def note(number: int, frame: Any) -> None:
        noted.append(number)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, note)
    return noted
