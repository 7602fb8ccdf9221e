"""Select by discretisation accuracy, the paper's definition of an operation's strength (section 3.2).

Each operation is tried alone on its edge: the edge made discrete, the supernet tuned for `oneshot_epochs` epochs (0: as it
is), its accuracy taken, everything put back; the best stays. To make a node's edges discrete is to drop some, so topology
events are those of PT. Between events the supernet is tuned, as in PT.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darts_pt.architect import Architect
from darts_pt.run.epoch import Metrics
from darts_pt.selection import Criteria, OperationChoice
from darts_pt.selections import Option, Selection
from darts_pt.selections.pt import PerturbationRule, least_important, score
from darts_pt.supernet import CellType, Decisions
from darts_pt.training import SupernetTraining

SELECTION = Selection(
    title="one-shot",
    summary="by the supernet's performance with each operation alone on its edge",
    implementation="by_discretisation",
    options=(
        Option(
            "oneshot_epochs",
            0,
            "epochs the supernet is tuned with a candidate before it is judged and put back",
            low=0,
            in_name="epochs-{}",
        ),
    ),
    compares=True,
)


@dataclass(frozen=True, kw_only=True)
class DiscretisationRule(PerturbationRule):
    """Choose by the supernet's performance with each candidate alone.

    Attributes:
        training: tuned for every candidate and put back; only used if there are `epochs`.
        epochs: tuning epochs per candidate.
    """

    training: SupernetTraining
    epochs: int = 0

    def operation(self, architect: Architect, decisions: Decisions, cell_type: CellType, edge: int) -> OperationChoice:
        """Keep the operation with which alone the supernet is best; on ties the first."""
        operations = range(len(cell_type.operations[edge]))
        scores = self._strengths([decisions.with_operation(cell_type.name, edge, kept) for kept in operations])
        reverse = scores[::-1]  # least_important takes the last of equals
        best = len(scores) - 1 - least_important(reverse, self.criteria.operations[cell_type.name])
        return OperationChoice(best, scores, "supernet with nothing but …")

    def _strengths(self, candidates: list[Decisions]) -> list[Metrics]:
        """The supernet under each of `candidates`, after tuning; it is left as it was found."""
        supernet, architect, batches = self.training.supernet, self.training.architect, self.batch_source()
        if self.epochs == 0:
            return score(supernet, map(architect.mixing, candidates), batches, self.ranks)

        def tuned(decisions: Decisions) -> tuple[float, ...]:
            with put_back(self.training) as training:
                training.decisions = decisions
                for _ in range(self.epochs):
                    training.tune()
                return tuple(score(supernet, [architect.mixing(decisions)], batches)[0])

        # What is put back includes the random streams: others' candidates leave nothing to skip.
        return [Metrics(*numbers) for numbers in self.ranks.spread(candidates, tuned)]


@contextmanager
def put_back(training: SupernetTraining) -> Iterator[SupernetTraining]:
    """The training comes back as it was, whatever happens to it inside; it is not saved meanwhile."""
    before, between_batches = copy.deepcopy(training.to_checkpoint()), training.between_batches
    training.between_batches = lambda: None
    try:
        yield training
    finally:
        training.between_batches = between_batches
        training.restore(before, Path("the state before tuning"))


def by_discretisation(
    training: SupernetTraining, criteria: Criteria, settings: Mapping[str, Any]
) -> DiscretisationRule:
    return DiscretisationRule(
        batches=training.valid_batches,
        criteria=criteria,
        ranks=training.ranks,
        training=training,
        epochs=settings["oneshot_epochs"],
    )
