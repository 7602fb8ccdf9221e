"""Kill nodes of a Ray cluster in the middle of a sweep, and compare what is left with the sweep run on one node.

    python -m benchmarks.cluster_faults PLAN.toml --kills N

The cluster is on this machine: a head and a second node with one CPU each, started as processes of their own. The second
node is killed (SIGKILL to its raylet) at a random moment and a new one takes its place, N times. Then the plan is run
again into another folder with one CPU, and every experiment is compared to the byte. The exit code is 1 if any differs.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from benchmarks.faults import left
from darts_pt.commands.command_line import in_range, positive, run_command
from darts_pt.run.errors import UserError
from darts_pt.run.provenance import PROJECT_ROOT

NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}


@dataclass(frozen=True, kw_only=True)
class ClusterFaultsOptions:
    """Kill nodes under a sweep; compare its experiments with those of the sweep on one node."""

    plan: Annotated[str, tyro.conf.arg(metavar="PLAN"), tyro.conf.Positional]
    """The plan, as for `python -m sweep`."""
    kills: int = 2
    """How often the second node is killed."""
    seconds: float = 60.0
    """At most so long after its start."""
    seed: int = 0
    """Seed of the moments."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the figures here."""

    def __post_init__(self) -> None:
        in_range("kills", self.kills, 0, 1000)
        positive("seconds", self.seconds)


def sweep(plan: str, experiments: Path, *more: str) -> subprocess.Popen[str]:
    """The sweep in a process of its own, its output to a file beside the experiments."""
    experiments.mkdir(parents=True, exist_ok=True)
    output = (experiments / "output.txt").open("w")
    command = [sys.executable, "-m", "sweep", plan, "--experiments", str(experiments), "--max_retries", "20", *more]
    return subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=output, stderr=subprocess.STDOUT, text=True)


def started(start: Callable[[], Any], tries: int = 5) -> Any:
    """What `start` starts. Ray's processes give each other 15 seconds for it, which a busy machine may not have."""
    for _ in range(tries - 1):
        try:
            return start()
        except Exception as error:
            print(f"starting again after: {error}", flush=True)
    return start()


def killed_again_and_again(options: ClusterFaultsOptions, experiments: Path) -> dict[str, Any]:
    """Run the sweep on two nodes, one of which dies now and then."""
    from ray.cluster_utils import Cluster

    dice = random.Random(options.seed)
    cluster = started(lambda: Cluster(initialize_head=True, head_node_args=NODE))
    begin, kills = time.perf_counter(), 0
    process = sweep(options.plan, experiments, "--address", str(cluster.address))
    try:
        while process.poll() is None:
            second = started(lambda: cluster.add_node(**NODE))
            if kills >= options.kills:
                process.wait()
                break
            try:
                process.wait(dice.uniform(0.2, 1.0) * options.seconds)
            except subprocess.TimeoutExpired:
                cluster.remove_node(second, allow_graceful=False)
                kills += 1
                print(f"killed node {kills} after {time.perf_counter() - begin:.0f} s", flush=True)
    finally:
        process.kill()
        cluster.shutdown()
    return {"kills": kills, "code": process.returncode, "seconds": round(time.perf_counter() - begin)}


def experiments_in(root: Path) -> dict[str, dict[str, bytes]]:
    """What every experiment below `root` has left, by its place; a summary's path of its genotype without `root`."""
    found = {}
    for folder in (path.parent for path in root.rglob("config.json") if "scripts" not in path.parts):
        files = {name: content.replace(f"{root}/".encode(), b"") for name, content in left(folder).items()}
        found[str(folder.relative_to(root))] = files
    return found


def main(options: ClusterFaultsOptions) -> None:
    """Both runs, and the comparison."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        import ray  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError:
        raise UserError("this needs Ray: python -m pip install -r requirements-sweep.txt") from None
    with tempfile.TemporaryDirectory() as temporary:
        killed, whole = Path(temporary) / "killed", Path(temporary) / "whole"
        figures = killed_again_and_again(options, killed)
        print((killed / "output.txt").read_text())
        begin = time.perf_counter()
        code = sweep(options.plan, whole, "--num_cpus", "1").wait()
        figures |= {"code_on_one_node": code, "seconds_on_one_node": round(time.perf_counter() - begin)}
        print((whole / "output.txt").read_text())
        found, expected = experiments_in(killed), experiments_in(whole)
        different = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
        resumed = sum("resumed after epoch" in log.read_text() for log in (killed / "sweeps").rglob("*.log"))
    figures |= {"experiments": len(expected), "resumed_jobs": resumed, "different": len(different)}
    print(json.dumps(figures))
    for name in different:
        print(f"DIFFERS: {name}")
    if options.json:
        options.json.write_text(json.dumps(figures) + "\n")
    if different or figures["code"] or code:
        sys.exit(1)


if __name__ == "__main__":
    run_command(ClusterFaultsOptions, main)
