"""The result of a search or a selection: the genotype after each epoch, and the closing table."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from darts_pt.image_training import ImageTraining
from darts_pt.methods import METHODS
from darts_pt.run.config import as_json
from darts_pt.run.epoch import Metrics
from darts_pt.run.errors import UserError
from darts_pt.run.experiment import Experiment
from darts_pt.run.files import atomic_write, read_json
from darts_pt.run.logs import aligned
from darts_pt.run.results import GENOTYPE_FILE, comparison
from darts_pt.search_loop import architecture
from darts_pt.selections import SELECTIONS
from darts_pt.space import SearchSpace
from darts_pt.supernet import Decisions


class Selected(NamedTuple):
    """The result of a search or a selection: the genotype, the supernet's valid metrics with it, the folder."""

    genotype: Any
    valid: Metrics | None
    folder: Path


def describe(space: SearchSpace[Any, Any], experiment: Experiment) -> Callable[[ImageTraining], dict[str, Any]]:
    """A function that describes the supernet after each epoch: genotype, mixing weights, true accuracies.

    It logs the genotype when it has changed.
    """
    before = None

    def record(training: ImageTraining) -> dict[str, Any]:
        nonlocal before
        genotype = training.supernet.genotype(training.mixing())
        known = space.look_up(genotype, training.data.name)
        if genotype != before:
            _log_genotype(experiment, genotype, known)
            before = genotype
        return architecture(training) | ({"table": known} if known else {})

    return record


def _log_genotype(experiment: Experiment, genotype: Any, known: Mapping[str, Any]) -> None:
    experiment.log.info("genotype: %s", genotype)
    if known:
        numbers = (
            f"{name} {value:.2f}" if isinstance(value, float) else f"{name} {value:,}" for name, value in known.items()
        )
        experiment.log.info("benchmark table: %s", ", ".join(numbers))


def of_genotype(space: SearchSpace[Any, Any], genotype: Any, dataset: str) -> dict[str, Any]:
    """A genotype's entries in genotype.json."""
    known = space.look_up(genotype, dataset)
    return space.plain(genotype) | ({"table": known} if known else {})


def by_magnitude(space: SearchSpace[Any, Any], training: ImageTraining, method: str, trained: bool) -> dict[str, Any]:
    """The entry `baseline` of genotype.json: what magnitude selects from the supernet as it is now.

    Args:
        method: that of the search.
        trained: False for a selection from a fresh supernet.
    """
    if not trained or not METHODS[method].trains_alpha:
        reason = f"{METHODS[method].title} does not train it" if trained else "the supernet is not trained"
        return {"by": "magnitude", "missing": f"alpha is random ({reason}), so magnitude has nothing to select from"}
    genotype = training.supernet.genotype(training.mixing())
    return {"by": "magnitude", **of_genotype(space, genotype, training.data.name)}


def by_search(space: SearchSpace[Any, Any], folder: Path, method: str) -> dict[str, Any]:
    """The entry `baseline` of a selection that takes a search's decisions again: those of the search itself."""
    by = f"{METHODS[method].title}'s search"
    try:
        found = read_json(folder / GENOTYPE_FILE)
        space.cells(found["genotype"])
        return {"by": by, **{name: found[name] for name in ("space", "genotype", "table") if name in found}}
    except (OSError, ValueError, TypeError, KeyError, UserError):
        return {"by": by, "missing": f"{folder.name} has not come to its end"}


def finish(
    space: SearchSpace[Any, Any],
    training: ImageTraining,
    experiment: Experiment,
    valid: Metrics | None = None,
    selection: str | None = None,
    baseline: Mapping[str, Any] | None = None,
) -> Selected:
    """Write and log the genotype; of a `selection` beside its `baseline`, if there is one."""
    genotype = training.supernet.genotype(training.mixing())
    content = of_genotype(space, genotype, training.data.name)
    if training.decisions != Decisions():
        content |= {"decisions": training.decisions.to_dict()}
    if valid:
        content |= {"supernet_valid_accuracy": valid.accuracy, "supernet_valid_loss": valid.loss}
        experiment.log.info("supernet with it: valid accuracy %.2f %%, loss %.4f", valid.accuracy, valid.loss)
    if baseline:
        content |= {"baseline": dict(baseline)}
    _log_genotype(experiment, genotype, {} if selection else content.get("table", {}))
    if selection:
        _log_comparison(space, experiment, SELECTIONS[selection].title, content, training)
    if training.ranks.is_first:
        atomic_write(experiment.folder / GENOTYPE_FILE, json.dumps(as_json(content), indent=2) + "\n")
        space.finish(genotype, experiment.folder)
    experiment.log.info("files: %s", experiment.folder)
    return Selected(genotype, valid, experiment.folder)


def _log_comparison(
    space: SearchSpace[Any, Any],
    experiment: Experiment,
    title: str,
    content: Mapping[str, Any],
    training: ImageTraining,
) -> None:
    baseline = content.get("baseline") or {}
    names = f"{title} and {baseline['by']}" if "genotype" in baseline else title
    known = (
        "by the benchmark table" if content.get("table") else f"there is no benchmark table for {training.data.name}"
    )
    known += " (a trial with --fast, not a result)" if training.fast else ""
    experiment.log.info("%s, %s:", names, known)
    for line in aligned(comparison(title, content, baseline, space.cells)):
        experiment.log.info("  %s", line)
    if "missing" in baseline:
        experiment.log.info("%s: %s", baseline["by"], baseline["missing"])
