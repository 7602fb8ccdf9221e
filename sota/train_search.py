"""`python -m sota.train_search`: train a supernet of one of the spaces S1–S5."""

from __future__ import annotations

from darts_pt.commands.command_line import run_command
from darts_pt.commands.stages import search
from sota.options import SotaSearchOptions
from sota.space import SotaSpace


def main(options: SotaSearchOptions) -> None:
    search(SotaSpace(options.space), options)


if __name__ == "__main__":
    run_command(SotaSearchOptions, main)
