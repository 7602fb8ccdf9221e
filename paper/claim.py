"""The paper's claim on CIFAR-10 at the laptop's size: the generated parts of docs/results.md."""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from darts_pt.commands.command_line import run_command
from darts_pt.run.errors import UserError
from darts_pt.run.files import atomic_write
from darts_pt.run.provenance import PROJECT_ROOT
from darts_pt.selections import SELECTIONS
from darts_pt.space import SPACES
from paper import figures
from paper.numbers import MORE_SPACES
from paper.options import LAPTOP_SPACE
from paper.records import Outcome, accuracy, outcomes, read
from paper.results import SELECTED, TUNED
from paper.study import SCALES, planned
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
    (("blank", "pt"), ("darts", "pt")),
)
"""Pairs that are compared seed by seed; each of ROWS is also compared with a random architecture."""


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
    spread = [f"{statistics.fmean(values):.2f} ± {statistics.pstdev(values):.2f}" for values in chance]
    middle = f"{(len(chance[0]) + 1) / 2:,.0f}"
    rows.append(["an architecture at random", "", *spread, middle, "the whole table"])
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
    seeds, curves = _trajectories(found)
    if curves:
        caption = "Figure 4: what magnitude and PT select from the same supernets; the band is one standard deviation."
        drawn[f"{caption} {_seeds(seeds)}"] = figures.trajectories(curves)
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


def _trajectories(found: Sequence[Outcome]) -> tuple[set[int], Mapping[str, figures.Trajectory]]:
    """Figure 4's seeds, and its curves by data set: of the same seeds at every point, those of PT as soon as it has any."""
    values: dict[str, dict[int, dict[int, Outcome]]] = defaultdict(lambda: defaultdict(dict))
    for one in found:
        if one.method == "darts" and one.selection in SELECTED:
            values[one.selection][one.epoch][one.seed] = one
    last = max((one.epoch for one in found if one.last), default=0)
    seeds = set.intersection(*(set(by_epoch[last]) for by_epoch in values.values())) if values else set()
    curves = {
        dataset: {
            SELECTIONS[name].title: {
                epoch: [by_seed[seed].accuracy(dataset) for seed in sorted(seeds)]
                for epoch, by_seed in by_epoch.items()
                if seeds <= by_seed.keys()
            }
            for name, by_epoch in values.items()
        }
        for dataset in DATASETS
    }
    return seeds, curves if seeds else {}


def _seeds(seeds: Iterable[int]) -> str:
    numbers = sorted(seeds)
    return f"Seed{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}."


# The page --------------------------------------------------------------------------------------------------------


def claim(runs: Sequence[Recorded], folder: Path) -> str:
    """The part of the page about the result; writes its figures into `folder`."""
    everything, runs = runs, planned(runs)
    found = outcomes(runs)
    status = (
        f"The study's seeds are {', '.join(map(str, SCALES['laptop'].seeds))}; the pilot's seed 0 is not among them."
    )
    if not found:
        status = f"**Not run yet.** {status} The numbers are the paper's and the table's."
    else:
        times = [time for run in runs if run.genotype for line in run.timing if (time := line["processor_seconds"])]
        status += f" All runs that have ended took {duration(sum(times))} of processor time."
    if len(everything) > len(runs):
        status += f" Left out, as trials or of other options or seeds: {len(everything) - len(runs)} records."
    begun = [_progress(run) for run in runs if not run.genotype]
    parts = [status, *([f"Under way, and in no number here: {'; '.join(begun)}."] if begun else [])]
    parts += [accuracy_table(found), pair_table(found)]
    for caption, picture in pictures(runs, found).items():
        name = f"laptop-figure-{re.findall('[0-9]+', caption)[0]}"
        save(replace(picture, name=name), folder, ("svg",))
        parts.append(f"![{picture.alt}]({folder.name}/{name}.svg)\n\n{caption}")
    return "\n\n".join(part for part in parts if part)


def _progress(run: Recorded) -> str:
    done = f"{run.epochs[-1].epoch if run.epochs else 0} epochs"
    if run.kind == "search":
        return f"{run.label}, seed {run.seed} ({done} of {run.options['epochs']})"
    return f"{run.label}, from epoch {run.snapshot} of {run.folder.parent.name} ({done} of tuning)"


def pilot(runs: Sequence[Recorded], folder: Path) -> str:
    """The part of the page about the choice of the size."""
    return pilot_table(runs) if runs else "Not run yet."


PARTS: dict[str, tuple[str, Callable[[Sequence[Recorded], Path], str]]] = {
    "claim": ("laptop", claim),
    "pilot": ("pilot", pilot),
}
"""Name of a part of the page -> its folder of records, and the function that makes it."""


def made(text: str, results: Path) -> str:
    """The page's text with its parts regenerated; `results` holds the records and gets the figures.

    Raises:
        UserError: the page lacks a mark, or a record is damaged.
    """
    for name, (folder, make) in PARTS.items():
        begin, end = f"<!-- {name}: python -m paper.claim -->", f"<!-- end of {name} -->"
        before, begins, rest = text.partition(begin)
        _, ends, after = rest.partition(end)
        if not (begins and ends):
            raise UserError(f"expected the marks {begin} and {end} in the page, in this order")
        text = f"{before}{begin}\n\n{make(read(results / folder), results)}\n\n{end}{after}"
    return text


@dataclass(frozen=True, kw_only=True)
class ClaimOptions:
    """Make the tables and figures of docs/results.md again, from the records of runs that are committed beside it; or the
    same from records of your own.

    Accuracies are looked up in the benchmark table of now.
    """

    records: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[DIR]")] = None
    """Folder of your records, which python -m paper.records writes; DIR/claim.md and its figures are made."""


def main(options: ClaimOptions) -> None:
    if options.records is None:
        page, text = PAGE, made(PAGE.read_text(encoding="utf-8"), PAGE.with_suffix(""))
    else:
        runs = read(options.records)
        if not runs:
            raise UserError(f"{options.records}: expected records, JSON files that python -m paper.records has written")
        page, text = options.records / "claim.md", f"# The claim\n\n{claim(runs, options.records)}\n"
    atomic_write(page, text)
    print(page)


if __name__ == "__main__":
    run_command(ClaimOptions, main)
