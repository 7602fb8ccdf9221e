"""The commands of S1–S5 as a user types them, in this process, on digits at a size that costs seconds."""

from __future__ import annotations

from pathlib import Path

from darts_pt.commands.command_line import run_command
from sota import projection, train, train_search
from sota.options import SotaSearchOptions, SotaSelectionOptions

TINY = ("--dataset", "digits", "--init_channels", "2", "--layers", "3", "--gpu", "cpu", "--batch_size", "256")


def search(root: Path, *arguments: str) -> None:
    run_command(SotaSearchOptions, train_search.main, [*TINY, "--experiments", str(root), *arguments])


def select(root: Path, *arguments: str) -> None:
    tiny = ("--gpu", "cpu", "--proj_intv", "1", "--fast", "--experiments", str(root))
    run_command(SotaSelectionOptions, projection.main, [*tiny, *arguments])


def evaluate(root: Path, *arguments: str) -> None:
    run_command(train.SotaTrainOptions, train.main, [*TINY, "--experiments", str(root), *arguments])
