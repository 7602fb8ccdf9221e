"""`python -m sota.train`: train the network of a genotype of S1–S5 from scratch."""

from __future__ import annotations

from typing import Any

from darts_pt.commands.command_line import run_command
from darts_pt.commands.stages import train
from sota.options import SotaTrainOptions
from sota.space import SotaSpace


def main(options: SotaTrainOptions) -> dict[str, Any]:
    """Train, and return the summary: accuracies, parameters, multiply-adds and seconds."""
    return train(SotaSpace(), options)


if __name__ == "__main__":
    run_command(SotaTrainOptions, main)
