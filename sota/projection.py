"""`python -m sota.projection`: select an architecture from a trained supernet of S1–S5."""

from __future__ import annotations

from darts_pt.commands.command_line import run_command
from darts_pt.commands.stages import select
from sota.options import SotaSelectionOptions
from sota.space import SotaSpace


def main(options: SotaSelectionOptions) -> None:
    select(SotaSpace(options.space or ""), options)


if __name__ == "__main__":
    run_command(SotaSelectionOptions, main)
