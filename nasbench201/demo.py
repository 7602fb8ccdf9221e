"""`python -m nasbench201.demo`: the whole method on the digits that ship with scikit-learn, in minutes on a CPU.

One DARTS supernet is searched; one architecture is selected from it by magnitude and one by perturbation; both are
trained from scratch and compared.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from darts_pt.commands.command_line import run_command
from darts_pt.run.provenance import PROJECT_ROOT
from darts_pt.selections import SELECTIONS
from nasbench201.space import NasBench201SearchOptions, NasBench201SelectionOptions, NasBench201Space
from nasbench201.train import NasBench201TrainOptions
from nasbench201.train import main as train

if TYPE_CHECKING:
    from darts_pt.commands.outcome import Selected

TAG = "demo"
COMPARED = ("magnitude", "pt")


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Search, select by magnitude and by perturbation, train both, compare: all on digits, in minutes on a CPU."""

    seed: int = 1
    """Seed of every random choice."""
    gpu: str = "auto"
    """Device: auto (the least used GPU, or the CPU where there is none), the index of a GPU, or cpu."""
    experiments: Annotated[Path, tyro.conf.arg(metavar="DIR")] = PROJECT_ROOT / "experiments"
    """The folder of experiments; those of an earlier demo are replaced."""
    fast: bool = False
    """Quick trial: one batch per epoch and per evaluation."""


def main(options: DemoOptions) -> None:
    from darts_pt.commands.search import run_search
    from darts_pt.commands.selection import run_selection

    common: dict[str, Any] = {
        **dataclasses.asdict(options),
        "dataset": "digits",
        "expid_tag": TAG,
        "overwrite": True,
    }
    space = NasBench201Space(PROJECT_ROOT / "data")
    print("1/4 search: a supernet with every candidate operation on every edge", flush=True)
    searched = run_search(space, NasBench201SearchOptions(**common))
    selected: dict[str, Selected] = {}
    for number, selection in enumerate(COMPARED, start=2):
        print(f"{number}/4 selection by {SELECTIONS[selection].title}", flush=True)
        selected[selection] = run_selection(
            space, NasBench201SelectionOptions(**common, resume_expid=searched.folder.name, selection=selection)
        )
    print("4/4 evaluation: both architectures from scratch", flush=True)
    trained: dict[str, dict[str, Any]] = {}
    for result in selected.values():
        if result.genotype not in trained:
            trained[result.genotype] = train(NasBench201TrainOptions(**common, arch=result.genotype))
    compare(space, selected, trained)
    print(f"\nfiles:  {options.experiments / 'nasbench201'} (search-…-{TAG}, eval/)")
    print("next:   bash exp_scripts/darts-201.sh        the same search at the paper's size, on CIFAR-10")
    print("        bash exp_scripts/darts-201.sh --help every option; README.md has the table of scripts")


def compare(space: NasBench201Space, selected: dict[str, Selected], trained: dict[str, dict[str, Any]]) -> None:
    """Print a table of the two selections."""
    from rich.box import SIMPLE_HEAVY
    from rich.console import Console
    from rich.table import Table

    table = Table(title="One supernet, two selections (digits)", box=SIMPLE_HEAVY)
    table.add_column("\nselected by", no_wrap=True)
    headings = ("supernet\nvalid %", "trained\ntest %", "\nparameters", "table\ntest %", "rank of\n15,625", "\nregret")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, result in selected.items():
        summary, known = trained[result.genotype], space.look_up(result.genotype, "digits")
        assert result.valid is not None, "a selection measures it"
        numbers = [f"{result.valid.accuracy:.2f}", f"{summary['test_accuracy']:.2f}", f"{summary['parameters']:,}"]
        numbers += [f"{known['digits test']:.2f}", f"{known['rank']:,}", f"{known['regret']:.2f}"]
        table.add_row(SELECTIONS[name].title, *numbers)
    console = Console()
    console.print()
    console.print(table)
    for name, result in selected.items():
        console.print(f"{SELECTIONS[name].title}: {result.genotype}", markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    run_command(DemoOptions, main)
