"""The presets of paper.sh: how large the runs of its figures and tables are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Scale:
    """How large the runs are.

    Attributes:
        seeds_201, seeds_sota: seeds of the two families' runs.
        interval_201, interval_sota: tuning epochs between selection events.
        ckpt_interval: epochs between a search's checkpoints, from which figure 4 selects; None takes the usual.
        tuning: at most so many epochs are a discretised supernet tuned (figures 1 and 2).
        train: options of the evaluation training that differ from the commands' own.
        shuffles: how often table 1 draws edges.
        minutes: processor time that the whole set may take; None where nobody has set a bound.
    """

    seeds_201: tuple[int, ...]
    seeds_sota: tuple[int, ...]
    interval_201: int
    interval_sota: int
    ckpt_interval: int | None
    tuning: int
    train: dict[str, Any]
    shuffles: int
    minutes: float | None = None


SCALES = {
    "digits": Scale((1,), (2,), 5, 1, 10, 3, {"epochs": 10}, 10, minutes=90),
    "paper": Scale((0, 1, 2, 3), (0, 1, 2, 3), 5, 5, None, 20, {"cutout": True, "auxiliary": True}, 10),
}
"""The presets. `digits` is for a laptop's CPU; `paper` is what the paper did, days on a GPU."""
