"""Experiment folders are read as they are, and what is broken in them is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from darts_pt.run.errors import UserError
from runs.reading import find_runs, read_run, read_runs
from runs.recorded import number

NAME = "search-darts-201-1-digits"


def test_a_search_stands_for_its_selections_too(root: Path) -> None:
    runs = read_runs(find_runs([NAME], root))
    assert [run.kind for run in runs] == ["search", "selection", "selection"]
    assert {run.label for run in runs} == {"DARTS", "DARTS + PT", "DARTS (magnitude)"}
    assert all((run.space, run.dataset, run.seed, run.problems) == ("nasbench201", "digits", 1, ()) for run in runs)
    assert {run.snapshot for run in runs if run.kind == "selection"} == {2}


def test_everything_is_found_where_nothing_is_named(root: Path) -> None:
    kinds = sorted(run.kind for run in read_runs(find_runs([], root)))
    assert kinds == ["search", "selection", "selection", "training"]


def test_numbers_come_from_the_metrics(root: Path) -> None:
    run = read_run(root / "nasbench201" / NAME)
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    expected = [line["values"]["valid_accuracy"] for line in lines]
    assert run.series("valid_accuracy") == ([1, 2], expected)
    assert run.valid_accuracy == expected[-1]
    assert run.seconds is not None
    assert run.seconds > 0


def test_a_half_written_line_is_left_out_and_named(root: Path) -> None:
    path = root / "nasbench201" / NAME / "metrics.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[: -len(whole) // 4])
    run = read_run(path.parent)
    assert [record.epoch for record in run.epochs] == [1]
    assert run.problems == ("metrics.jsonl: line 2 is not whole and was left out",)


@pytest.mark.parametrize("line", ["[1, 2]", "{}", '{"kind": "epoch", "epoch": "two", "values": {}}', "\x00\x01", "NaN"])
def test_a_line_that_is_no_record_spoils_nothing(root: Path, line: str) -> None:
    path = root / "nasbench201" / NAME / "metrics.jsonl"
    path.write_text(line + "\n" + path.read_text())
    run = read_run(path.parent)
    assert [record.epoch for record in run.epochs] == [1, 2]
    assert len(run.problems) == 1


def test_the_later_of_two_records_of_an_epoch_counts(root: Path) -> None:
    path = root / "nasbench201" / NAME / "metrics.jsonl"
    record = {"kind": "epoch", "epoch": 1, "step": None, "values": {"valid_accuracy": 12.5}}
    path.write_text(path.read_text() + json.dumps(record) + "\n")
    assert read_run(path.parent).series("valid_accuracy")[1][0] == 12.5


@pytest.mark.parametrize("name", ["config.json", "genotype.json", "metrics.jsonl"])
def test_a_missing_or_damaged_file_is_said(root: Path, name: str) -> None:
    folder = root / "nasbench201" / NAME
    (folder / name).write_bytes(b"\xff{")
    assert any(name in problem for problem in read_run(folder).problems)
    (folder / name).unlink()
    run = read_run(folder)
    assert any(name in problem for problem in run.problems)
    assert run.kind == "search"


def test_numbers_that_are_none() -> None:
    assert [number(value) for value in (1, 2.5, True, "nan", float("inf"), None, [1])] == [1.0, 2.5] + [None] * 5


def test_an_unknown_name_is_refused_with_what_is_close(root: Path) -> None:
    with pytest.raises(UserError, match=f"did you mean {NAME}"):
        find_runs(["search-darts-201-1-digit"], root)
    with pytest.raises(UserError, match="is a file"):
        find_runs([str(root / "nasbench201" / NAME / "log.txt")], root)


def test_no_experiment_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no experiment in"):
        find_runs([], tmp_path)
