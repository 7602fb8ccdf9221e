"""`python -m nasbench201.train`: train one architecture of NAS-Bench-201 from scratch."""

from __future__ import annotations

from typing import Any

from darts_pt.commands.command_line import run_command
from darts_pt.commands.stages import train
from nasbench201.space import NasBench201Space, NasBench201TrainOptions


def main(options: NasBench201TrainOptions) -> dict[str, Any]:
    space = NasBench201Space()
    space.architecture(options)  # An error comes before torch is loaded.
    return train(space, options)


if __name__ == "__main__":
    run_command(NasBench201TrainOptions, main)
