"""Jobs on one machine: what is done is seen from the experiment, what was begun goes on, what fails says why."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from darts_pt.run.errors import UserError
from darts_pt.run.files import Lock
from darts_pt.run.provenance import PROJECT_ROOT
from sweep import cluster, results, worker
from sweep.jobs import Graph
from sweep.plan import Resources
from sweep.worker import Interrupted, Outcome, run_job
from tests.helpers.plans import SMALL, graph_of, run_in_turn

ONE = SMALL.replace("[1, 2]", "[1]")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """A small sweep whose jobs have been run one after the other, by their own commands."""
    graph = graph_of(tmp_path_factory.mktemp("experiments"), "train_nasbench201 = true\n" + ONE)
    run_in_turn(graph)
    return graph


def nobody(text: str) -> None:
    raise AssertionError(text)


def never(*_: object) -> int:
    raise AssertionError("a command was started")


def test_what_is_done_is_not_run_again(done: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_run", never)
    for job in done.jobs:
        assert job.is_done
        assert run_job(job, tmp_path / "log", 1, 0, [], nobody).state == "done"


def test_a_job_is_done_by_what_its_experiment_holds(done: Graph) -> None:
    search, selection, training = (
        next(job for job in done.jobs if job.stage == s) for s in ("search", "select", "evaluate")
    )
    for job, name in (
        (search, "checkpoint_2.pth.tar"),
        (search, "genotype.json"),
        (selection, "genotype.json"),
        (training, "summary.json"),
    ):
        folder = job.folder
        assert folder is not None
        path = folder / name
        content = path.read_bytes()
        path.unlink()
        assert not job.is_done
        if path.suffix == ".json":
            path.write_bytes(content[:-5])
            assert not job.is_done
        path.write_bytes(content)
        assert job.is_done


def test_an_interrupted_job_goes_on_from_its_checkpoint(done: Graph) -> None:
    for stage, option in (("search", "--resume_epoch"), ("select", "--dev_resume_epoch")):
        job = next(job for job in done.jobs if job.stage == stage and job.selection != "magnitude")
        assert f"{option} -1" in " ".join(job.command(gpu=False))


def test_results_are_those_of_the_experiments(done: Graph) -> None:
    import json

    found = {row["method"]: row for row in results.rows(done)}
    assert set(found) == {"darts + magnitude", "darts + pt"}
    for job in done.jobs:
        folder = job.folder
        assert folder is not None
        if job.stage == "evaluate":
            summary = json.loads((folder / "summary.json").read_text())
            assert found[job.label]["test_accuracy"]["by_seed"] == {1: summary["test_accuracy"]}
        if job.stage == "select":
            table = json.loads((folder / "genotype.json").read_text())["table"]
            assert found[job.label]["table_accuracy"]["by_seed"] == {1: table["digits test"]}
    assert "1 of 1" in results.write(done).read_text()


def test_experiments_of_other_options_are_not_in_the_way(done: Graph) -> None:
    """The sweep's have names of their own; with a tag, which the plan chose, they are refused."""
    root, longer = done.output.parent.parent, ONE.replace("epochs = 2", "epochs = 3")
    folder = graph_of(root, longer).jobs[0].folder
    assert folder is not None
    assert folder.name == "search-darts-201-1-digits-epochs-3"
    shutil.copytree(root / "nasbench201" / "search-darts-201-1-digits", folder.with_name(f"{folder.name[:-9]}-mine"))
    with pytest.raises(
        UserError, match=r"plan.toml: methods\[0\]: .*-mine was run with --.*, where this takes .*: .*tag"
    ):
        graph_of(root, 'tag = "mine"\n' + longer)


def test_who_needs_what_failed_is_skipped(tmp_path: Path) -> None:
    search, selection = graph_of(tmp_path, ONE).jobs[:2]
    outcome = run_job(selection, tmp_path / "log", 1, 0, [Outcome(search.name, "failed", reason="no luck")], nobody)
    assert (outcome.state, outcome.reason) == ("skipped", f"{search.name} failed")


def test_a_refusal_of_the_command_is_the_reason(tmp_path: Path) -> None:
    job = graph_of(tmp_path, ONE).jobs[0]
    folder = job.folder
    assert folder is not None
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    outcome = run_job(job, tmp_path / "logs" / "log", 1, 0, [], nobody)
    assert outcome.state == "failed"
    assert "holds files that no experiment wrote" in outcome.reason
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_a_job_waits_for_the_experiments_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = graph_of(tmp_path, ONE).jobs[0]
    folder = job.folder
    assert folder is not None
    folder.mkdir(parents=True)
    lock = Lock(folder / ".lock", "it")
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        if len(said) == 3:
            lock.release()

    monkeypatch.setattr(worker, "_run", lambda command, log, cpus: -signal.SIGKILL)
    monkeypatch.setattr(worker, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(worker, "REMINDER_SECONDS", 0.02)
    with pytest.raises(Interrupted, match="SIGKILL"):
        run_job(job, tmp_path / "log", 1, 0, [], say)
    holder = f"the experiment {folder} is in use by another run (process {os.getpid()} on {platform.node()})"
    assert said == [holder, f"{holder}, 0 min so far", f"{holder}, 0 min so far"]


def test_a_command_whose_worker_dies_is_asked_to_stop() -> None:
    sleeper = [sys.executable, "-c", "import time; print('there', flush=True); time.sleep(60)"]
    parent = (
        "import os, subprocess, sys; "
        f"subprocess.Popen([sys.executable, '-m', 'sweep.stops_with_parent', str(os.getpid()), *{sleeper!r}]).wait()"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, cwd=PROJECT_ROOT)
    assert process.stdout is not None
    assert process.stdout.readline() == b"there\n"
    process.kill()
    start = time.monotonic()
    assert process.stdout.read() == b""  # The pipe ends when the last process that holds it does.
    assert time.monotonic() - start < 30


def test_resources_that_no_node_has_are_named(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, ONE)
    job = graph.jobs[0]
    nodes = [{"CPU": 4.0, "memory": 8.0 * 2**30}, {"CPU": 8.0, "GPU": 2.0, "memory": 4.0 * 2**30}]
    for resources in (Resources(8, 1), Resources(4, 0, 8), Resources(2, 0.25, 4)):
        cluster.check_possible([(job, resources)], nodes, graph.plan)
    for resources, said in ((Resources(16, 0), "16 CPU"), (Resources(1, 1, 8), "1 CPU, 1 GPU, 8 GB")):
        with pytest.raises(
            UserError, match=f"plan.toml: methods.0.: {job.name} asks for {said}, which no node .* 1 × 4 CPU, 8 GB"
        ):
            cluster.check_possible([(job, resources)], nodes, graph.plan)


def test_a_job_whose_only_node_is_lost_is_named_with_that_node(tmp_path: Path) -> None:
    job = graph_of(tmp_path, ONE).jobs[0]
    there = [("a", True, 0.0), ("b", False, 1.0), ("c", False, 0.0), ("c", True, 0.0)]
    nodes = [{"NodeManagerHostname": n, "Alive": a, "Resources": {"CPU": 2.0, "GPU": g}} for n, a, g in there]
    ray = SimpleNamespace(nodes=lambda: nodes)
    assert cluster.lost(ray) == ["b"], "c is back"
    ((found, wanted),) = cluster.impossible([(job, Resources(1, 1))], cluster.nodes(ray))
    assert found is job
    assert wanted == "asks for 1 CPU, 1 GPU, which no node of the cluster has: there are 2 × 2 CPU"


def test_a_job_gets_a_gpu_where_there_are_any(tmp_path: Path) -> None:
    job = graph_of(tmp_path, ONE).jobs[0]
    assert cluster.granted(job, [{"CPU": 2.0}], None, None) == Resources(1.0, 0.0)
    assert cluster.granted(job, [{"CPU": 2.0}, {"GPU": 1.0}], None, None) == Resources(1.0, 1.0)
    assert cluster.granted(job, [{"GPU": 1.0}], 2.0, 0.25) == Resources(2.0, 0.25)


def test_without_ray_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install -r requirements-sweep.txt .*--dry_run works without"):
        cluster.import_ray()
