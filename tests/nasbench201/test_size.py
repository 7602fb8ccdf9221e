"""The laptop size: a smaller search of the same kind, told apart by its name and its config, inherited by selections."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from darts_pt.commands import stages
from darts_pt.commands.command_line import run_command
from darts_pt.run import checkpoint as checkpoints
from nasbench201.space import SIZES, NasBench201SearchOptions, NasBench201SelectionOptions, NasBench201Space
from runs.__main__ import usual_training
from tests.helpers.command_line import refused
from tests.helpers.nasbench201 import write_class_folders

SPACE = NasBench201Space()
NAME = "search-darts-201-1-folder-laptop-fast"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Experiments with a trial of the laptop's search and of a selection from it, on images in ten class folders."""
    root = tmp_path_factory.mktemp("laptop")
    write_class_folders(root / "images")
    images = ("--dataset", "folder", "--data", str(root / "images"), "--table_dataset", "cifar10")
    search(root, *images, "--size", "laptop", "--epochs", "1")
    select(root, "--resume_expid", NAME, "--selection", "magnitude")
    return root


def search(root: Path, *arguments: str) -> None:
    words = ["--gpu", "cpu", "--fast", "--batch_size", "8", "--experiments", str(root), *arguments]
    run_command(NasBench201SearchOptions, lambda options: stages.search(SPACE, options), words)


def select(root: Path, *arguments: str) -> None:
    words = ["--gpu", "cpu", "--fast", "--experiments", str(root), *arguments]
    run_command(NasBench201SelectionOptions, lambda options: stages.select(SPACE, options), words)


def options_in(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())["options"]


def test_the_preset_differs_from_the_papers_in_what_it_says_only() -> None:
    usual, small = (SPACE.preset(NasBench201SearchOptions(size=size)) for size in (None, "laptop"))
    assert {name for name in small if small[name] != usual.get(name)} <= set(SIZES["laptop"])
    assert small["cells_per_stage"] == usual["cells_per_stage"], "the collapse comes with depth"


def test_search_and_selection_have_the_size_and_say_it(root: Path) -> None:
    folder = root / "nasbench201" / NAME
    (selected,) = folder.glob("log_resume-1-magnitude-*/")
    for options in (options_in(folder), options_in(selected)):
        assert options["size"] == "laptop"
        for name in ("init_channels", "image_size"):
            assert options[name] == SIZES["laptop"][name]
    state = checkpoints.load(folder, 1)[1]["state_dict"]
    assert state["stem.0.weight"].shape[0] == SIZES["laptop"]["init_channels"]
    table = json.loads((selected / "genotype.json").read_text())["table"]
    assert {"cifar10 test", "cifar100 test", "imagenet16-120 test", "rank", "regret"} <= table.keys()


def test_what_is_selected_is_trained_on_images_of_full_size(root: Path) -> None:
    words = usual_training(SPACE, ["--arch", NAME, "--experiments", str(root)])
    assert "--data" in words
    assert "--image_size" not in words


def test_the_next_command_takes_the_size_from_the_search(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    select(root, "--resume_expid", NAME, "--selection", "magnitude", "--overwrite")
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("next:")]
    assert "--data " in line
    assert "--image_size" not in line


def test_an_interrupted_search_goes_on_with_its_size(root: Path) -> None:
    folder = root / "nasbench201" / NAME
    expected = (folder / "metrics.jsonl").read_bytes()
    images = ("--dataset", "folder", "--data", str(root / "images"), "--table_dataset", "cifar10")
    search(root, *images, "--size", "laptop", "--epochs", "1", "--resume_epoch", "-1")
    assert (folder / "metrics.jsonl").read_bytes() == expected


def test_the_size_is_not_given_to_what_was_not_searched_with_it(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    search(root, "--dataset", "digits", "--epochs", "1", "--init_channels", "4")
    plain = root / "nasbench201" / "search-darts-201-1-digits-fast"
    without_size = json.loads((plain / "config.json").read_text())
    for known in (True, False):  # An experiment of before the option does not have it at all.
        if not known:
            del without_size["options"]["size"]
            (plain / "config.json").write_text(json.dumps(without_size))
        line = refused(capsys, select, root, "--resume_expid", plain.name, "--size", "laptop")
        assert "--size laptop: the supernet of search-darts-201-1-digits-fast was searched with none" in line
    line = refused(capsys, search, root, "--dataset", "digits", "--size", "laptop")
    assert "--size laptop is for images as large as CIFAR-10's" in line
    images = ("--dataset", "folder", "--data", str(root / "images"), "--table_dataset", "cifar10")
    line = refused(capsys, search, root, *images, "--resume_epoch", "-1", "--resume_expid", NAME, "--epochs", "1")
    assert "laptop" in line
    assert not list(plain.glob("log_*"))


def test_images_of_the_laptop_have_its_side(root: Path) -> None:
    from darts_pt.commands.supernets import data_on

    options = NasBench201SearchOptions(dataset="folder", data=root / "images", image_size=SIZES["laptop"]["image_size"])
    assert data_on(options, torch.device("cpu")).train.pixels.shape[1:] == (3, 16, 16)
