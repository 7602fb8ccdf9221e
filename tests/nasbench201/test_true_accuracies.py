"""True accuracies, rank and regret of what searches and selections find, by the tables that come with the code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from darts_pt.commands.command_line import run_command
from nasbench201 import train_search
from nasbench201.space import NasBench201SearchOptions, NasBench201Space
from tests.helpers.hostile import refused_unchanged
from tests.helpers.nasbench201 import search, select

ALL_SKIP = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|"


def test_the_data_sets_of_the_benchmark_need_no_download(tmp_path: Path) -> None:
    known = NasBench201Space(tmp_path).look_up(ALL_SKIP, "cifar10")
    assert (round(known["cifar10 test"], 2), known["rank"]) == (54.30, 15231)
    assert {"cifar100 test", "imagenet16-120 test"} <= known.keys()
    assert NasBench201Space(tmp_path).look_up(ALL_SKIP, "svhn") == {}


def image_folder(path: Path, classes: int) -> list[str]:
    """Arguments for a folder of a few small images of each class."""
    pixels = np.random.default_rng(0)
    for number in range(classes):
        (path / f"class {number}").mkdir(parents=True)
        for image in range(6):
            noise = pixels.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(noise).save(path / f"class {number}" / f"{image}.png")
    return ["--dataset", "folder", "--data", str(path), "--batch_size", "8"]


def test_own_images_are_looked_up_in_the_table_that_is_named(tmp_path: Path) -> None:
    images = image_folder(tmp_path / "images", classes=10)
    search(tmp_path, *images, "--seed", "3", "--epochs", "1", "--table_dataset", "cifar10")
    select(tmp_path, "--resume_expid", "search-darts-201-3-folder", "--selection", "magnitude")  # has it of the search
    found = sorted((tmp_path / "nasbench201").rglob("genotype.json"))
    assert len(found) == 2
    for path in found:
        content = json.loads(path.read_text())
        expected = NasBench201Space().look_up(content["genotype"], "cifar10")
        assert content["table"] == pytest.approx(expected)


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("classes", "table", "reason"),
    [(10, "cifra10", "no benchmark table"), (3, "cifar10", "cifar10 has 10 classes, these images have 3")],
)
def test_a_table_that_does_not_fit_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], classes: int, table: str, reason: str
) -> None:
    arguments = [*image_folder(tmp_path / "images", classes), "--gpu", "cpu", "--fast", "--init_channels", "2"]
    arguments += ["--experiments", str(tmp_path / "experiments"), "--table_dataset", table]
    assert reason in refused_unchanged(
        capsys, tmp_path, run_command, NasBench201SearchOptions, train_search.main, arguments
    )
