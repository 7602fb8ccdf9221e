"""The commands of NAS-Bench-201 as a user types them, in this process, on digits at a size that costs seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from darts_pt.commands.command_line import run_command
from nasbench201 import projection, train, train_search
from nasbench201.space import NasBench201SearchOptions, NasBench201SelectionOptions

TINY = ("--dataset", "digits", "--init_channels", "4", "--gpu", "cpu", "--batch_size", "256")
ARCHITECTURE = "|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"
CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
"""Its classes."""


def write_class_folders(folder: Path) -> None:
    """Forty images of noise in ten class folders of a training and a test set, as if they were CIFAR-10's."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    for place, image in enumerate(pixels):
        path = folder / ("test" if place < 10 else "train") / f"class {place % 10}" / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)


def search(root: Path, *arguments: str) -> None:
    run_command(NasBench201SearchOptions, train_search.main, [*TINY, "--experiments", str(root), *arguments])


def select(root: Path, *arguments: str) -> None:
    run_command(NasBench201SelectionOptions, projection.main, ["--gpu", "cpu", "--experiments", str(root), *arguments])


def evaluate(root: Path, *arguments: str) -> None:
    run_command(train.NasBench201TrainOptions, train.main, [*TINY, "--experiments", str(root), *arguments])
