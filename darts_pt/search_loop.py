"""The search: train the supernet by bilevel steps, epoch by epoch (paper, section 3)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

from darts_pt.run.experiment import Experiment
from darts_pt.run.loop import log_metrics, timed_epochs, train_epoch
from darts_pt.run.saver import Saver
from darts_pt.selection import Event, SelectionRule, decide_operation
from darts_pt.supernet import CellType, Decisions
from darts_pt.training import SupernetTraining

Describe = Callable[[Any], dict[str, Any]]
"""Called with the training after each epoch; returns values to record, such as the genotype and its true accuracy."""


def search(
    training: SupernetTraining,
    saver: Saver,
    epochs: int,
    describe: Describe = lambda training: {},
    *,
    evaluate: tuple[str, ...] = (),
    rule: SelectionRule | None = None,
) -> None:
    """Train the supernet from its present epoch to `epochs`.

    Args:
        saver: writes the checkpoints; its experiment gets all metrics.
        evaluate: evaluated after each epoch besides the valid half: "train_half", "test".
        rule: chooses the operations of edges that the method decides during the search (SGAS).
    """
    sources = {"train_half": training.train_batches, "test": training.test_batches}
    for epoch in timed_epochs(training, epochs, saver):
        saver.safe_point()
        training.architect.start_epoch(epoch, epochs)
        if rule is not None and training.progress is None:
            decide_during_search(training, rule, saver, epochs)
        learning_rate = training.weight_optimizer.param_groups[0]["lr"]
        train = train_epoch(training, *training.search_batches(), saver, f"epoch {epoch + 1}/{epochs}")
        measured = {"train": train, "valid": training.evaluate(training.valid_batches())}
        measured |= {name: training.evaluate(sources[name]()) for name in evaluate}
        training.end_epoch()
        record = {"learning_rate": learning_rate, **log_metrics(saver, f"epoch {epoch + 1}/{epochs}", measured)}
        saver.experiment.record("epoch", record | describe(training), epoch=training.epoch)
        saver.epoch_ended(last=training.epoch == epochs)


def architecture(training: SupernetTraining) -> dict[str, Any]:
    """The genotype and the mixing weights now, as an epoch's record has them."""
    supernet, mixing = training.supernet, training.mixing()
    weights = {
        cell.name: {
            f"{number}:{cell.edge_name(number)}": dict(zip(names, row, strict=True))
            for number, (names, row) in enumerate(zip(cell.operations, mixing.values[cell.name].tolist(), strict=True))
        }
        for cell in supernet.cell_types
    }
    return {"genotype": str(supernet.genotype(mixing)), "mixing_weights": weights}


# Decisions during the search (SGAS) ------------------------------------------------------------------------------


def decide_during_search(training: SupernetTraining, rule: SelectionRule, saver: Saver, epochs: int) -> None:
    """Decide the edges that the method has due before the training's next epoch.

    The state is saved just before: a selection by another rule starts before the first decision.
    """
    training.synchronise()  # All processes must find the same edges due.
    due = training.architect.edges_due(training.epoch, epochs, training.decisions)
    if due:
        saver.save_epoch()
    for cell_type, edge in due:
        event = Event(sum(map(len, training.decisions.operations.values())), training.epoch, "operation")
        decide_operation(event, training, rule, saver.experiment, cell_type, edge)
        _drop_surplus(training, saver.experiment, cell_type, cell_type.edges[edge].target)


def first_decision(training: SupernetTraining, epochs: int) -> set[int]:
    """The epoch of a search's first decision; empty if it takes none."""
    due = (epoch for epoch in range(epochs) if training.architect.edges_due(epoch, epochs, Decisions()))
    return set(islice(due, 1))


def _drop_surplus(training: SupernetTraining, experiment: Experiment, cell_type: CellType, node: int) -> None:
    """Drop the undecided edges of a node that has as many decided ones as it keeps."""
    if node not in training.decisions.undecided_nodes(cell_type):
        return
    decided = training.decisions.operations[cell_type.name]
    kept = tuple(edge for edge in cell_type.incoming[node] if edge in decided)
    if len(kept) == cell_type.inputs_kept:
        training.decisions = training.decisions.with_edges(cell_type.name, node, kept)
        labels = ", ".join(cell_type.edge_label(edge) for edge in kept)
        experiment.log.info("%s keeps %s", cell_type.node_label(node), labels)
