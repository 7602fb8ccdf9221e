"""An experiment made by version 0.1.0 (commit 7bb7314) is resumed, selected from and reported.

tests/records/experiments holds its first checkpoint, its options, and the metrics of both its epochs; from the folder the
paths of the machine were taken out.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from darts_pt.commands.command_line import run_command
from nasbench201.projection import main as select
from nasbench201.space import NasBench201SearchOptions, NasBench201SelectionOptions
from nasbench201.train_search import main as search
from report.page import PageOptions
from report.page import main as report

RECORDS = Path(__file__).parent / "records" / "experiments"
NAME = "search-darts-201-1-digits"


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line)["values"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def experiments(tmp_path: Path) -> Path:
    shutil.copytree(RECORDS, tmp_path / "experiments")
    return tmp_path / "experiments"


def test_an_earlier_search_goes_on_is_selected_from_and_reported(experiments: Path, tmp_path: Path) -> None:
    folder = experiments / "nasbench201" / NAME
    expected = metrics(folder)
    common = ["--dataset", "digits", "--gpu", "cpu", "--experiments", str(experiments)]
    sizes = ["--init_channels", "2", "--cells_per_stage", "1", "--batch_size", "256"]
    resume = [*common, *sizes, "--epochs", "2", "--ckpt_interval", "1", "--resume_epoch", "1"]
    run_command(NasBench201SearchOptions, search, resume)
    found = metrics(folder)
    assert len(found) == len(expected) == 2
    assert found[0] == expected[0]
    for name in ("train_loss", "valid_loss", "valid_accuracy"):
        assert found[1][name] == pytest.approx(expected[1][name], rel=1e-3), name
    assert found[1]["mixing_weights"]["cell"].keys() == expected[1]["mixing_weights"]["cell"].keys()

    run_command(NasBench201SelectionOptions, select, [*common, "--resume_expid", NAME, "--selection", "magnitude"])
    (genotype,) = folder.glob("log_resume-2-magnitude-seed-1/genotype.json")
    assert json.loads(genotype.read_text())["genotype"] == found[1]["genotype"]

    page = tmp_path / "report"
    run_command(PageOptions, report, ["--experiments", str(experiments), "--output", str(page), "--formats", "png"])
    assert NAME in (page / "index.html").read_text(encoding="utf-8")
