"""`python -m report.paper`: the former name of `python -m paper`."""

from __future__ import annotations

from darts_pt.commands.command_line import run_command
from paper.__main__ import main
from paper.options import PaperOptions

if __name__ == "__main__":
    run_command(PaperOptions, main)
