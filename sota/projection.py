"""`python -m sota.projection`: select an architecture from a trained supernet of S1–S5."""

from __future__ import annotations

from darts_pt.commands.command_line import run_command
from sota.space import SotaSelectionOptions, SotaSpace, with_dataset


def main(options: SotaSelectionOptions) -> None:
    """Select, and say what to do next."""
    from darts_pt.commands.selection import run_selection
    from darts_pt.run.resume import say_next

    options = with_dataset(options)
    selected = run_selection(SotaSpace(options.space), options)
    arch = f"{selected.folder.parent.name}/{selected.folder.name}"
    say_next("eval.sh", selected.folder, "--arch", arch)


if __name__ == "__main__":
    run_command(SotaSelectionOptions, main)
