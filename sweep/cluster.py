"""Ray: start it on this machine or join a cluster; the resources of its nodes, and jobs that no node can run."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from darts_pt.run.errors import UserError, first_line
from sweep.jobs import Job
from sweep.plan import Plan, Resources

OBJECT_STORE_BYTES = 80 * 2**20
"""Jobs pass each other only their outcomes, so Ray's minimum is enough."""
STARTS = 4
"""Ray's processes wait 15 seconds for each other to start, then abort: a busy machine may need several tries."""
GIB = 2**30

Node = Mapping[str, float]
"""All resources of a node, used or free: `CPU`, `GPU`, `memory` (bytes)."""


def import_ray() -> Any:
    """The module `ray`.

    Raises:
        UserError: it is not installed; the message says how to install it.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # No usage reports.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError:
        raise UserError(
            "sweeps run on Ray, which is not installed: python -m pip install -r requirements-sweep.txt "
            "(--dry_run works without it)"
        ) from None
    return ray


@contextlib.contextmanager
def connected(address: str | None, num_cpus: int | None, log: Path) -> Iterator[Any]:
    """Ray, on this machine or at `address`; disconnected at the end.

    Inside, printed output goes to `log`, since Ray prints pages about lost nodes. The sweep's status has its own stream.

    Raises:
        UserError: there is no cluster at the address.
    """
    ray = import_ray()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        _start(ray, address, num_cpus)
        try:
            yield ray
        finally:
            ray.shutdown()


def _start(ray: Any, address: str | None, num_cpus: int | None) -> None:
    """Start Ray on this machine, with several tries, or join a cluster."""
    here = {"num_cpus": num_cpus, "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    for attempt in range(STARTS):
        try:
            ray.init(address or "local", log_to_driver=False, logging_level="ERROR", **({} if address else here))
            return
        except Exception as error:  # Ray has no common class for these errors.
            ray.shutdown()
            if address is not None:
                raise UserError(
                    f"--address {address}: no Ray cluster there ({first_line(error)}); expected one that "
                    "`ray start --head` has started, and RAY_AUTH_MODE=token in the environment if it asks for a token"
                ) from None
            if attempt == STARTS - 1:
                raise UserError(f"Ray does not start on this machine: {first_line(error)}") from None


def nodes(ray: Any) -> list[Node]:
    """The resources of every living node."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def lost(ray: Any) -> list[str]:
    """The names of lost nodes that have not come back."""
    names: dict[bool, set[str]] = {True: set(), False: set()}
    for node in ray.nodes():
        names[node["Alive"]].add(node["NodeManagerHostname"])
    return sorted(names[False] - names[True])


def granted(job: Job, nodes: Sequence[Node], cpus: float | None, gpus: float | None) -> Resources:
    """The resources of a job: by the command's options, else by the plan, else a CPU and, if there are GPUs, a GPU."""
    asked = job.resources
    if job.stage == "report":
        return asked
    cpus = asked.num_cpus if cpus is None else cpus
    gpus = asked.num_gpus if gpus is None else gpus
    usual = float(any(node.get("GPU", 0) > 0 for node in nodes))
    return Resources(1.0 if cpus is None else cpus, usual if gpus is None else gpus, asked.memory_gb)


def check_possible(jobs: Sequence[tuple[Job, Resources]], nodes: Sequence[Node], plan: Plan) -> None:
    """Check that some node can run each job.

    Raises:
        UserError: naming the first job that none can run, what it asks for, and what the nodes have.
    """
    for job, wanted in impossible(jobs, nodes):
        raise plan.refused(job.place, f"{job.name} {wanted}")


def impossible(jobs: Sequence[tuple[Job, Resources]], nodes: Sequence[Node]) -> Iterator[tuple[Job, str]]:
    """The jobs that no node has the resources for, each with a message about what it asks for and what the nodes have."""
    amounts = [
        Resources(node.get("CPU", 0.0), node.get("GPU", 0.0), round(node.get("memory", 0.0) / GIB, 1)) for node in nodes
    ]
    for job, asked in jobs:
        if not any(_fits(asked, node) for node in amounts):
            kinds = Counter(map(_spell, amounts))
            there = ", ".join(f"{count} × {kind}" for kind, count in kinds.items()) or "none"
            yield job, f"asks for {_spell(asked)}, which no node of the cluster has: there are {there}"


def _fits(asked: Resources, node: Resources) -> bool:
    pairs = zip(dataclasses.astuple(asked), dataclasses.astuple(node), strict=True)
    return all((amount or 0.0) <= (there or 0.0) for amount, there in pairs)


def _spell(resources: Resources) -> str:
    """`1 CPU, 0.25 GPU, 4 GB`."""
    amounts = zip(dataclasses.astuple(resources), ("CPU", "GPU", "GB"), strict=True)
    return ", ".join(f"{value:g} {unit}" for value, unit in amounts if value) or "nothing"
