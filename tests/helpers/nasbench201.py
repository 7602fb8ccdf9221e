"""The commands of NAS-Bench-201 as a user types them, in this process, on digits at a size that costs seconds."""

from __future__ import annotations

from pathlib import Path

from darts_pt.commands.command_line import run_command
from nasbench201 import projection, train, train_search
from nasbench201.space import NasBench201SearchOptions, NasBench201SelectionOptions

TINY = ("--dataset", "digits", "--init_channels", "4", "--gpu", "cpu", "--batch_size", "128")
ARCHITECTURE = "|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"


def search(root: Path, *arguments: str) -> None:
    run_command(NasBench201SearchOptions, train_search.main, [*TINY, "--experiments", str(root), *arguments])


def select(root: Path, *arguments: str) -> None:
    run_command(NasBench201SelectionOptions, projection.main, ["--gpu", "cpu", "--experiments", str(root), *arguments])


def evaluate(root: Path, *arguments: str) -> None:
    run_command(train.NasBench201TrainOptions, train.main, [*TINY, "--experiments", str(root), *arguments])
