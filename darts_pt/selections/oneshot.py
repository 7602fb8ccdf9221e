"""Select by discretisation accuracy, the paper's definition of an operation's strength (section 3.2).

Each operation is tried alone on its edge: the edge is made discrete, the supernet tuned for `oneshot_epochs` epochs (or
not at all), its accuracy measured, and everything restored; the best operation stays. Topology events and the tuning
between events are those of PT.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darts_pt.architect import Architect
from darts_pt.hyperparameters import Criterion
from darts_pt.run.epoch import Judged, Metrics, NotFinite
from darts_pt.run.errors import UserError
from darts_pt.selection import Criteria, OperationChoice
from darts_pt.selections import Option, Selection
from darts_pt.selections.pt import CANDIDATES, PerturbationRule, compared, least_important, score
from darts_pt.supernet import CellType, Decisions
from darts_pt.training import SupernetTraining

SELECTION = Selection(
    title="one-shot",
    summary="by the supernet's performance with each operation alone on its edge",
    implementation="by_discretisation",
    options=(Option("oneshot_epochs", 0, "tuning epochs before a candidate is scored", low=0, in_name="epochs-{}"),),
    compares=True,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class DiscretisationRule(PerturbationRule):
    """Choose by the supernet's performance with each candidate alone.

    Attributes:
        training: tuned for every candidate and restored.
        epochs: tuning epochs per candidate.
    """

    training: SupernetTraining
    epochs: int

    def operation(self, architect: Architect, decisions: Decisions, cell_type: CellType, edge: int) -> OperationChoice:
        """Keep the operation that alone gives the best supernet; on ties the first."""
        criterion = self.criteria.operations[cell_type.name]
        scores = self._strengths(decisions, cell_type, edge, criterion)
        reverse = scores[::-1]  # least_important takes the last on ties.
        best = len(scores) - 1 - least_important(reverse, criterion)
        return OperationChoice(best, scores, compared(criterion), "supernet with nothing but …")

    def _strengths(
        self, decisions: Decisions, cell_type: CellType, edge: int, criterion: Criterion
    ) -> list[Metrics | Judged]:
        """Accuracy and loss of the supernet with each operation alone on `edge`, after tuning."""
        supernet, architect, batches = self.training.supernet, self.training.architect, self.batch_source()
        names, guard = cell_type.operations[edge], self.training.guard
        candidates = [decisions.with_operation(cell_type.name, edge, kept) for kept in range(len(names))]
        if self.epochs == 0:
            shown = self.show(candidates, CANDIDATES)
            return score(supernet, map(architect.mixing, shown), batches, self.ranks, criterion)

        def tuned(operation: int) -> tuple[tuple[float, ...], int]:
            before = guard.skipped
            with restored(self.training) as training:
                training.decisions = candidates[operation]
                try:
                    for _ in range(self.epochs):
                        training.tune()
                except NotFinite as error:
                    raise UserError(
                        f"{error} is not a finite number while the supernet is tuned with nothing but {names[operation]} "
                        f"on {cell_type.edge_label(edge)}: try a smaller learning rate, or skip such steps (on_nan: skip)"
                    ) from None
                mixing = architect.mixing(training.decisions)
                return tuple(score(supernet, [mixing], batches, criterion=criterion)[0]), guard.skipped - before

        # The random streams are restored too, so there is nothing to skip for candidates of other processes.
        found = self.ranks.spread(self.show(range(len(names)), CANDIDATES), tuned)
        skipped = sum(count for _, count in found)
        guard.skipped += skipped
        if skipped and self.ranks.is_first:
            logger.warning(
                "skipped %d steps with a NaN or infinite loss or gradient; %d so far", skipped, guard.skipped
            )
        return [(Judged if callable(criterion) else Metrics)(*numbers) for numbers, _ in found]


@contextmanager
def restored(training: SupernetTraining) -> Iterator[SupernetTraining]:
    """Restore the training at the end; inside, the run is not saved."""
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
        show=training.show,
        training=training,
        epochs=settings["oneshot_epochs"],
    )
