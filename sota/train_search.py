"""`python -m sota.train_search`: train a supernet of one of the spaces S1–S5."""

from __future__ import annotations

from darts_pt.commands.command_line import run_command
from darts_pt.methods import selection_script
from sota.space import SotaSearchOptions, SotaSpace


def main(options: SotaSearchOptions) -> None:
    """Search, and say what to do next."""
    from darts_pt.commands.search import run_search
    from darts_pt.run.resume import say_next

    searched = run_search(SotaSpace(), options)
    script = selection_script(options.method, "sota")
    say_next(script, searched.folder, "--resume_expid", searched.folder.name)


if __name__ == "__main__":
    run_command(SotaSearchOptions, main)
