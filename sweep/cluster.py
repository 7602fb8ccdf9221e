"""Ray: starting it on this machine or joining a cluster, what its nodes have, and what no node can ever give."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from darts_pt.run.errors import UserError
from sweep.jobs import Job
from sweep.plan import Plan, Resources

OBJECT_STORE_BYTES = 80 * 2**20
"""Jobs hand each other only how they ended: the least that Ray takes is plenty."""
STARTS = 4
"""Ray's processes give each other 15 seconds to start and abort after that: on a busy machine it takes another try."""
GIB = 2**30

Node = Mapping[str, float]
"""The resources of a node, used and free: `CPU`, `GPU`, `memory` (bytes)."""


def import_ray() -> Any:
    """The module `ray`.

    Raises:
        UserError: it is not installed; it says what to install.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Nothing is reported to anyone.
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
    """Ray, on this machine alone or at `address`; left again at the end.

    Meanwhile what is printed goes to `log`: Ray tells of lost nodes in pages. The sweep's status has a stream of its own.

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
    """Starts Ray here, with several tries, or joins a cluster."""
    here = {"num_cpus": num_cpus, "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    for attempt in range(STARTS):
        try:
            ray.init(address or "local", log_to_driver=False, logging_level="ERROR", **({} if address else here))
            return
        except Exception as error:  # Ray has no class of its own for what can go wrong here.
            ray.shutdown()
            first = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            if address is not None:
                raise UserError(
                    f"--address {address}: no Ray cluster there ({first}); expected one that `ray start --head` has "
                    "started, and RAY_AUTH_MODE=token in the environment if it asks for a token"
                ) from None
            if attempt == STARTS - 1:
                raise UserError(f"Ray does not start on this machine: {first}") from None


def nodes(ray: Any) -> list[Node]:
    """The resources of every living node."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def lost(ray: Any) -> list[str]:
    """The names of the nodes that were lost and are not back."""
    names: dict[bool, set[str]] = {True: set(), False: set()}
    for node in ray.nodes():
        names[node["Alive"]].add(node["NodeManagerHostname"])
    return sorted(names[False] - names[True])


def granted(job: Job, nodes: Sequence[Node], cpus: float | None, gpus: float | None) -> Resources:
    """The resources of a job: by the command's options, else by the plan, else a CPU and, where there are any, a GPU."""
    asked = job.resources
    if job.stage == "report":
        return asked
    cpus = asked.num_cpus if cpus is None else cpus
    gpus = asked.num_gpus if gpus is None else gpus
    usual = float(any(node.get("GPU", 0) > 0 for node in nodes))
    return Resources(1.0 if cpus is None else cpus, usual if gpus is None else gpus, asked.memory_gb)


def check_possible(jobs: Sequence[tuple[Job, Resources]], nodes: Sequence[Node], plan: Plan) -> None:
    """Refuses jobs that no node can ever run.

    Raises:
        UserError: naming the first, what it asks for, and what the nodes have.
    """
    for job, wanted in impossible(jobs, nodes):
        raise plan.refused(job.place, f"{job.name} {wanted}")


def impossible(jobs: Sequence[tuple[Job, Resources]], nodes: Sequence[Node]) -> Iterator[tuple[Job, str]]:
    """The jobs that no node has the resources for, with what they ask for and what the nodes have."""
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
