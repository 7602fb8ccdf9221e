"""Does the precision change the result? DARTS and PT on digits in NAS-Bench-201, seed by seed.

    python -m benchmarks.precision run [--seeds 1 2 3 4 5] [--experiments DIR]
    python -m benchmarks.precision report [--experiments DIR] [--output docs/results]

`run` makes what is missing: for each seed a search with the digits preset and a selection by PT, in fp32, bf16 and fp64.
You can stop and restart it. `report` writes precision.json and prints the paired comparison of bf16 and fp64 with fp32.
fp64 differs from fp32 only by rounding, so their difference is the yardstick for that of bf16.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from darts_pt.run.provenance import PROJECT_ROOT
from darts_pt.space import SPACES
from nasbench201.architecture import operations_of
from report.markdown import table
from report.paired import difference_of
from runs.make import complete
from runs.reading import read_run
from runs.run import Run, search, selection

BASE, OTHERS = "fp32", ("bf16", "fp64")
QUANTITIES = {
    "supernet": "supernet's valid accuracy after the search, %",
    "magnitude": "true accuracy by magnitude, %",
    "pt": "true accuracy by PT, %",
}


def planned(experiments: Path, seed: int, precision: str) -> Run:
    """A selection by PT; its source is the search."""
    space = SPACES["nasbench201"]
    kinds: dict[str, Any] = {kind: space.commands[kind].options for kind in ("search", "selection")}
    common = {"dataset": "digits", "seed": seed, "gpu": "cpu", "precision": precision, "experiments": experiments}
    searched = search(space, kinds["search"](**common, expid_tag=precision, ckpt_interval=100))
    return selection(searched, kinds["selection"](**common, resume_expid=""))


def run(seeds: Sequence[int], experiments: Path) -> None:
    """Make the missing runs."""
    for precisions in ((BASE, OTHERS[0]), OTHERS[1:]):
        for seed in seeds:
            for precision in precisions:
                complete(planned(experiments, seed, precision))


def results(experiments: Path) -> Iterator[dict[str, Any]]:
    """One row for each seed and precision with a finished selection."""
    for folder in sorted(experiments.glob(f"nasbench201/search-*-{BASE}")):
        seed = int(folder.name.split("-")[-3])
        for precision in (BASE, *OTHERS):
            selected = planned(experiments, seed, precision)
            if not selected.is_done or selected.folder is None:
                continue
            searched, ended = read_run(selected.folder.parent), read_run(selected.folder)
            row: dict[str, Any] = {"seed": seed, "precision": precision, "supernet": searched.valid_accuracy}
            for name, each in (("magnitude", searched), ("pt", ended)):
                row[name], row[f"{name} genotype"] = each.test_accuracy, each.architecture
            yield row


def paired(rows: Sequence[dict[str, Any]], precision: str) -> dict[str, Any]:
    """A precision against fp32 over the seeds that have both: differences with 95 % intervals, and equal edges."""
    base, other = ({row["seed"]: row for row in rows if row["precision"] == name} for name in (BASE, precision))
    seeds = sorted(base.keys() & other.keys())
    found: dict[str, Any] = {"seeds": len(seeds)}
    for quantity in QUANTITIES:
        gain = difference_of([other[seed][quantity] - base[seed][quantity] for seed in seeds])
        deviation = statistics.stdev(gain.values)
        found[quantity] = {"difference": gain.mean, "deviation": deviation, "interval": gain.interval}
    for name in ("magnitude", "pt"):
        pairs = [
            (operations_of(base[seed][f"{name} genotype"]), operations_of(other[seed][f"{name} genotype"]))
            for seed in seeds
        ]
        found[f"{name} edges"] = {
            "equal": [sum(map(str.__eq__, *pair)) for pair in pairs],
            "by chance": equal_by_chance([one for one, _ in pairs], [other for _, other in pairs]),
        }
    return found


def equal_by_chance(ones: Sequence[Sequence[str]], others: Sequence[Sequence[str]]) -> float:
    """The mean number of equal edges between architectures of different seeds."""
    return statistics.mean(
        sum(map(str.__eq__, one, other))
        for place, one in enumerate(ones)
        for of, other in enumerate(others)
        if of != place
    )


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Means and standard deviations over seeds, and differences to fp32 with 95 % intervals."""
    header = ["", BASE, *(title for name in OTHERS for title in (name, f"{name} − {BASE}"))]
    lines = []
    against = {name: paired(rows, name) for name in OTHERS}
    for quantity, title in QUANTITIES.items():
        cells = [title]
        for name in (BASE, *OTHERS):
            values = [row[quantity] for row in rows if row["precision"] == name]
            cells.append(f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}")
            if name != BASE:
                low, high = against[name][quantity]["interval"]
                cells.append(f"{against[name][quantity]['difference']:+.2f} ({low:+.2f} to {high:+.2f})")
        lines.append(cells)
    for name, title in (("magnitude", "by magnitude"), ("pt", "by PT")):
        cells = [f"edges of 6 that are {BASE}'s, {title}", ""]
        for other in OTHERS:
            edges = against[other][f"{name} edges"]
            cells += [f"{statistics.mean(edges['equal']):.1f}", f"other seeds: {edges['by chance']:.1f}"]
        lines.append(cells)
    return table(header, lines)


def report(experiments: Path, output: Path) -> None:
    """Write precision.json and print the table."""
    rows = list(results(experiments))
    if any(sum(row["precision"] == name for row in rows) < 2 for name in (BASE, *OTHERS)):
        sys.exit(f"error: {experiments} has fewer than two seeds of a precision: python -m benchmarks.precision run")
    content = {"rows": rows, **{f"{name} - {BASE}": paired(rows, name) for name in OTHERS}}
    output.mkdir(parents=True, exist_ok=True)
    (output / "precision.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(markdown(rows))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("run", "report"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--experiments", type=Path, default=PROJECT_ROOT / "experiments" / "precision")
    parser.add_argument("--output", type=Path, default=PROJECT_ROOT / "docs" / "results")
    options = parser.parse_args()
    if options.command == "run":
        run(options.seeds, options.experiments)
    else:
        report(options.experiments, options.output)


if __name__ == "__main__":
    main()
