"""A cluster of two nodes, one of which dies in the middle of a sweep: nothing is lost, nothing comes out differently."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults import results_in
from darts_pt.run.errors import UserError
from darts_pt.run.provenance import PROJECT_ROOT
from sweep.cluster import import_ray
from tests.helpers.plans import graph_of, run_in_turn

try:
    import_ray()
except UserError as error:
    pytest.skip(str(error), allow_module_level=True)

PATIENCE = 400
"""Seconds within which a sweep of a few seconds must have come so far, on however busy a machine."""
PLAN = """
spaces = ["nasbench201"]
datasets = ["digits"]
methods = ["darts"]
selections = ["magnitude"]
seeds = [1, 2]
report = false

[search]
epochs = 16
batch_size = 256
init_channels = 4
ckpt_interval = 1
keep = 2
"""


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A Ray cluster of one node with one CPU."""
    from ray.cluster_utils import Cluster

    cluster = _started(lambda: Cluster(initialize_head=True, head_node_args=NODE))
    yield cluster
    cluster.shutdown()


NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}


def _started(start: Callable[[], Any]) -> Any:
    """Call `start`, with retries: Ray's processes give each other 15 seconds for it, which a busy machine may not have."""
    for _ in range(3):
        try:
            return start()
        except Exception as error:
            reason = f"Ray's own processes do not start on this machine: {error}"
    pytest.skip(reason)


def _until(happened: Callable[[], bool], driver: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE
    while not happened():
        assert driver.poll() is None, driver.communicate()
        assert time.monotonic() < end, "the sweep does not come on"
        time.sleep(0.02)


def test_when_a_node_dies_its_jobs_go_on_elsewhere_and_end_the_same(cluster: Any, tmp_path: Path) -> None:
    graph = graph_of(tmp_path / "killed", PLAN)
    second = _started(lambda: cluster.add_node(**NODE))  # It takes the other search.
    command = [sys.executable, "-m", "sweep", str(tmp_path / "killed" / "plan.toml"), "--address", cluster.address]
    command += ["--experiments", str(tmp_path / "killed")]
    driver = subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        folders = [job.folder for job in graph.jobs if job.stage == "search"]
        _until(lambda: all(folder and any(folder.glob("checkpoint_*")) for folder in folders), driver)
        cluster.remove_node(second, allow_graceful=False)
        output, _ = driver.communicate(timeout=PATIENCE)
    finally:
        driver.kill()
    assert driver.returncode == 0, output
    logs = {
        job.seed: (graph.output / "logs" / f"{job.name}.log").read_text() for job in graph.jobs if job.stage == "search"
    }
    assert sorted(log.count("--- ") for log in logs.values()) == [1, 2], output
    (seed,) = [seed for seed, log in logs.items() if "resumed after epoch" in log]

    in_turn = graph_of(tmp_path / "in_turn", PLAN.replace("[1, 2]", f"[{seed}]"))
    run_in_turn(in_turn)
    for other in in_turn.jobs:
        job = graph[other.name]
        folder, expected = job.folder, other.folder
        assert folder is not None
        assert expected is not None
        assert results_in(folder) == results_in(expected), job.name
