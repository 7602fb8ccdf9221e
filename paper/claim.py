"""The paper's claim on CIFAR-10 at the laptop's size: the generated parts of docs/results.md.

    python -m paper.claim

rewrites the page between its marks and draws the figures, from the records of the runs (paper/records.py) in
docs/results/laptop, and in docs/results/pilot for the runs by which the size was chosen. Accuracies are looked up in the
current benchmark table.
"""

from __future__ import annotations

import dataclasses
import re
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from darts_pt.run.files import atomic_write
from darts_pt.run.provenance import PROJECT_ROOT
from darts_pt.selections import SELECTIONS
from darts_pt.space import SPACES
from paper import figures
from paper.numbers import MORE_SPACES
from paper.options import LAPTOP_SPACE
from paper.records import read
from paper.results import SELECTED, TUNED
from paper.study import SCALES
from report.comparison import aggregate
from report.content import duration
from report.edges import mixing_weights
from report.markdown import difference_table, table
from report.paired import difference
from report.style import Picture, save
from runs.recorded import Recorded

PAGE = PROJECT_ROOT / "docs" / "results.md"
DATASETS = ("cifar10", "cifar100", "imagenet16-120")
"""The searches are on the first; for the others the selected architectures are looked up."""

Key = tuple[str, str]
ROWS: dict[Key, tuple[str, int | None]] = {
    ("darts", "magnitude"): ("DARTS, by magnitude", 0),
    ("darts", "pt"): ("DARTS + PT", 1),
    ("darts", "pt-mag"): ("DARTS + PT-Mag", None),
    ("blank", "pt"): ("DARTS + PT (fix alpha)", 2),
}
"""Method and selection -> name, and the index of the paper's number for NAS-Bench-201."""
PAIRS: tuple[tuple[Key, Key], ...] = (
    (("darts", "pt"), ("darts", "magnitude")),
    (("darts", "pt-mag"), ("darts", "magnitude")),
    (("darts", "pt"), ("darts", "pt-mag")),
    (("blank", "pt"), ("darts", "magnitude")),
)
"""Pairs that are compared seed by seed; each of ROWS is also compared with a random architecture."""


class Outcome(NamedTuple):
    """The result of a selection; magnitude's needs no run, since a search records it after every epoch."""

    method: str
    selection: str
    seed: int
    epoch: int
    architecture: str
    last: bool

    def accuracy(self, dataset: str) -> float:
        return accuracy(self.architecture, dataset)


def accuracy(architecture: str, dataset: str) -> float:
    """Test accuracy (%) by the benchmark table."""
    return SPACES[LAPTOP_SPACE].look_up(architecture, dataset)[f"{dataset} test"]


def outcomes(runs: Sequence[Recorded]) -> list[Outcome]:
    """The results of finished searches and of the finished selections from them."""
    searches = {run.name: run for run in runs if run.kind == "search" and run.genotype}
    found = []
    for run in searches.values():
        method, seed, last = run.options["method"], run.seed or 0, run.epochs[-1].epoch
        found += [
            Outcome(method, "magnitude", seed, record.epoch, record.values["genotype"], record.epoch == last)
            for record in run.epochs
        ]
    for run in runs:
        source = searches.get(run.folder.parent.name)
        selection = run.options.get("selection", "pt")
        if run.kind == "selection" and source and run.architecture and run.snapshot and selection != "magnitude":
            last = run.snapshot == source.epochs[-1].epoch
            method = source.options["method"]
            found.append(Outcome(method, selection, run.seed or 0, run.snapshot, run.architecture, last))
    return found


# Tables ----------------------------------------------------------------------------------------------------------


def accuracy_table(found: Sequence[Outcome]) -> str:
    """Accuracies of the selections from the last supernets, the paper's numbers, and those of random architectures."""
    header = ["", "paper, CIFAR-10", *DATASETS, "rank of 15,625 (median)", "seeds"]
    rows = []
    for (method, selection), (label, place) in ROWS.items():
        own = [one for one in found if one.last and (one.method, one.selection) == (method, selection)]
        published = "" if place is None else f"{100 - MORE_SPACES[LAPTOP_SPACE][place]:.2f}"
        cells = [str(aggregate([one.accuracy(dataset) for one in own]) or "") for dataset in DATASETS]
        ranks = [SPACES[LAPTOP_SPACE].look_up(one.architecture, DATASETS[0])["rank"] for one in own]
        seeds = " ".join(str(one.seed) for one in sorted(own, key=lambda one: one.seed))
        rows.append(
            [label, published, *cells, f"{statistics.median(ranks):,.0f}" if ranks else "", seeds or "not run yet"]
        )
    chance = [SPACES[LAPTOP_SPACE].true_accuracies(dataset) for dataset in DATASETS]
    rows.append(
        ["an architecture at random", "", *(str(aggregate(values)) for values in chance), "7,813", "the whole table"]
    )
    rows.append(["the best there is", "", *(f"{max(values):.2f}" for values in chance), "1", "the whole table"])
    return table(header, rows)


def pair_table(found: Sequence[Outcome]) -> str:
    """Paired differences on CIFAR-10; empty if there are none."""
    dataset = DATASETS[0]
    by_seed: dict[Key, dict[int, float]] = defaultdict(dict)
    for one in found:
        if one.last:
            by_seed[one.method, one.selection][one.seed] = one.accuracy(dataset)
    mean = statistics.fmean(SPACES[LAPTOP_SPACE].true_accuracies(dataset))
    compared = {
        (f"{ROWS[mine][0]} − {ROWS[other][0]}",): difference(by_seed[mine], by_seed[other]) for mine, other in PAIRS
    }
    compared |= {
        (f"{label} − one at random",): difference(by_seed[key], dict.fromkeys(by_seed[key], mean))
        for key, (label, _) in ROWS.items()
    }
    return difference_table(["test accuracy on CIFAR-10"], compared)


def pilot_table(runs: Sequence[Recorded]) -> str:
    """The searches by which the size was chosen, as far as they went."""
    header = ["pixels", "channels", "cells", "epochs", "supernet's valid accuracy"]
    header += ["mean mixing weight: none", "skip", "conv 1×1", "conv 3×3", "pool", "magnitude's cell, by epoch (%)"]
    rows = []
    for run in runs:
        options, (epochs, edges) = run.options, next(iter(mixing_weights(run).values()))
        weights = [statistics.fmean(rows[name][-1] for rows in edges.values()) for name in next(iter(edges.values()))]
        marks = [
            place for place, epoch in enumerate(epochs) if epoch in (1, 2, 5) or epoch % 10 == 0 or epoch == epochs[-1]
        ]
        worth = [
            f"{epochs[place]}: {accuracy(str(run.epochs[place].values['genotype']), DATASETS[0]):.1f}"
            for place in marks
        ]
        size = [str(options.get(name, 32)) for name in ("image_size", "init_channels", "cells_per_stage")]
        reached = f"{epochs[-1]} of {options['epochs']}"
        valid = f"{run.series('valid_accuracy')[1][-1]:.1f}"
        rows.append([*size, reached, valid, *(f"{weight:.3f}" for weight in weights), "; ".join(worth)])
    return table(header, rows)


# Figures ---------------------------------------------------------------------------------------------------------


def pictures(runs: Sequence[Recorded], found: Sequence[Outcome]) -> dict[str, Picture]:
    """Caption -> picture: figures 3, 4 and 6 of the finished searches and selections."""
    ended = [run for run in runs if run.genotype and run.options.get("method") == "darts"]
    searches = [run for run in ended if run.kind == "search"]
    drawn: dict[str, Picture] = {}
    gap = figures.gap_against_accuracy(searches) if searches else None
    if gap:
        drawn["Figure 3: skip connections against convolutions as the supernet learns."] = gap
    curves: dict[str, dict[str, dict[int, list[float]]]] = {}
    for one in found:
        if one.method == "darts" and one.selection in SELECTED:
            for dataset in DATASETS:
                by_epoch = curves.setdefault(dataset, {}).setdefault(SELECTIONS[one.selection].title, defaultdict(list))
                by_epoch[one.epoch].append(one.accuracy(dataset))
    if curves:
        drawn["Figure 4: what magnitude and PT select from the same supernets; the band is one standard deviation."] = (
            figures.trajectories(curves)
        )
    tuned: dict[str, list[Recorded]] = defaultdict(list)
    names = {run.name for run in searches}
    for run in ended:
        last = max((one.epoch for one in found if one.last and one.seed == run.seed), default=None)
        selection = run.options.get("selection", "pt")
        if run.kind == "selection" and run.snapshot == last and selection in TUNED and run.folder.parent.name in names:
            tuned[SELECTIONS[selection].title].append(run)
    if tuned:
        drawn["Figure 6: the supernet's valid accuracy while it is made discrete."] = figures.accuracy_during_selection(
            tuned
        )
    return drawn


# The page --------------------------------------------------------------------------------------------------------


def claim(runs: Sequence[Recorded], folder: Path) -> str:
    """The part of the page about the result; writes its figures into `folder`."""
    found = outcomes(runs)
    seeds = SCALES["laptop"].seeds
    ended = sorted({one.seed for one in found if one.method == "darts"})
    planned = f"The seeds are {', '.join(map(str, seeds))}; the pilot's seed 0 is not among them."
    if not ended:
        status = (
            f"**Not run yet.** {planned} No search has come to its end: the numbers are the paper's and the table's."
        )
    else:
        times = [time for run in runs if run.genotype for line in run.timing if (time := line["processor_seconds"])]
        status = (
            f"{planned} Searches that have come to their end: {', '.join(map(str, ended))}. All runs that have ended took "
            f"{duration(sum(times))} of processor time."
        )
    begun = [_progress(run) for run in runs if not run.genotype]
    parts = [status, *([f"Under way, and in no number here: {'; '.join(begun)}."] if begun else [])]
    parts += [accuracy_table(found), pair_table(found)]
    for caption, picture in pictures(runs, found).items():
        name = f"laptop-figure-{re.findall('[0-9]+', caption)[0]}"
        save(dataclasses.replace(picture, name=name), folder, ("svg",))
        parts.append(f"![{picture.alt}]({folder.name}/{name}.svg)\n\n{caption}")
    return "\n\n".join(part for part in parts if part)


def _progress(run: Recorded) -> str:
    done = f"{run.epochs[-1].epoch if run.epochs else 0} epochs"
    return f"{run.name.split('/')[0]}{' and a selection from it' if run.kind == 'selection' else ''} ({done})"


def pilot(runs: Sequence[Recorded], folder: Path) -> str:
    """The part of the page about the choice of the size."""
    return pilot_table(runs) if runs else "Not run yet."


PARTS: dict[str, tuple[str, Callable[[Sequence[Recorded], Path], str]]] = {
    "claim": ("laptop", claim),
    "pilot": ("pilot", pilot),
}
"""Name of a part of the page -> its folder of records, and the function that makes it."""


def made(text: str, results: Path) -> str:
    """The page's text with its parts regenerated; `results` holds the records and gets the figures."""
    for name, (folder, make) in PARTS.items():
        begin, end = f"<!-- {name}: python -m paper.claim -->", f"<!-- end of {name} -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n\n{make(read(results / folder), results)}\n\n{end}{after}"
    return text


def main() -> None:
    atomic_write(PAGE, made(PAGE.read_text(encoding="utf-8"), PAGE.with_suffix("")))


if __name__ == "__main__":
    main()
