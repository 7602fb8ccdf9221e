"""Ray: starting it on this machine or joining a cluster, what its nodes have, and what no node can ever give."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from darts_pt.run.errors import UserError
from sweep.jobs import Job
from sweep.plan import Plan, Resources

OBJECT_STORE_BYTES = 80 * 2**20
"""Jobs hand each other nothing but how they ended: the least that Ray takes is plenty."""
STARTS = 4
"""Ray's processes give each other 15 seconds to start and abort after that: on a busy machine it takes another try."""
GIB = 2**30

Node = Mapping[str, float]
"""What a node has in all: `CPU`, `GPU`, `memory` (bytes)."""


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
    for attempt in range(STARTS):
        try:
            return _init(ray, address, num_cpus)
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


def _init(ray: Any, address: str | None, num_cpus: int | None) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        ray.init("local", num_cpus=num_cpus, include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **quiet)
    else:
        ray.init(address, **quiet)


def nodes(ray: Any) -> list[Node]:
    """What every living node has in all."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def granted(job: Job, nodes: Sequence[Node], cpus: float | None, gpus: float | None) -> Resources:
    """What a job will be given: as the command's options say, else the plan, else a CPU and, where there are any, a GPU."""
    asked = job.resources
    if job.stage == "report":
        return asked
    usual = 1.0 if any(node.get("GPU", 0) > 0 for node in nodes) else 0.0
    return Resources(
        num_cpus=_first(cpus, asked.num_cpus, 1.0),
        num_gpus=_first(gpus, asked.num_gpus, usual),
        memory_gb=asked.memory_gb,
    )


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)


def fits(resources: Resources, node: Node) -> bool:
    """Whether a node could ever run such a job, were it idle."""
    return all(node.get(name, 0.0) >= amount for name, amount in _wanted(resources).items())


def _wanted(resources: Resources) -> dict[str, float]:
    wanted = {"CPU": resources.num_cpus or 0.0, "GPU": resources.num_gpus or 0.0}
    return wanted | ({"memory": resources.memory_gb * GIB} if resources.memory_gb else {})


def check_possible(jobs: Sequence[tuple[Job, Resources]], nodes: Sequence[Node], plan: Plan) -> None:
    """Refuses jobs that no node can ever run.

    Raises:
        UserError: naming the first, what it asks for, and the most that a node has.
    """
    for job, resources in jobs:
        if not any(fits(resources, node) for node in nodes):
            raise plan.refused(job.place, f"{job.name} asks for {spell(resources)}, which {_most(nodes)}")


def _most(nodes: Sequence[Node]) -> str:
    """What there is, in words."""
    described = [
        spell(Resources(node.get("CPU", 0.0), node.get("GPU", 0.0), round(node.get("memory", 0.0) / GIB, 1)))
        for node in nodes
    ]
    kinds = ", ".join(f"{described.count(kind)} × {kind}" for kind in dict.fromkeys(described))
    return f"no node of the cluster has: there are {kinds or 'none'}"


def spell(resources: Resources) -> str:
    """`1 CPU, 0.25 GPU, 4 GB`."""
    names = {"num_cpus": "CPU", "num_gpus": "GPU", "memory_gb": "GB"}
    amounts = {names[name]: value for name, value in dataclasses.asdict(resources).items() if value}
    return ", ".join(f"{value:g} {name}" for name, value in amounts.items()) or "nothing"


def task_options(job: Job, resources: Resources, retries: int) -> dict[str, Any]:
    """How Ray is asked to run the job."""
    from sweep.worker import Interrupted

    options: dict[str, Any] = {
        "name": job.name,
        "num_cpus": resources.num_cpus,
        "num_gpus": resources.num_gpus,
        "max_retries": retries,
        "retry_exceptions": [Interrupted],
        "scheduling_strategy": "SPREAD",
    }
    return options | ({"memory": resources.memory_gb * GIB} if resources.memory_gb else {})
