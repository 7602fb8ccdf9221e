"""A plan becomes the jobs that it says, and what is wrong with it is refused with its line."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from darts_pt.run.errors import UserError
from paper.study import SCALES, Study
from runs.make import Runner
from sweep.estimates import longest_chain, schedule
from sweep.jobs import expand
from sweep.plan import find_plan, read_plan
from tests.helpers.plans import SMALL, graph_of, plan_file


def test_a_search_serves_all_selections_from_it(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, "train_nasbench201 = true\n" + SMALL)
    assert Counter(job.stage for job in graph.jobs) == {"search": 2, "select": 4, "evaluate": 4}
    for job in graph.jobs:
        for need in job.needs:
            assert graph[need].run is (job.run and job.run.source)
            assert graph.jobs.index(graph[need]) < graph.jobs.index(job)


def test_where_the_benchmark_table_knows_the_accuracy_nothing_is_trained(tmp_path: Path) -> None:
    assert Counter(job.stage for job in graph_of(tmp_path).jobs) == {"search": 2, "select": 4}


def test_grids_share_searches_and_the_top_of_the_plan(tmp_path: Path) -> None:
    text = """
spaces = ["s1", "s2"]
datasets = ["digits"]
seeds = [0]
report = false
[[grid]]
methods = ["darts"]
selections = ["magnitude"]
[[grid]]
methods = ["darts", "blank"]
selections = ["pt"]
spaces = ["s2"]
"""
    names = [job.name for job in graph_of(tmp_path, text).jobs if job.stage != "evaluate"]
    assert names == [
        "search-darts-s1-digits-0",
        "search-darts-s2-digits-0",
        "search-blank-s2-digits-0",
        "select-darts+magnitude-s1-digits-0",
        "select-darts+magnitude-s2-digits-0",
        "select-darts+pt-s2-digits-0",
        "select-blank+pt-s2-digits-0",
    ]


def test_narrower_tables_of_options_win(tmp_path: Path) -> None:
    text = SMALL.replace('["nasbench201"]', '["nasbench201", "s2"]') + "[search.s2]\nepochs = 7\n"
    epochs = {job.setting[0]: job.options.epochs for job in graph_of(tmp_path, text).jobs if job.stage == "search"}
    assert epochs == {"nasbench201": 2, "s2": 7}


def test_table_3_is_the_papers(tmp_path: Path) -> None:
    graph = expand(read_plan(find_plan("table3")), tmp_path, tmp_path, tmp_path / "sweeps")
    counts = Counter(job.stage for job in graph.jobs)
    assert counts == {"search": 4 * 3 * 2 * 4, "select": 4 * 3 * 3 * 4, "evaluate": 4 * 3 * 3 * 4, "report": 1}
    sizes = {job.setting[1]: job.options.layers for job in graph.jobs if job.stage == "evaluate"}
    assert sizes == {"cifar10": 20, "cifar100": 8, "svhn": 8}


@pytest.mark.parametrize("preset", ["digits", "table2", "table3", "table4"])
def test_experiments_of_presets_have_the_names_that_paper_sh_looks_for(preset: str, tmp_path: Path) -> None:
    """Also their networks have the same size."""
    graph = expand(read_plan(find_plan(preset)), tmp_path, tmp_path, tmp_path / "sweeps")
    common = {"gpu": "auto", "experiments": tmp_path, "data_root": tmp_path, "fast": False}
    studies = {job.setting: Study(*job.setting, SCALES["paper"], common, Runner(planned=[])) for job in graph.jobs[:-1]}
    for job in graph.jobs[:-1]:
        study = studies[job.setting]
        searched = study.search(job.method, job.seed)
        assert searched is not None
        if job.stage == "search":
            assert job.folder == searched.folder
        if job.stage == "evaluate" and preset != "digits":
            trained = study.accuracies(study.selection(searched, job.selection)).training
            assert trained is not None
            assert trained.folder == (job.run and job.run.folder)
            assert trained.resolved.init_channels == job.options.init_channels


def test_a_schedule_keeps_to_needs_and_slots() -> None:
    graph = [("a", 3.0, ()), ("b", 1.0, ()), ("c", 1.0, ()), ("d", 2.0, ("a",))]
    assert schedule(graph, 1) == 7.0
    assert schedule(graph, 2) == 5.0  # a beside b and c, then d
    assert schedule(graph, 9) == longest_chain(graph) == 5.0
    assert schedule(graph[3:], 1) == 2.0  # what it needs has ended


def small_with(old: str, new: str) -> str:
    assert old in SMALL
    return SMALL.replace(old, new)


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("sedes = [1]\n" + SMALL, "sedes", "did you mean seeds"),
        (small_with("seeds = [1, 2]", "seeds = [1, 1]"), "seeds[1]", "twice"),
        (small_with("seeds = [1, 2]", "seeds = [1, -2]"), "seeds[1]", "whole number"),
        (small_with("seeds = [1, 2]\n", ""), "seeds", "is missing"),
        (small_with('"nasbench201"', '"s6"'), "spaces[0]", "unknown 's6'"),
        (small_with('["darts"]', '["sgas"]').replace('"pt"', '"pt-mag"'), "selections[1]", "same thing twice"),
        (small_with("epochs = 2", "epoch = 2"), "search.epoch", "did you mean epochs"),
        (small_with("epochs = 2", "epochs = 0"), "search.epochs", "number above 0"),
        (small_with("epochs = 2", 'epochs = "two"'), "search.epochs", "whole number"),
        (small_with("epochs = 2", "epochs = [[1]]"), "search.epochs", "expected"),
        (small_with("epochs = 2", "layers = 2"), "search.layers", "[search.sota]"),
        (small_with("epochs = 2", "seed = 2"), "search.seed", "'seeds'"),
        (small_with("epochs = 2", "resume_epoch = 2"), "search.resume_epoch", "by the sweep itself"),
        (small_with("epochs = 2", "epsilon_alpha = 0.1"), "search.epsilon_alpha", "sdarts-rs"),
        (small_with("proj_intv = 1", "epochs = 1"), "select.epochs", "by the sweep itself"),
        (SMALL + "[search.s2]\nepochs = 1\n", "search.s2", "no job of this plan is of s2"),
        (SMALL + "[search.s9]\nepochs = 1\n", "search.s9", "unknown table"),
        (SMALL + "[resources]\nnum_gpus = 2\n", "resources.num_gpus", "from 0 to 1"),
        (SMALL + "[resources.select]\nnum_cpu = 2\n", "resources.select.num_cpu", "did you mean num_cpus"),
        (SMALL.replace("report = false", "report = {detail = 3}"), "report.detail", "detail"),
        (SMALL + "[[grid]]\n[[grid]]\n", "grid[1]", "there twice"),
        (SMALL + '[[grid]]\nmethods = ["darts", "dart"]\n', "grid[0].methods[1]", "did you mean darts"),
        (small_with('["digits"]', '["folder"]'), "datasets[0]", "data = DIR"),
        (SMALL + "[search\n", "not valid TOML", "line 20"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(text: str, place: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refusal:
        graph_of(tmp_path, text)
    message = str(refusal.value)
    assert message.startswith(f"plan.toml: {place}: "), message
    assert said in message
    assert "\n" not in message
    assert [path.name for path in tmp_path.iterdir()] == ["plan.toml"]


def test_a_plan_that_is_not_there_is_refused_with_the_presets(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean table2"):
        find_plan("tabel2")
    path = plan_file(tmp_path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="UTF-8"):
        read_plan(path)
