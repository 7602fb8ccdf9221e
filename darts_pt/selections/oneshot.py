"""Select by discretisation accuracy, what the paper calls an operation's strength (section 3.2).

Each operation is tried alone on its edge: the edge made discrete, the supernet tuned for `oneshot_epochs` epochs (0: as it
is), its accuracy taken, everything put back; the best stays. To make a node's edges discrete is to drop some, so topology
events are those of PT. Between events the supernet is tuned, as in PT.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from darts_pt.architect import Architect
from darts_pt.search import Metrics, SupernetTraining
from darts_pt.selection import OperationChoice, Perturbation, least_missed, score
from darts_pt.selections import Circumstances, SelectionMethod
from darts_pt.selections.pt import perturbation
from darts_pt.supernet import CellType, Decisions


@dataclass(frozen=True, kw_only=True)
class Discretisation(Perturbation):
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
        reverse = scores[::-1]  # least_missed takes the last of equals
        best = len(scores) - 1 - least_missed(reverse, self.operation_criterion[cell_type.name])
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


def discretisation(circumstances: Circumstances) -> Discretisation:
    """The rule with the criteria, batches and tuning epochs of the command's options."""
    removals = perturbation(circumstances)
    return Discretisation(
        removals.batches,
        removals.operation_criterion,
        removals.edge_criterion,
        removals.same_batches,
        removals.ranks,
        training=circumstances.training,
        epochs=circumstances.options.oneshot_epochs,
    )


SELECTION = SelectionMethod(
    discretisation,
    name_parts=lambda options: [*options.criterion_names(), f"epochs-{options.oneshot_epochs}"],
)
