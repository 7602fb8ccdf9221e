"""The scores of candidates: columns of numbers for records, and a table in the log."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from darts_pt.run.experiment import Experiment
from darts_pt.run.logs import aligned

Scores = Sequence[Any]
"""One named tuple of numbers per candidate, such as :class:`darts_pt.run.epoch.Metrics`."""


def log_scores(
    experiment: Experiment, title: str, labels: Sequence[str], scores: Scores | None, chosen: int, by: str, fate: str
) -> None:
    """A line per candidate, with the `fate` (kept or dropped) of the `chosen` one, and its ties in the score `by`."""
    if scores is None:
        return
    columns = columns_of(scores)
    texts = [[f"{value:.{2 if name == 'accuracy' else 4}f}" for value in values] for name, values in columns.items()]
    fates = [fate if candidate == chosen else "" for candidate in range(len(labels))]
    experiment.log.info("%s", title)
    for line in aligned([["", *columns, ""], *map(list, zip(labels, *texts, fates, strict=True))]):
        experiment.log.info("  %s", line)
    compared = columns.get(by, [])
    tied = [label for label, value in zip(labels, compared, strict=False) if value == compared[chosen]]
    if len(tied) > 1:
        which = "first" if tied[0] == labels[chosen] else "last"
        experiment.log.info("  tie in %s: %s; the %s is %s", by, ", ".join(tied), which, fate)


def columns_of(scores: Scores | None) -> dict[str, list[float]]:
    """The scores by quantity, without those that are not measured (NaN)."""
    columns = {name: [getattr(one, name) for one in scores] for name in scores[0]._fields} if scores else {}
    return {name: values for name, values in columns.items() if not all(map(math.isnan, values))}
