"""The names of selections' folders, known before they run. Cheap to import: no torch."""

from __future__ import annotations

from darts_pt.commands.options import TRIAL, SelectionOptions, not_none
from darts_pt.methods import METHODS
from darts_pt.run.results import SELECTION
from darts_pt.selections import SELECTIONS


def continues_search(options: SelectionOptions) -> bool:
    """True if the selection continues a search from before its first decision (SGAS)."""
    return METHODS[not_none(options.method)].decides_during_search and SELECTIONS[options.selection].tunes


def selection_name(options: SelectionOptions, epoch: int) -> str:
    """The name of a selection's folder and log: all options in which selections from one supernet may differ."""
    selection = SELECTIONS[options.selection]
    parts = [f"{SELECTION}{epoch}", options.selection]
    parts += options.criterion_names() if selection.compares else []
    parts += [option.in_name.format(getattr(options, option.name)) for option in selection.options if option.in_name]
    parts += [f"seed-{options.seed}"]
    if options.selection != "magnitude":
        parts += [f"intv-{options.proj_intv}"] if selection.tunes and options.proj_intv != 5 else []
        parts += [options.edge_decision] if options.edge_decision != "random" else []
        parts += [options.proj_batches] if options.proj_batches != "fresh" else []
    parts += [f"as-{options.method}"] if options.change_method else []
    parts += [TRIAL] if options.fast else []
    return "-".join(parts + ([options.log_tag] if options.log_tag else []))


def selection_pattern(options: SelectionOptions, epochs: int) -> str:
    """The folder name of a selection from a search of `epochs` epochs, which need not have been run yet.

    A `*` stands for the epoch if the selection continues the search (SGAS). `options.method` must be set.
    """
    if continues_search(options):
        return f"{SELECTION}*" + selection_name(options, 0).removeprefix(f"{SELECTION}0")
    return selection_name(options, epochs if SELECTIONS[options.selection].trained else 0)
