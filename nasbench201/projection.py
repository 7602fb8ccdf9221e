"""`python -m nasbench201.projection`: select an architecture from a trained supernet, by perturbation or magnitude."""

from __future__ import annotations

from darts_pt.commands.command_line import run_command
from nasbench201.space import NasBench201SelectionOptions, NasBench201Space


def main(options: NasBench201SelectionOptions) -> None:
    """Select, and say what to do next."""
    from darts_pt.commands.selection import run_selection
    from darts_pt.run.resume import say_next

    selected = run_selection(NasBench201Space(options.data_root), options)
    say_next("eval.sh", selected.folder, "--arch", selected.genotype)


if __name__ == "__main__":
    run_command(NasBench201SelectionOptions, main)
