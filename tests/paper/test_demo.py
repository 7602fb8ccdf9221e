"""The demo: what it says of what came out, its files, that it goes on where it stopped, and that a trial is no result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from darts_pt.commands.command_line import run_command
from nasbench201.space import NasBench201Space
from paper import demo
from paper.demo import Choice, DemoOptions, Pair, conclusion, facts, main, table
from tests.helpers.command_line import refused


def pairs(*gains: float) -> list[Pair]:
    return [Pair(seed, Choice("a", 90.0, 9000), Choice("b", 90.0 + gain, 800)) for seed, gain in enumerate(gains)]


@pytest.mark.parametrize(
    ("gains", "shown"),
    [
        ((4.0, 5.0, 4.5, 6.0), "PT selects better here"),
        ((-4.0, -5.0, -4.5, -6.0), "magnitude selects better here"),
        ((4.0, -5.0, 4.5, -3.0), "shows nothing"),
        ((0.0, 0.0, 0.0), "too few different results"),
        ((7.0, 8.0), "too few different results"),
    ],
)
def test_the_conclusion_is_what_the_numbers_say(gains: tuple[float, ...], shown: str) -> None:
    said = conclusion(pairs(*gains))
    assert shown in said
    better, worse = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    mean = sum(gains) / len(gains)
    assert f"{abs(mean):.2f} points {'better' if mean > 0 else 'worse'}" in said
    assert f"better in {better} and worse in {worse} of {len(gains)}" in said


def test_the_table_has_a_row_per_seed_and_the_mean() -> None:
    _, header, first, second, mean, spread = table(pairs(4.0, -1.0))
    assert header.split() == ["magnitude", "rank", "PT", "rank", "difference"]
    assert first.split() == ["seed", "0", "90.00", "9,000", "94.00", "800", "+4.00"]
    assert second.split()[-1] == "-1.00"
    assert mean.split() == ["mean", "90.00", "9,000", "91.50", "800", "+1.50"]
    assert spread.split()[-2:] == ["±", "3.54"]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches of one epoch, and epochs of three steps; whether a run is resumed does not depend on it."""
    monkeypatch.setitem(demo.SEARCH, "epochs", 1)
    monkeypatch.setitem(demo.BOTH, "batch_size", 256)


@pytest.mark.usefixtures("short")
def test_a_demo_leaves_its_picture_and_numbers_and_runs_nothing_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--seeds", "1", "2", "--gpu", "cpu", "--experiments", str(tmp_path)]
    run_command(DemoOptions, main, [*arguments[:2], *arguments[3:]])
    run_command(DemoOptions, main, arguments)
    said = capsys.readouterr().out
    assert [said.count(f"seed {seed} ({place} of 2): search") for seed, place in ((1, 1), (2, 2))] == [0, 1]
    assert "epoch 1/1" not in said  # The log of each run is in its folder.
    assert (tmp_path / "demo.png").stat().st_size > 10_000
    found = json.loads((tmp_path / "demo.json").read_text())
    assert found["conclusion"] in said
    space = NasBench201Space()
    for row in found["rows"]:
        (selection,) = (tmp_path / "nasbench201" / f"search-darts-201-{row['seed']}-digits-demo").glob("log_resume-*/")
        content = json.loads((selection / "genotype.json").read_text())
        for ours, theirs in (("pt", content), ("magnitude", content["baseline"])):
            assert row[ours]["genotype"] == theirs["genotype"]
            known = space.look_up(theirs["genotype"], "digits")
            assert (row[ours]["accuracy"], row[ours]["rank"]) == (known["digits test"], known["rank"])
        assert row["difference"] == row["pt"]["accuracy"] - row["magnitude"]["accuracy"]
    assert found == json.loads(json.dumps(facts([demo.pair(demo.runs_of(DemoOptions(experiments=tmp_path), s)[1], s)
                                                 for s in (1, 2)])))  # fmt: skip


@pytest.mark.usefixtures("short")
def test_a_trial_has_no_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_command(DemoOptions, main, ["--seeds", "1", "--fast", "--gpu", "cpu", "--experiments", str(tmp_path)])
    assert "no results" in capsys.readouterr().out
    assert not [*tmp_path.glob("demo.*")]


@pytest.mark.parametrize("seeds", [["1", "1"], ["-1"]])
def test_seeds_that_cannot_be_are_refused(seeds: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert "--seeds" in refused(capsys, run_command, DemoOptions, main, ["--seeds", *seeds])
