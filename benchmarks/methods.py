"""Every search method under every selection on digits, in the NAS-Bench-201 space: true accuracy, rank and regret.

    python -m benchmarks.methods run [--seeds 1 2 3 4 5] [--methods …] [--selections …] [--experiments DIR]
    python -m benchmarks.methods report [--experiments DIR] [--output docs]

`run` makes what is missing, seed by seed: a search for each method, then the selections from it. You can stop and restart
it. `report` writes the results into methods.csv, or reads that file if nothing has been run here, and makes the tables
(methods.md) and the figure (methods.svg, .png, .pdf). True accuracies, ranks and regrets come from the digits table.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.methods_figure import Point, picture
from darts_pt.methods import METHODS
from darts_pt.run.provenance import PROJECT_ROOT
from darts_pt.space import SPACES
from paper.demo import BOTH, SEARCH, SELECTION
from report.markdown import difference_table, table
from report.paired import difference
from report.style import save
from runs.costs import cost_of
from runs.make import complete
from runs.reading import read_run
from runs.run import Run, search
from runs.run import selection as selection_run

VARIANTS: dict[str, dict[str, Any]] = {
    "magnitude": {"selection": "magnitude"},
    "pt (acc)": {"selection": "pt", "proj_crit": "acc"},
    "pt (loss)": {"selection": "pt", "proj_crit": "loss"},
    "pt-mag": {"selection": "pt-mag"},
    "oneshot": {"selection": "oneshot"},
    "oneshot (1 epoch)": {"selection": "oneshot", "oneshot_epochs": 1},
}
"""The selections from a trained supernet; the last trains 30 more epochs, so only methods in SLOW_FOR get it."""
SLOW_FOR = {"oneshot (1 epoch)": ("darts", "blank")}
UNTRAINED: dict[str, dict[str, Any]] = {
    "zero-cost-pt (synflow)": {"selection": "zero-cost-pt", "zero_cost_score": "synflow"},
    "zero-cost-pt (synflow, order)": {
        "selection": "zero-cost-pt", "zero_cost_score": "synflow", "edge_decision": "order",
    },
    "zero-cost-pt (nwot)": {"selection": "zero-cost-pt", "zero_cost_score": "nwot"},
    "zero-cost-pt (nwot, order)": {"selection": "zero-cost-pt", "zero_cost_score": "nwot", "edge_decision": "order"},
}  # fmt: skip
"""Selections from an untrained supernet: they do not depend on the search method, so they are run once per seed."""
ORDER = [*VARIANTS, *UNTRAINED]
NO_METHOD = "none"
NAN = float("nan")


class Result(NamedTuple):
    """The result of one selection, and the processor seconds of search and selection."""

    method: str
    selection: str
    seed: int
    genotype: str
    search_seconds: float
    selection_seconds: float

    @property
    def place(self) -> tuple[str, int]:
        """Sort key in tables: by method, then by selection."""
        return self.method, ORDER.index(self.selection)

    @property
    def known(self) -> dict[str, float]:
        """The table's `digits test` (percent), `rank` and `regret` (percentage points) of the genotype."""
        return SPACES["nasbench201"].look_up(self.genotype, "digits")


# Running ---------------------------------------------------------------------------------------------------------


def planned(experiments: Path, seed: int) -> Iterator[tuple[str, str, Run]]:
    """Method, name and run of every planned selection of a seed."""
    space = SPACES["nasbench201"]
    kinds: dict[str, Any] = {kind: space.commands[kind].options for kind in ("search", "selection")}
    common = {"dataset": "digits", "seed": seed, "gpu": "cpu", "experiments": experiments, **BOTH}
    for method, declared in METHODS.items():
        searched = search(space, kinds["search"](**common, **SEARCH, method=method))
        variants = {
            (method, name): options for name, options in VARIANTS.items() if method in SLOW_FOR.get(name, METHODS)
        }
        if method == "darts":
            variants |= {(NO_METHOD, name): options for name, options in UNTRAINED.items()}
        for (label, name), options in variants.items():
            if options["selection"] not in declared.refuses:
                selecting = kinds["selection"](**common, **SELECTION, **options, resume_expid="")
                yield label, name, selection_run(searched, selecting)


def run(seeds: list[int], methods: list[str], selections: list[str], experiments: Path) -> None:
    """Make the missing runs."""
    for seed in seeds:
        for _, name, selected in planned(experiments, seed):
            if selected.source and selected.source.options.method in methods and name in selections:
                complete(selected)


def results(experiments: Path) -> list[Result]:
    """The results so far."""
    seeds = sorted({int(path.name.split("-")[-2]) for path in experiments.glob("nasbench201/search-*-digits")})
    found = []
    for seed in seeds:
        for method, name, selected in planned(experiments, seed):
            if selected.is_done and selected.folder and selected.source and selected.source.folder:
                genotype = str(read_run(selected.folder).architecture)
                folders = selected.source.folder, selected.folder
                searching, selecting = (cost_of(folder).processor_seconds or NAN for folder in folders)
                searching = 0.0 if method == NO_METHOD else searching
                found.append(Result(method, name, seed, genotype, searching, selecting))
    return found


# Reporting -------------------------------------------------------------------------------------------------------


def report(experiments: Path, output: Path) -> None:
    """Write the tables as Markdown, the figure as SVG, PNG and PDF, and the results behind them as CSV."""
    record = output / "methods.csv"
    found = results(experiments)
    if found:
        output.mkdir(parents=True, exist_ok=True)
        with open(record, "w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(Result._fields)
            writer.writerows(result[:4] + tuple(f"{value:.1f}" for value in result[4:]) for result in found)
    elif record.is_file():
        with open(record, encoding="utf-8", newline="") as stream:
            found = [_result(row) for row in csv.DictReader(stream)]
    else:
        sys.exit(f"error: nothing has been run in {experiments}: run `python -m benchmarks.methods run` first")
    points = [Point(*result[:3], result.known["digits test"]) for result in sorted(found)]
    figure = picture(points, ORDER)
    save(figure, output)
    by_place = groupby(sorted(found, key=lambda one: one.place), lambda one: one.place)
    header = ["search", "selection", "seeds", "test accuracy %", "rank of 15,625", "regret", "processor seconds"]
    gained = gains(points)
    parts = [
        f"{_as_options(BOTH)}; search {_as_options(SEARCH)}; selection {_as_options(SELECTION)}.",
        table(header, [_row(list(group)) for _, group in by_place], 2),
        f"![{figure.alt}](methods.svg)",
        gained and "Gains in test accuracy over magnitude from the same supernets:",
        gained,
    ]
    (output / "methods.md").write_text("\n\n".join(filter(None, parts)) + "\n", encoding="utf-8")


def _result(row: dict[str, str]) -> Result:
    seconds = float(row["search_seconds"]), float(row["selection_seconds"])
    return Result(row["method"], row["selection"], int(row["seed"]), row["genotype"], *seconds)


def _row(group: list[Result]) -> list[str]:
    """The table row of a method and a selection, over their seeds."""
    cells = [group[0].method, group[0].selection, str(len(group))]
    for name, digits in (("digits test", 2), ("rank", 0), ("regret", 2)):
        cells.append(_with_deviation([result.known[name] for result in group], digits))
    return [*cells, f"{statistics.mean(result.search_seconds + result.selection_seconds for result in group):.0f}"]


def gains(points: Sequence[Point]) -> str:
    """A table of what selections gain over magnitude from the same supernets; empty if there are fewer than two seeds."""
    by_seed: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    for method, selection, seed, accuracy in points:
        by_seed[method, selection][seed] = accuracy
    found = {
        pair: difference(by_seed[pair], by_seed[pair[0], "magnitude"])
        for pair in sorted(by_seed, key=lambda pair: (pair[0], ORDER.index(pair[1])))
        if pair[1] != "magnitude" and (pair[0], "magnitude") in by_seed
    }
    several = {pair: gain for pair, gain in found.items() if gain and gain.interval}
    return difference_table(["search", "selection"], several)


def _as_options(options: dict[str, Any]) -> str:
    return " ".join(
        f"--{name} {value}" for name, value in options.items() if name not in ("report_freq", "ckpt_interval")
    )


def _with_deviation(values: list[float], digits: int) -> str:
    deviation = f" ± {statistics.stdev(values):,.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):,.{digits}f}{deviation}"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("run", "report"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--selections", nargs="+", choices=ORDER, default=ORDER)
    parser.add_argument("--experiments", type=Path, default=PROJECT_ROOT / "experiments" / "methods")
    parser.add_argument("--output", type=Path, default=PROJECT_ROOT / "docs" / "results")
    options = parser.parse_args()
    if options.command == "run":
        run(options.seeds, options.methods, options.selections, options.experiments)
    else:
        report(options.experiments, options.output)


if __name__ == "__main__":
    main()
