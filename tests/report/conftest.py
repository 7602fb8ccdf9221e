"""Runs to report on: real ones, of the size that costs seconds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from darts_pt.commands.command_line import run_command
from nasbench201 import projection, train, train_search
from nasbench201.space import NasBench201SearchOptions, NasBench201SelectionOptions

NAME = "search-darts-201-1-digits"


@pytest.fixture(scope="session")
def made_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of experiments with a search of two epochs, two selections from it and a training."""
    root = tmp_path_factory.mktemp("experiments")
    common = ["--gpu", "cpu", "--experiments", str(root)]
    tiny = ["--dataset", "digits", "--init_channels", "4", "--batch_size", "128"]
    run_command(NasBench201SearchOptions, train_search.main, [*common, *tiny, "--epochs", "2"])
    for selection in ("pt", "magnitude"):
        arguments = ["--resume_expid", NAME, "--selection", selection, "--proj_intv", "1", "--fast"]
        run_command(NasBench201SelectionOptions, projection.main, [*common, *arguments])
    arch = "|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"
    run_command(train.NasBench201TrainOptions, train.main, [*common, *tiny, "--arch", arch, "--epochs", "1", "--fast"])
    return root


@pytest.fixture
def root(made_runs: Path, tmp_path: Path) -> Path:
    """A copy of them to damage."""
    return Path(shutil.copytree(made_runs, tmp_path / "experiments"))
