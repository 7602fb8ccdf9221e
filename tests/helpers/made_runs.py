"""Runs to report on: real ones, of the size that costs seconds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.helpers.nasbench201 import ARCHITECTURE, evaluate, search, select

NAME = "search-darts-201-1-digits"


@pytest.fixture(scope="session")
def made_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of experiments with a search of two epochs, two selections from it and a training."""
    root = tmp_path_factory.mktemp("experiments")
    search(root, "--epochs", "2")
    for selection in ("pt", "magnitude"):
        select(root, "--resume_expid", NAME, "--selection", selection, "--proj_intv", "1")
    evaluate(root, "--arch", ARCHITECTURE, "--epochs", "1")
    return root


@pytest.fixture
def root(made_runs: Path, tmp_path: Path) -> Path:
    """A copy of them to damage."""
    return Path(shutil.copytree(made_runs, tmp_path / "experiments"))
