"""`python -m paper.architectures`: write docs/architectures.md (the published architectures and ours) and its drawings."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch

from darts_pt.complexity import count_multiply_adds, count_parameters
from darts_pt.run.provenance import PROJECT_ROOT
from darts_pt.space import SPACES
from paper.numbers import COLUMNS, DARTS_SPACE, S1_TO_S4
from sota.genotypes import published, published_names

PAGE = PROJECT_ROOT / "docs" / "architectures.md"
DRAWINGS = PROJECT_ROOT / "docs" / "architectures"
OURS = PROJECT_ROOT / "docs" / "results" / "methods.csv"
OURS_ARE = (
    "Cells of NAS-Bench-201 found on digits, with their accuracies in the benchmark tables; sizes are for C=16, N=5.",
    "[results](results.md) has the runs. Train one with `bash eval.sh --arch 'CELL'`; with `--dataset digits` on digits.",
)
MARK = "<!-- Below: python -m paper.architectures -->\n"
DRAWN = ("darts_pt_s1_1", "darts_pt_s2_1", "darts_pt_s3_1", "blank_pt_s5_0")
"""Architectures that the page draws; docs/darts_pt_s5_0.svg shows a fifth."""


class Training(NamedTuple):
    """The authors' training of an architecture, by its data set."""

    title: str
    script: str
    channels: int
    layers: int
    classes: int


TRAININGS = {
    "cifar10": Training("CIFAR-10", "eval.sh", 36, 20, 10),
    "cifar100": Training("CIFAR-100", "eval-c100.sh", 16, 8, 100),
    "svhn": Training("SVHN", "eval-svhn.sh", 16, 8, 10),
}
IMAGENET = (48, 14, 1000)
"""Channels, layers and classes of the ImageNet network."""


class Name(NamedTuple):
    """The parts of a published name: search method, space, and the data set of the search."""

    method: str
    space: str
    dataset: str


def understood(name: str) -> Name:
    """Parse a published name, such as `darts_pt_s1_c100_1`."""
    found = re.fullmatch(r"(darts|blank)_pt_(s\d)(?:_(c100|svhn))?_\d", name)
    assert found, name
    method, space, dataset = found.groups()
    return Name(method, space, {None: "cifar10", "c100": "cifar100", "svhn": "svhn"}[dataset])


def paper_error(name: str) -> str:
    """The paper's test error of the method in the space and on the data set."""
    method, space, dataset = understood(name)
    if space == "s5":
        return next(str(row.published) for row in DARTS_SPACE if (row.method, row.selection) == (method, "pt"))
    column = [(search, selection) for _, search, selection in COLUMNS].index((method, "pt"))
    return f"{S1_TO_S4[dataset][space][column]:.2f}"


@cache
def _size(name: str, channels: int, layers: int, classes: int, imagenet: bool) -> str:
    """Parameters and multiply-adds in millions, as two table cells."""
    from sota.network import ImageNetNetwork, SotaNetwork

    with torch.device("meta"):  # Shapes are enough.
        network = (ImageNetNetwork if imagenet else SotaNetwork)(published(name), channels, layers, classes)
        side = 224 if imagenet else 32
        multiply_adds = count_multiply_adds(network, side, side)
    return f"{count_parameters(network) / 1e6:.2f} | {multiply_adds / 1e6:.0f}"


def row(name: str) -> str:
    """The table row of a published architecture."""
    _, space, dataset = understood(name)
    training = TRAININGS[dataset]
    cells = [f"`{name}`", _size(name, training.channels, training.layers, training.classes, imagenet=False)]
    if space == "s5":
        cells.append(_size(name, *IMAGENET, imagenet=True))
    return f"| {' | '.join([*cells, paper_error(name), f'`bash {training.script} --arch {name}`'])} |"


def page() -> Iterator[str]:
    """The generated lines of the page."""
    columns = "architecture | M parameters | M multiply-adds"
    yield from ["## The DARTS space (S5), CIFAR-10", ""]
    yield f"| {columns} | ImageNet: M parameters | M multiply-adds | paper's error % | command |"
    yield from ["|---|---:|---:|---:|---:|---:|---|", *(row(name) for name in _names("s5"))]
    for dataset, training in TRAININGS.items():
        yield from ["", f"## S1–S4, {training.title} (C={training.channels}, L={training.layers})", ""]
        yield from [f"| {columns} | paper's error % | command |", "|---|---:|---:|---:|---|"]
        yield from (row(name) for space in ("s1", "s2", "s3", "s4") for name in _names(space, dataset))
    yield from ["", "## Ours", "", *_ours(), "", "## Drawings", ""]
    for name in DRAWN:
        yield from [f"### {name}", "", f"![The cells of {name}](architectures/{name}.svg)", ""]


def _names(space: str, dataset: str = "cifar10") -> list[str]:
    return [name for name in published_names() if understood(name)[1:] == (space, dataset)]


def _ours() -> Iterator[str]:
    """The cells that DARTS + PT and fix alpha + PT found on digits, from docs/results/methods.csv."""
    from nasbench201.architecture import operations_of
    from nasbench201.network import NasBench201Network
    from nasbench201.table import find_table

    tables: dict[str, Any] = {dataset: find_table(Path("/nonexistent"), dataset) for dataset in ("digits", "cifar10")}
    yield from [*OURS_ARE, ""]
    yield "| found by | seed | cell | M parameters | M multiply-adds | digits % | CIFAR-10 % |"
    yield "|---|---:|---|---:|---:|---:|---:|"
    with OURS.open(encoding="utf-8", newline="") as lines:
        for found in csv.DictReader(lines):
            if found["selection"] != "pt (acc)" or found["method"] not in ("darts", "blank"):
                continue
            cell = found["genotype"]
            with torch.device("meta"):
                network = NasBench201Network(operations_of(cell), 16, 5, 10)
                size = f"{count_parameters(network) / 1e6:.2f} | {count_multiply_adds(network, 32, 32) / 1e6:.0f}"
            true = [f"{tables[name].look_up(cell)[name]['test']:.2f}" for name in tables]
            title = {"darts": "DARTS + PT", "blank": "fix alpha + PT"}[found["method"]]
            # A bar would end the table's cell.
            shown = f"`{cell}`".replace("|", "\\|")
            yield f"| {title} | {found['seed']} | {shown} | {size} | {' | '.join(true)} |"


def main() -> None:
    head, _, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    PAGE.write_text(head + MARK + "\n" + "\n".join(page()).rstrip() + "\n", encoding="utf-8")
    DRAWINGS.mkdir(exist_ok=True)
    for name in DRAWN:
        SPACES["s5"].draw(published(name), DRAWINGS / f"{name}.svg")
    print(PAGE)


if __name__ == "__main__":
    main()
