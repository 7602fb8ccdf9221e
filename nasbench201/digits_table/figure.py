"""`python -m nasbench201.digits_table.figure`: the figure of docs/digits-table.md, drawn from the table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from darts_pt.commands.command_line import run_command
from darts_pt.run.provenance import PROJECT_ROOT
from nasbench201.architecture import OPERATIONS
from nasbench201.table.isomorphism import operations_at, representatives
from nasbench201.table.lookup import DIGITS_TABLE, Table


@dataclass(frozen=True, kw_only=True)
class FigureOptions:
    """Draw a benchmark table: sorted accuracies, noise between seeds, what separates good cells from bad."""

    table: Annotated[Path, tyro.conf.arg(metavar="FILE")] = DIGITS_TABLE
    """The table."""
    dataset: str = "digits"
    """A data set of the table."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE")] = (
        PROJECT_ROOT / "docs" / "figures" / "digits_table.png"
    )
    """The figure to write: .png, .svg or .pdf."""


def depth(operations: tuple[str, ...]) -> int:
    """The most convolutions on any path from a cell's input to its output; -1 without a path."""
    most = {0: 0}
    edges = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))
    for (target, source), operation in zip(edges, operations, strict=True):
        if operation != "none" and source in most:
            length = most[source] + operation.startswith("nor_conv")
            most[target] = max(most.get(target, -1), length)
    return most.get(3, -1)


FEATURES = {
    "convolutions on the deepest path": depth,
    "3×3 convolutions": lambda operations: operations.count("nor_conv_3x3"),
    "any convolutions": lambda operations: operations.count("nor_conv_3x3") + operations.count("nor_conv_1x1"),
    "skip connections": lambda operations: operations.count("skip_connect"),
    "poolings": lambda operations: operations.count("avg_pool_3x3"),
    "edges of none": lambda operations: operations.count("none"),
}
"""Name in the output -> count in a cell."""


def main(options: FigureOptions) -> None:
    """Print the numbers that the documentation quotes, and draw the figure."""
    table = Table(options.table)
    unique = np.unique(representatives())
    mean = table.values(options.dataset, "test_accuracy")[unique]
    seeds = np.stack(
        [table.values(options.dataset, "test_accuracy", seed=seed)[unique] for seed in table.seeds(options.dataset)]
    )
    cells = [operations_at(number) for number in unique.tolist()]
    print_numbers(mean, seeds, cells)
    draw(mean, seeds, cells, options.output)
    print(options.output)


def print_numbers(mean: np.ndarray, seeds: np.ndarray, cells: list[tuple[str, ...]]) -> None:
    print(
        "quantiles of the mean (0, 5, 25, 50, 75, 95, 100 %):",
        np.percentile(mean, (0, 5, 25, 50, 75, 95, 100)).round(2),
    )
    print(f"standard deviation between architectures: {mean.std():.2f}")
    if len(seeds) > 1:
        noise = seeds.std(axis=0, ddof=1)
        print(f"standard deviation between seeds of one architecture: {np.sqrt((noise**2).mean()):.2f}")
        better = mean >= np.median(mean)
        print(f"the same in the better half: {mean[better].std():.2f}, {np.sqrt((noise[better] ** 2).mean()):.2f}")
        print("rank correlation between seeds:", np.round(_rank_correlations(seeds), 3))
    for name, count in FEATURES.items():
        values = np.array([count(cell) for cell in cells])
        groups = {value: mean[values == value] for value in sorted(set(values.tolist()))}
        print(name, {value: f"{group.mean():.2f} ({len(group)})" for value, group in groups.items()})
    for position in range(6):
        names = np.array([cell[position] for cell in cells])
        print(f"edge {position}", {operation: f"{mean[names == operation].mean():.2f}" for operation in OPERATIONS})


def _rank_correlations(seeds: np.ndarray) -> list[float]:
    ranks = seeds.argsort(axis=1).argsort(axis=1)
    return [float(np.corrcoef(ranks[a], ranks[b])[0, 1]) for a in range(len(ranks)) for b in range(a)]


def draw(mean: np.ndarray, seeds: np.ndarray, cells: list[tuple[str, ...]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.6), constrained_layout=True)
    order = np.argsort(mean)
    places = np.arange(len(mean))
    for own in seeds:
        left.plot(places, own[order], ".", markersize=1, color="0.75", rasterized=True)
    left.plot(places, mean[order], color="C0", label="mean over the seeds")
    left.set(xlabel="unique architectures, sorted", ylabel="test accuracy (%)", title="Sorted accuracies; grey: seeds")
    if len(seeds) > 1:
        noise = seeds.std(axis=0, ddof=1)
        middle.plot(mean, noise, ".", markersize=2, alpha=0.3, color="C1", rasterized=True)
    middle.set(xlabel="test accuracy (%)", ylabel="standard deviation of its seeds", title="Noise between seeds")
    direct = np.array([cell[3] for cell in cells])  # the edge 3 <- 0
    right.boxplot([mean[direct == operation] for operation in OPERATIONS], showfliers=False)
    right.set_xticks(range(1, len(OPERATIONS) + 1), [name.replace("_", "\n", 1) for name in OPERATIONS], fontsize=8)
    right.set(xlabel="operation from the cell's input to its output", title="What separates good from bad")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    run_command(FigureOptions, main)
