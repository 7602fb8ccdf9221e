"""True accuracies, rank and regret of what searches and selections find, by the tables that come with the code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from darts_pt.data.class_names import CLASS_NAMES, check_classes
from nasbench201.architecture import operations_of
from nasbench201.space import NasBench201Space
from tests.helpers.nasbench201 import search, select, write_class_folders

ALL_SKIP = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|"


def test_the_data_sets_of_the_benchmark_need_no_download(tmp_path: Path) -> None:
    known = NasBench201Space(tmp_path).look_up(ALL_SKIP, "cifar10")
    assert (round(known["cifar10 test"], 2), known["rank"]) == (54.30, 15231)
    assert {"cifar100 test", "imagenet16-120 test"} <= known.keys()
    assert NasBench201Space(tmp_path).look_up(ALL_SKIP, "svhn") == {}


def test_own_images_are_looked_up_in_the_table_that_is_named(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "images")
    images = ("--dataset", "folder", "--data", str(tmp_path / "images"), "--batch_size", "8")
    search(tmp_path, *images, "--seed", "3", "--epochs", "1", "--table_dataset", "cifar10")
    select(tmp_path, "--resume_expid", "search-darts-201-3-folder", "--selection", "magnitude")  # has it of the search
    found = sorted((tmp_path / "nasbench201").rglob("genotype.json"))
    assert len(found) == 2
    for path in found:
        content = json.loads(path.read_text())
        expected = NasBench201Space().look_up(content["genotype"], "cifar10")
        assert content["table"] == pytest.approx(expected)


def test_a_selection_ends_with_what_magnitude_had_selected_from_the_same_supernet(tmp_path: Path) -> None:
    search(tmp_path, "--epochs", "2", "--batch_size", "512")
    folder = tmp_path / "nasbench201" / "search-darts-201-1-digits"
    arguments = ("--resume_expid", folder.name, "--arch_learning_rate", "0.1", "--proj_intv", "1")
    select(tmp_path, *arguments)  # Tuning moves alpha far, and with it what magnitude would select.
    select(tmp_path, *arguments, "--selection", "magnitude")
    (by_pt,), (by_magnitude,) = (folder.glob(f"log_resume-2-{name}*/genotype.json") for name in ("pt", "magnitude"))
    content, magnitude = json.loads(by_pt.read_text()), json.loads(by_magnitude.read_text())
    assert magnitude["genotype"] == json.loads((folder / "genotype.json").read_text())["genotype"]
    assert "baseline" not in magnitude
    plain = {name: magnitude[name] for name in ("space", "genotype", "table")}
    assert content["baseline"] == {"by": "magnitude", **plain}

    lines = by_pt.parent.with_suffix(".txt").read_text().splitlines()
    words = [line.split()[2:] for line in lines]
    assert ["PT", "magnitude", "difference"] in words
    ours, theirs = content["table"], magnitude["table"]
    accuracies = [ours["digits test"], theirs["digits test"]]
    assert ["digits", "test", *(f"{each:.2f}" for each in accuracies), f"{accuracies[0] - accuracies[1]:+.2f}"] in words
    assert ["rank", f"{ours['rank']:,}", f"{theirs['rank']:,}", f"{ours['rank'] - theirs['rank']:+,}"] in words
    pairs = zip(operations_of(content["genotype"]), operations_of(magnitude["genotype"]), strict=True)
    assert [line[4:] for line in words if line[:1] == ["edge"] and line[2:3] == ["←"]] == [
        [first, second, *(["differs"] if first != second else [])] for first, second in pairs
    ]


@pytest.mark.parametrize(("method", "selection"), [("blank", "pt"), ("darts", "zero-cost-pt")])
def test_magnitude_selects_nothing_where_alpha_was_never_trained(tmp_path: Path, method: str, selection: str) -> None:
    search(tmp_path, "--method", method, "--epochs", "1", "--fast")
    name = f"search-{method}-201-1-digits-fast"
    select(tmp_path, "--resume_expid", name, "--selection", selection, "--proj_intv", "1", "--fast")
    (path,) = (tmp_path / "nasbench201" / name).glob("log_resume-*/genotype.json")
    baseline = json.loads(path.read_text())["baseline"]
    assert baseline.keys() == {"by", "missing"}
    assert f"magnitude: {baseline['missing']}" in path.parent.with_suffix(".txt").read_text()


def test_sgas_with_pt_is_compared_with_what_sgas_decided(tmp_path: Path) -> None:
    search(tmp_path, "--method", "sgas", "--epochs", "5", "--sgas_interval", "1", "--fast")
    name = "search-sgas-201-1-digits-fast"
    searched = json.loads((tmp_path / "nasbench201" / name / "genotype.json").read_text())
    select(tmp_path, "--resume_expid", name, "--fast")
    (path,) = (tmp_path / "nasbench201" / name).glob("log_resume-*/genotype.json")
    baseline = json.loads(path.read_text())["baseline"]
    assert baseline == {"by": "SGAS's search", **{key: searched[key] for key in ("space", "genotype", "table")}}


CIFAR10 = CLASS_NAMES["cifar10"].split()


@pytest.mark.parametrize(
    "names",
    [
        ["plane", "car", *CIFAR10[2:]],
        [str(number) for number in range(10)],
        [f"class {number}" for number in range(10)],
        [name.upper() for name in CIFAR10],
    ],
)
def test_other_spellings_of_a_data_sets_classes_pass(names: list[str]) -> None:
    check_classes(names, "cifar10")
