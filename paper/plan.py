"""What every figure and table of the paper needs to be run: searches, selections, trainings, analyses, in their order.

Making and drawing are apart: here is what is run, in paper_results.py what is read and drawn. So a drawing can be made
again without running anything, and what would be run can be told without running it (--dry_run).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from paper.numbers import COLUMNS, DARTS_SPACE
from runs.making import Maker

EDGES = 3
"""Random edges of figure 1."""
SELECTED = {"magnitude": "magnitude", "pt": "PT"}
"""Figures 4 and 5: selections, and what they are called."""
TUNED = {"pt": "PT", "pt-mag": "PT-Mag"}
"""Figure 6."""


def make(kind: str, number: int, makers: list[Maker]) -> None:
    """Run what the figure or table still lacks, in all of its spaces."""
    for maker in makers:
        MAKE[kind, number](maker)


def _discretised(edges: int | None) -> Callable[[Maker], None]:
    def run(maker: Maker) -> None:
        from paper.discretisation import strengths

        seed = maker.seeds[0]
        searched = maker.search("darts", seed)
        if searched is not None:
            strengths(maker, searched, seed, edges)

    return run


def _searched(maker: Maker) -> None:
    for seed in maker.seeds:
        maker.search("darts", seed)


def _snapshots(maker: Maker) -> None:
    for seed in maker.seeds:
        searched = maker.search("darts", seed)
        for epoch in maker.snapshots(searched) if searched else ():
            for selection in SELECTED:
                maker.worth(maker.selection(searched, selection, seed, epoch), seed)


def _selected(maker: Maker) -> None:
    seed = maker.seeds[0]
    searched = maker.search("darts", seed)
    for selection in SELECTED:
        maker.selection(searched, selection, seed)


def _tuned(maker: Maker) -> None:
    for seed in maker.seeds:
        searched = maker.search("darts", seed)
        for selection in TUNED:
            maker.selection(searched, selection, seed)


def _shuffled(maker: Maker) -> None:
    from paper.shuffling_table import shuffled

    for seed in maker.seeds:
        shuffled(maker, seed)


def _cells(rows: list[tuple[str, str]]) -> Callable[[Maker], None]:
    def run(maker: Maker) -> None:
        for seed in maker.seeds:
            for method, selection in rows:
                searched: Path | None = maker.search(method, seed)
                maker.worth(maker.selection(searched, selection, seed), seed)

    return run


_THREE = [(method, selection) for _, method, selection in COLUMNS]

MAKE: Mapping[tuple[str, int], Callable[[Maker], None]] = {
    ("figure", 1): _discretised(EDGES),
    ("figure", 2): _discretised(None),
    ("figure", 3): _searched,
    ("figure", 4): _snapshots,
    ("figure", 5): _selected,
    ("figure", 6): _tuned,
    ("table", 1): _shuffled,
    ("table", 2): _cells([(row.method, row.selection) for row in DARTS_SPACE]),
    ("table", 3): _cells(_THREE),
    ("table", 4): _cells(_THREE),
}
