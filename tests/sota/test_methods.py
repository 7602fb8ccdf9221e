"""The search methods by the commands of S1–S5."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from darts_pt.commands.command_line import run_command
from darts_pt.methods import METHODS
from darts_pt.run import checkpoint as checkpoints
from sota import projection
from sota.genotypes import from_plain
from sota.options import SotaSelectionOptions
from sota.supernet import sizes_of
from tests.helpers.sota import search as tiny_search


def search(root: Path, *arguments: str) -> Path:
    tiny_search(root, "--init_channels", "4", "--batch_size", "64", "--fast", *arguments)
    (folder,) = (root / "sota" / "digits").iterdir()
    return folder


@pytest.mark.parametrize(("method", "space"), zip(METHODS, ("s1", "s2", "s3", "s4", "s5") * 2, strict=False))
def test_every_method_searches(tmp_path: Path, method: str, space: str) -> None:
    folder = search(tmp_path, "--method", method, "--search_space", space, "--epochs", "1", "--expid_tag", "x")
    assert folder.name == f"search-{METHODS[method].script_name}-sota-{space}-2-fast-x"
    weights = checkpoints.read(folder / checkpoints.name(1))["state_dict"]
    assert sizes_of(weights) == {"space": space, "init_channels": 4, "layers": 3}
    genotype = from_plain(json.loads((folder / "genotype.json").read_text()))
    assert len(genotype.normal) == len(genotype.reduce) == 8


def test_sgas_decides_eight_edges_and_sgas_with_pt_decides_them_anew(tmp_path: Path) -> None:
    arguments = ("--method", "sgas", "--space", "s2", "--epochs", "10", "--sgas_warmup", "2", "--sgas_interval", "1")
    folder = search(tmp_path, *arguments)
    run_command(
        SotaSelectionOptions,
        projection.main,
        ["--gpu", "cpu", "--experiments", str(tmp_path), "--method", "sgas", "--resume_expid", folder.name, "--fast"],
    )
    (selection,) = folder.glob("log_resume-2-pt-*/")
    for path in (folder, selection):
        decisions = json.loads((path / "genotype.json").read_text())["decisions"]
        for cell in ("normal", "reduce"):
            assert len(decisions["operations"][cell]) == 8
            assert set(decisions["edges"][cell]) <= {"3", "4", "5"}
    lines = [json.loads(line) for line in (selection / "metrics.jsonl").read_text().splitlines()]
    events = [line for line in lines if line["kind"] == "operation_event"]
    assert [event["epoch"] for event in events] == [epoch for epoch in range(2, 10) for _ in range(2)]
    assert all(len(event["values"]["accuracy"]) == 2 for event in events)
