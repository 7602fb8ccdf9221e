"""The search: train the supernet by bilevel steps, epoch by epoch (paper, section 3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from darts_pt.run.loop import log_metrics, timed_epochs, train_epoch
from darts_pt.run.saver import Saver
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
    decide: Callable[[], None] = lambda: None,
) -> None:
    """Train the supernet from its present epoch to `epochs`.

    Args:
        saver: writes the checkpoints; its experiment gets all metrics.
        evaluate: evaluated after each epoch besides the valid half: "train_half", "test".
        decide: called before each epoch, for methods that decide edges during the search (SGAS).
    """
    sources = {"train_half": training.train_batches, "test": training.test_batches}
    for epoch in timed_epochs(training, epochs, saver):
        saver.safe_point()
        training.architect.start_epoch(epoch, epochs)
        if training.progress is None:
            decide()
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
    supernet, mixing = training.supernet, training.architect.mixing(training.decisions)
    weights = {
        cell.name: {
            f"{number}:{cell.edge_name(number)}": dict(zip(names, row, strict=True))
            for number, (names, row) in enumerate(zip(cell.operations, mixing.values[cell.name].tolist(), strict=True))
        }
        for cell in supernet.cell_types
    }
    return {"genotype": str(supernet.genotype(mixing)), "mixing_weights": weights}
