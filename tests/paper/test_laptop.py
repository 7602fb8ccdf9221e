"""The preset `laptop` of paper.sh, on images in a folder that stand for a published data set."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from darts_pt.commands.command_line import run_command
from nasbench201.space import SIZES
from paper import __main__ as paper
from paper.options import PaperOptions
from paper.study import SCALES
from tests.helpers.nasbench201 import write_class_folders


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options of a laptop that is smaller still."""
    monkeypatch.setitem(SCALES, "laptop", dataclasses.replace(SCALES["laptop"], seeds=(1,), interval=1))
    for name, value in {"epochs": 2, "ckpt_interval": 1, "cells_per_stage": 1, "batch_size": 8}.items():
        monkeypatch.setitem(SIZES["laptop"], name, value)
    write_class_folders(tmp_path / "images")
    images = ["--dataset", "folder", "--data", str(tmp_path / "images"), "--table_dataset", "cifar10"]
    places = ["--experiments", str(tmp_path / "experiments"), "-o", str(tmp_path / "out")]
    return ["--preset", "laptop", "--gpu", "cpu", "--fast", *images, *places]


def test_every_stage_of_its_runs_is_a_result(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    run_command(PaperOptions, paper.main, ["--all", *arguments, "--dry_run"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" (")[0] for line in lines if line[0] == "#"] == [
        "# figure 3",
        "# table 4",
        "# figure 6",
        "# figure 4",
    ]
    commands = [line for line in lines if line[0] != "#"]
    assert len(commands) == len(set(commands))

    def first(*words: str) -> int:
        return next(number for number, line in enumerate(commands) if all(word in line for word in words))

    stages = [
        first("train_search"),
        first("projection", "search-darts"),
        first("projection", "search-blank"),
        first("--selection pt-mag"),
        first("--resume_epoch 1"),
    ]
    assert stages == sorted(stages)


def test_accuracies_are_those_of_the_data_set_whose_images_they_are(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    run_command(PaperOptions, paper.main, ["--figure", "4", *arguments])
    (facts,) = [
        json.loads(path.read_text()) for path in (tmp_path / "out").rglob("figure-4-nasbench201-cifar10-laptop-*.json")
    ]
    assert "by the benchmark table" in facts["caption"]
    assert "cifar100, magnitude: " in facts["images"][0]["alt"]
    assert "--preset laptop --dataset folder --data DIR --table_dataset cifar10" in facts["command"]
    assert all("--size laptop" in run["command"] for run in facts["runs"] if "train_search" in run["command"])
    capsys.readouterr()
    run_command(PaperOptions, paper.main, ["--figure", "4", *arguments, "--dry_run"])
    assert "# nothing is missing" in capsys.readouterr().out
