"""A plan becomes the jobs that it says, and what is wrong with it is refused with its line."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from darts_pt.run.errors import UserError
from paper.scales import SCALES
from runs.making import Maker
from sweep import work
from sweep.cost import DAY, GTX_1080_TI, Timings, estimate
from sweep.expansion import expand
from sweep.plan import find_plan, read_plan
from sweep.toml_lines import Lines
from tests.helpers.plans import SMALL, graph_of, plan_file


def test_a_search_serves_all_selections_from_it(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, "train_nasbench201 = true\n" + SMALL)
    assert Counter(job.stage for job in graph.jobs) == {"search": 2, "select": 4, "evaluate": 4}
    for job in graph.jobs:
        if job.source is not None:
            assert job.needs == (job.source.name,)
            assert graph.jobs.index(graph[job.source.name]) < graph.jobs.index(job)


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
    epochs = {job.space: job.options.epochs for job in graph_of(tmp_path, text).jobs if job.stage == "search"}
    assert epochs == {"nasbench201": 2, "s2": 7}


def test_table_3_is_the_papers(tmp_path: Path) -> None:
    graph = expand(read_plan(find_plan("table3")), tmp_path, tmp_path, tmp_path / "sweeps")
    counts = Counter(job.stage for job in graph.jobs)
    assert counts == {"search": 4 * 3 * 2 * 4, "select": 4 * 3 * 3 * 4, "evaluate": 4 * 3 * 3 * 4, "report": 1}
    sizes = {job.dataset: job.options.layers for job in graph.jobs if job.stage == "evaluate"}
    assert sizes == {"cifar10": 20, "cifar100": 8, "svhn": 8}


@pytest.mark.parametrize("preset", ["digits", "table2", "table4"])
def test_experiments_of_presets_have_the_names_that_paper_sh_looks_for(preset: str, tmp_path: Path) -> None:
    graph = expand(read_plan(find_plan(preset)), tmp_path, tmp_path, tmp_path / "sweeps")
    for job in graph.jobs:
        if job.stage == "search":
            maker = Maker(job.space, job.dataset, SCALES["paper"], tmp_path, tmp_path, run=False)
            made = maker.commands.search_folder(maker._search_options(job.method, job.seed))
            assert job.folder == made


def test_the_cost_of_the_reference_is_the_published_one(tmp_path: Path) -> None:
    text = 'spaces=["s5"]\ndatasets=["cifar10"]\nmethods=["darts"]\nselections=["pt"]\nseeds=[0]\nreport=false\n'
    jobs = {job.stage: job for job in graph_of(tmp_path, text).jobs}
    nothing_measured = Timings(tmp_path)
    for stage, published in GTX_1080_TI.items():
        assert estimate(jobs[stage], nothing_measured).seconds == pytest.approx(published.seconds)
    assert GTX_1080_TI["search"].seconds == 0.4 * DAY


def test_a_schedule_keeps_to_needs_and_slots() -> None:
    graph = [("a", 3.0, ()), ("b", 1.0, ()), ("c", 1.0, ()), ("d", 2.0, ("a",))]
    assert work.schedule(graph, 1) == 7.0
    assert work.schedule(graph, 2) == 5.0  # a beside b and c, then d
    assert work.schedule(graph, 9) == work.longest_chain(graph) == 5.0


def test_lines_of_keys_and_values() -> None:
    text = 'a = 1\n# b = 2\n[t]\nlist = [\n  "x", # "y"\n  "y",\n]\n"q.r" = """\nz = 3\n"""\nu.v = 4\n'
    text += "[[g]]\nk = 1\n[[g]]\nk = 2\n"
    lines = Lines(text)
    assert lines.of(("a",)) == 1
    assert lines.of(("t",)) == 3
    assert [lines.of(("t", "list"), value) for value in (None, "x", "y")] == [4, 5, 6]
    assert lines.of(("t", "q.r")) == 8
    assert ("t", "z") not in lines
    assert lines.of(("t", "u", "v")) == 11
    assert [lines.of(("g", number, "k")) for number in (0, 1)] == [13, 15]
    assert lines.of(("g", 1, "absent")) == 14


def small_with(old: str, new: str) -> str:
    assert old in SMALL
    return SMALL.replace(old, new)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("sedes = [1]\n" + SMALL, 1, "did you mean seeds"),
        (small_with("seeds = [1, 2]", "seeds = [\n1,\n1]"), 8, "twice"),
        (small_with("seeds = [1, 2]", "seeds = [1, -2]"), 6, "whole numbers"),
        (small_with("seeds = [1, 2]\n", ""), 1, "seeds is missing"),
        (small_with('"nasbench201"', '"s6"'), 2, "unknown 's6'"),
        (small_with('["darts"]', '["sgas"]').replace('"pt"', '"pt-mag"'), 5, "same thing twice"),
        (small_with("epochs = 2", "epoch = 2"), 10, "did you mean epochs"),
        (small_with("epochs = 2", "epochs = 0"), 10, "number above 0"),
        (small_with("epochs = 2", 'epochs = "two"'), 10, "whole number"),
        (small_with("epochs = 2", "epochs = [[1]]"), 10, "expected"),
        (small_with("epochs = 2", "layers = 2"), 10, "layers"),
        (small_with("epochs = 2", "seed = 2"), 10, "'seeds'"),
        (small_with("epochs = 2", "resume_epoch = 2"), 10, "by the sweep itself"),
        (small_with("epochs = 2", "epsilon_alpha = 0.1"), 10, "sdarts-rs"),
        (small_with("proj_intv = 1", "epochs = 1"), 15, "by the sweep itself"),
        (SMALL + "[search.s2]\nepochs = 1\n", 20, "no job of this plan is of s2"),
        (SMALL + "[search.s9]\nepochs = 1\n", 20, "unknown table"),
        (SMALL + "[resources]\nnum_gpus = 2\n", 21, "from 0 to 1"),
        (SMALL + "[resources.select]\nnum_cpu = 2\n", 21, "did you mean num_cpus"),
        (SMALL.replace("report = false", "report = {detail = 3}"), 7, "detail"),
        (SMALL + "[[grid]]\n[[grid]]\n", 21, "there twice"),
        (small_with('["digits"]', '["folder"]'), 3, "data = DIR"),
        (SMALL + "[search\n", 20, "not valid TOML"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(text: str, line: int, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refusal:
        graph_of(tmp_path, text)
    message = str(refusal.value)
    assert message.startswith(f"plan.toml:{line}: "), message
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
