"""`python -m nasbench201.train_search`: train a supernet of the NAS-Bench-201 space."""

from __future__ import annotations

from darts_pt.commands.command_line import run_command
from darts_pt.methods import selection_script
from nasbench201.space import NasBench201SearchOptions, NasBench201Space


def main(options: NasBench201SearchOptions) -> None:
    """Search, and say what to do next."""
    from darts_pt.commands.search import run_search
    from darts_pt.run.resume import say_next

    searched = run_search(NasBench201Space(options.data_root), options)
    script = selection_script(options.method, "201")
    say_next(script, searched.folder, "--resume_expid", searched.folder.name)


if __name__ == "__main__":
    run_command(NasBench201SearchOptions, main)
