"""`python -m nasbench201.train_search`: train a supernet of the NAS-Bench-201 space."""

from __future__ import annotations

from darts_pt.commands.command_line import run_command
from darts_pt.commands.stages import search
from nasbench201.space import NasBench201SearchOptions, NasBench201Space


def main(options: NasBench201SearchOptions) -> None:
    search(NasBench201Space(), options)


if __name__ == "__main__":
    run_command(NasBench201SearchOptions, main)
