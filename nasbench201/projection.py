"""`python -m nasbench201.projection`: select an architecture from a trained supernet, by perturbation or magnitude."""

from __future__ import annotations

from darts_pt.commands.command_line import run_command
from darts_pt.commands.stages import select
from nasbench201.space import NasBench201SelectionOptions, NasBench201Space


def main(options: NasBench201SelectionOptions) -> None:
    select(NasBench201Space(), options)


if __name__ == "__main__":
    run_command(NasBench201SelectionOptions, main)
