"""paper.sh runs what is missing, only that, and draws it; what cannot be made is said in one line."""

from __future__ import annotations

import dataclasses
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from darts_pt.commands.command_line import run_command
from darts_pt.methods import METHODS
from darts_pt.space import SPACES
from nasbench201.space import NasBench201SearchOptions, NasBench201SelectionOptions, NasBench201Space
from nasbench201.train import NasBench201TrainOptions
from paper import __main__ as paper
from paper import files as paper_files
from paper import tables
from paper.discretisation import Strength
from paper.figures import disagreements, rank_correlation, skip_gap
from paper.numbers import COLUMNS, DARTS_SPACE, MORE_SPACES, S1_TO_S4
from paper.options import PaperOptions
from paper.study import SCALES, Study
from runs.recorded import Record, Recorded
from sota.options import SotaSearchOptions, SotaSelectionOptions
from sota.train import SotaTrainOptions

OPTIONS: dict[str, Any] = {
    "nasbench201.train_search": NasBench201SearchOptions,
    "nasbench201.projection": NasBench201SelectionOptions,
    "nasbench201.train": NasBench201TrainOptions,
    "sota.train_search": SotaSearchOptions,
    "sota.projection": SotaSelectionOptions,
    "sota.train": SotaTrainOptions,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("paper")


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The digits preset with fewer events, candidates and draws."""
    scale = dataclasses.replace(SCALES["digits"], seeds=(1,), intervals={}, tuning=1, shuffles=2, ckpt_interval=25)
    monkeypatch.setitem(SCALES, "digits", scale)


def make(root: Path, *arguments: str) -> dict[str, object]:
    common = ["--space", "nasbench201", "--gpu", "cpu", "--fast"]
    places = ["--experiments", str(root / "experiments"), "--output", str(root / "out")]
    run_command(PaperOptions, paper.main, [*common, *places, *arguments])
    kind, number = arguments[0].lstrip("-"), arguments[1]
    (facts,) = (root / "out" / "figures").glob(f"{kind}-{number}-*.json")
    return json.loads(facts.read_text())


@pytest.mark.parametrize("number", ["1", "2", "3", "6"])
def test_figures_come_out_of_one_command(root: Path, number: str) -> None:
    facts = make(root, "--figure", number)
    for ending, start in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")):
        path = root / "out" / "figures" / f"figure-{number}-nasbench201-digits-fast.{ending}"
        assert path.read_bytes().startswith(start)
    text = (root / "out" / "paper.md").read_text()
    assert str(facts["caption"]) in text
    assert f"](figures/figure-{number}-nasbench201-digits-fast.png)" in text
    assert "Table 2 (s5, digits) | not made yet" in text
    assert f"Figure {number} (" in text
    assert {len(row) for row in facts["rows"]} == {len(facts["header"])}, "the picture's numbers"


def test_nothing_is_run_twice(root: Path) -> None:
    make(root, "--figure", "6")
    before = {path: path.stat().st_mtime_ns for path in (root / "experiments").rglob("metrics.jsonl")}
    make(root, "--figure", "6")
    assert {path: path.stat().st_mtime_ns for path in (root / "experiments").rglob("metrics.jsonl")} == before


def test_a_trial_is_not_taken_for_the_run_it_tries(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A trial of one batch per epoch is not drawn, and does not stand in the way of the real run."""
    make(root, "--figure", "3")
    arguments = ["--figure", "3", "--space", "nasbench201", "--gpu", "cpu", "--experiments", str(root / "experiments")]
    capsys.readouterr()
    run_command(PaperOptions, paper.main, [*arguments, "--dry_run"])
    assert "python -m nasbench201.train_search" in capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        run_command(PaperOptions, paper.main, [*arguments, "--no_run", "-o", str(root / "other")])
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "the search (darts, nasbench201, digits)" in line


def test_an_interrupted_search_and_selection_go_on(root: Path) -> None:
    make(root, "--figure", "6")
    searched = root / "experiments" / "nasbench201" / "search-darts-201-1-digits-fast"
    (selected,) = searched.glob("log_resume-50-pt-acc-*/")
    expected = {folder: (folder / "metrics.jsonl").read_bytes() for folder in (searched, selected)}
    (searched / "checkpoint_50.pth.tar").rename(searched / "kept")
    for folder in expected:
        (folder / "genotype.json").unlink()
    (selected / "checkpoint_5.pth.tar").unlink()
    make(root, "--figure", "6")
    assert {folder: (folder / "metrics.jsonl").read_bytes() for folder in expected} == expected
    assert (searched / "checkpoint_50.pth.tar").read_bytes() == (searched / "kept").read_bytes()
    assert (selected / "genotype.json").is_file()


def test_an_interrupted_analysis_goes_on(root: Path) -> None:
    make(root, "--figure", "2")
    (path,) = (root / "experiments").rglob("analysis-discretisation-*/metrics.jsonl")
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:20]))
    make(root, "--figure", "2")
    assert path.read_bytes() == whole


def test_table_1_has_every_network(root: Path) -> None:
    rows = make(root, "--table", "1")["rows"]
    assert isinstance(rows, list)
    assert [row[0] for row in rows] == ["DARTS supernet", "ResNet", "VGG"]
    assert all(row[3] and row[4] and row[5] == "1, 2" for row in rows)
    (path,) = (root / "experiments" / "nasbench201").rglob("analysis-shuffling-*/metrics.jsonl")
    before = json.loads(path.read_text().splitlines()[0])["values"]["test_accuracy"]
    assert rows[0][3] == f"{before:.2f}"


def test_cells_that_were_not_run_are_empty(root: Path) -> None:
    make(root, "--figure", "6")
    rows = make(root, "--table", "4", "--no_run")["rows"]
    assert isinstance(rows, list)
    assert [row[2] for row in rows] == ["45.70", "11.89", "6.20"]
    assert [row[3:] for row in rows if row[1].endswith("(fix alpha)")] == [["", "", "", ""]]


def test_a_gain_is_of_the_seeds_that_both_selections_have(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = {
        ("darts", "magnitude"): {1: 6.0, 2: 4.0, 3: 9.0},
        ("darts", "pt"): {1: 5.0, 2: 5.0},
        ("blank", "pt"): {1: 1.0, 2: 1.0, 3: 1.0},
    }
    monkeypatch.setattr(tables, "_errors", lambda study, *row: (errors[row], [60.0, None]))
    study = Study("nasbench201", "digits", SCALES["digits"], {})
    ours, gains, seeds = ([row[column] for row in tables.by_space([study], {}, "cifar10")[1]] for column in (3, 4, 5))
    assert ours == ["6.33 ± 2.52 (best 4.00)", "5.00 ± 0.00 (best 5.00)", "1.00 ± 0.00 (best 1.00)"]
    assert gains == ["", "+0.00 (-12.71 to +12.71)", ""]  # ±t(0.975, 1 degree of freedom) · √2 / √2
    assert seeds == ["3", "2", "3"]


def test_a_new_table_counts_at_the_next_drawing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is run for it, and what the selections have written down does not matter."""
    make(root, "--table", "4")
    known = {"digits test": 12.5, "cifar10 test": 25.0, "rank": 3}
    monkeypatch.setattr(NasBench201Space, "look_up", lambda *_: known)
    before = {path: path.stat().st_mtime_ns for path in (root / "experiments").rglob("metrics.jsonl")}
    rows = make(root, "--table", "4", "--no_run")["rows"]
    assert isinstance(rows, list)
    assert [row[3] for row in rows] == ["87.50"] * 3
    figure = make(root, "--figure", "4", "--no_run")
    assert "by the benchmark table" in str(figure["caption"])
    assert "cifar10, PT: 25.00" in str(figure["caption"])
    assert {path: path.stat().st_mtime_ns for path in (root / "experiments").rglob("metrics.jsonl")} == before


def test_the_whole_set_is_drawn_of_what_there_is_and_its_cost_told(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(root, "--figure", "6")
    out = root / "whole"
    arguments = ["--all", "--no_run", "--space", "nasbench201", "--fast", "--experiments", str(root / "experiments")]
    run_command(PaperOptions, paper.main, [*arguments, "-o", str(out), "--gpu", "cpu"])
    said = capsys.readouterr().out
    assert "figure 6: " in said
    assert "table 2" not in said  # It is about S1–S5.
    results = [json.loads(path.read_text()) for path in (out / "figures").glob("*.json")]
    assert {(facts["kind"], facts["number"]) for facts in results} >= {("figure", 3), ("figure", 6), ("table", 4)}
    for facts in results:
        spent = [run["processor_seconds"] for run in facts["runs"]]
        assert facts["processor_seconds"] == pytest.approx(sum(spent), abs=0.1 * len(spent) + 0.1)
        assert None not in spent  # Some are under 0.05 seconds, which the facts round to 0.
        assert sum(spent) > 0
        assert not any(str(folder) in json.dumps(facts) for folder in (root, Path.cwd()))
    runs = {run["run"]: run["processor_seconds"] for facts in results for run in facts["runs"]}
    total = paper_files._total(results).processor_seconds
    assert total == pytest.approx(sum(runs.values()))
    assert f"{len(runs)} runs, each counted once" in (out / "paper.md").read_text()


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100", "svhn"])
def test_every_command_of_the_papers_preset_is_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], dataset: str
) -> None:
    """The commands take the options that --dry_run prints, and nothing is run or written."""
    places = ["--experiments", str(tmp_path / "none"), "-o", str(tmp_path / "out")]
    run_command(PaperOptions, paper.main, ["--all", "--preset", "paper", "--dataset", dataset, "--dry_run", *places])
    lines = capsys.readouterr().out.splitlines()
    commands = [line for line in lines if not line.startswith("#")]
    assert not list(tmp_path.iterdir())
    assert len(commands) == len(set(commands))
    modules = set()
    of_each_kind = {tuple(word for word in line.split() if word[0] == "-" or "." in word): line for line in commands}
    for line in of_each_kind.values():  # They differ in values only, such as the seed.
        python, flag, module, *words = shlex.split(line)
        assert (python, flag) == ("python", "-m")
        seen: list[Any] = []
        run_command(OPTIONS[module], seen.append, words)
        (options,) = seen
        assert (options.dataset, options.experiments) == (dataset, tmp_path / "none")
        assert options.seed in (0, 1, 2, 3)
        modules.add(module)
        if module == "sota.train":
            preset = SPACES["s5"].preset(options)
            assert (options.cutout, options.auxiliary) == (True, True)
            assert (preset["init_channels"], preset["layers"]) == ((36, 20) if dataset == "cifar10" else (16, 8))
    known = {"nasbench201.train"} if SPACES["nasbench201"].has_table(dataset) else set()
    assert modules == OPTIONS.keys() - known


def test_a_dry_run_tells_what_the_run_then_does(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    facts = make(root, "--figure", "6")
    arguments = ["--figure", "6", "--space", "nasbench201", "--fast", "--gpu", "cpu", "--dry_run"]
    capsys.readouterr()
    run_command(PaperOptions, paper.main, [*arguments, "--experiments", str(root / "experiments")])
    assert "# nothing is missing" in capsys.readouterr().out
    run_command(PaperOptions, paper.main, [*arguments, "--experiments", str(tmp_path / "none")])
    told = [line.split() for line in capsys.readouterr().out.splitlines() if not line.startswith("#")]
    made = [run["command"].split() for run in facts["runs"]]  # pyright: ignore[reportIndexIssue]
    assert [words[2] for words in told] == ["nasbench201.train_search", *["nasbench201.projection"] * 2]
    for name in ("--resume_expid", "--selection", "--proj_intv"):
        values = [sorted(words[words.index(name) + 1] for words in lines if name in words) for lines in (told, made)]
        assert values[0] == values[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "either --figure N"),
        (["--figure", "1", "--table", "1"], "either --figure N"),
        (["--figure", "1", "--all"], "either --figure N"),
        (["--figure", "7"], "--figure: expected a number from 1 to 6"),
        (["--table", "0"], "--table: expected a number from 1 to 4"),
        (["--table", "3", "--space", "s5"], "table 3 is about S1–S4"),
        (["--table", "2", "--space", "nasbench201"], "table 2 is about the DARTS space"),
        (["--figure", "1", "--dataset", "folder"], "the paper has no such data"),
        (["--figure", "3", "--data", "x"], "--data and --table_dataset are for --dataset folder"),
        (["--figure", "1", "--preset", "laptop"], "expected with --preset laptop one of --figure 3, --table 4"),
        (["--all", "--preset", "laptop", "--space", "s2"], "--space: unknown 's2'; expected nasbench201"),
        (["--figure", "3", "--no_run"], "has not been run"),
        (["--figure", "3", "--seeds", "-4"], "--seeds"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:  # fmt: skip
    with pytest.raises(SystemExit) as end:
        run_command(
            PaperOptions, paper.main, [*arguments, "--experiments", str(tmp_path / "none"), "-o", str(tmp_path)]
        )
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not list(tmp_path.iterdir())


def test_the_papers_numbers_agree_where_they_meet() -> None:
    by_label = {(row.method, row.selection): row.published.mean for row in DARTS_SPACE}
    assert MORE_SPACES["s5"] == tuple(by_label[method, selection] for _, method, selection in COLUMNS)
    assert all(set(spaces) == {"s1", "s2", "s3", "s4"} for spaces in S1_TO_S4.values())
    assert {row.method for row in DARTS_SPACE} <= set(METHODS)


def strength(operation: str, weight: float, accuracy: float, edge: int = 0) -> Strength:
    return Strength("cell", edge, operation, weight, accuracy)


def test_alpha_and_strength_are_compared_by_edge() -> None:
    agree = [strength("a", 0.4, 90.0), strength("b", 0.6, 95.0)]
    differ = [strength("a", 0.7, 90.0, 1), strength("b", 0.3, 95.0, 1)]
    assert disagreements(agree + differ) == (1, 2)
    tied = [strength("a", 0.4, 90.0, 2), strength("b", 0.6, 90.0, 2)]
    assert disagreements(agree + differ + tied) == (1, 3), "of equals the largest alpha is as good as any"
    assert rank_correlation(agree) == pytest.approx(1.0)
    assert rank_correlation(differ) == pytest.approx(-1.0)
    assert rank_correlation([strength("a", 0.4, 90.0), strength("b", 0.6, 90.0)]) is None


def test_the_gap_is_between_skips_and_the_mean_of_convolutions() -> None:
    edges = {
        "0:1<-0": {"none": 0.1, "skip_connect": 0.5, "nor_conv_1x1": 0.1, "nor_conv_3x3": 0.2},
        "1:2<-0": {"skip_connect": 0.2, "nor_conv_1x1": 0.3, "nor_conv_3x3": 0.5},
        "2:2<-1": {"none": 0.5, "avg_pool_3x3": 0.5},
    }
    run = Recorded(Path("search-x"), records=(Record("epoch", 1, {"mixing_weights": {"cell": edges}}),))
    epochs, gaps = skip_gap(run)
    assert epochs == [1]
    assert gaps == pytest.approx([((0.5 - 0.15) + (0.2 - 0.4)) / 2])
