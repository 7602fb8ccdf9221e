"""The common parts of the search and the selection of a model: checks of their arguments, and the run itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from inspect import signature
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from darts_pt.hyperparameters import Criterion
from darts_pt.library.building import result_of, saved_search
from darts_pt.library.checks import checked_criterion
from darts_pt.library.result import RESULT_FILE, Result
from darts_pt.library.session import opened, own_randomness
from darts_pt.library.supernet import ModelSupernet
from darts_pt.library.training import ModelTraining
from darts_pt.methods import METHODS
from darts_pt.run.errors import ArgumentError, one_of, positive
from darts_pt.run.files import atomic_write
from darts_pt.run.results import GENOTYPE_FILE
from darts_pt.run.saver import Saver
from darts_pt.selection import Criteria
from darts_pt.selections import SELECTIONS
from darts_pt.supernet import Decisions
from darts_pt.training import cosine


def carried_out(
    kind: Literal["search", "selection"],
    training: ModelTraining,
    run: Callable[[Saver, Criteria], None],
    arguments: Mapping[str, Any],
    criterion: Criterion | None,
    folder: Path | None,
    resume: bool,
    overwrite: bool,
    quiet: bool,
    same_batches: bool = False,
) -> Result:
    """Check the model on a batch, run, and write the result."""
    supernet, architect = training.model_supernet, training.architect
    own = [training.train.generator, training.valid.generator]
    with (
        supernet.in_use(lambda: architect.mixing(training.decisions)),
        own_randomness(training.generators, own),
    ):
        began, warnings = training.generators.state(), []
        first = training.random_train_batch()
        _ = training.random_valid_batch()
        mixing, on_nan = architect.mixing(Decisions()), architect.guard.on_nan
        criterion = checked_criterion(supernet, mixing, first, criterion, on_nan, warnings.append)
        training.generators.restore(began)
        training.restart()
        settings = {**arguments, "criterion": _name(criterion), "space": type(supernet.model).__name__}
        names = [cell.name for cell in supernet.cell_types]
        criteria = Criteria(dict.fromkeys(names, criterion), dict.fromkeys(names, criterion), same_batches)
        with opened(training, folder, settings, resume, overwrite, quiet) as saver:
            for warning in warnings:
                saver.experiment.log.warning("%s", warning)
            choices = sum(len(cell.choosing_edges) + len(cell.choosing_nodes) for cell in supernet.cell_types)
            saver.experiment.log.info(
                "%s of %s: %d choice%s, on %s",
                kind, settings["space"], choices, "" if choices == 1 else "s", training.generators.device,
            )  # fmt: skip
            run(saver, criteria)
            result = result_of(kind, training, saver.experiment.records(), settings)
            if folder is not None:
                _write(result, supernet, training, folder)
    return result


def _write(result: Result, supernet: ModelSupernet, training: ModelTraining, folder: Path) -> None:
    """result.json, and the genotype.json that reports read."""
    result.save(folder / RESULT_FILE)
    kept = {**result.decisions} | {
        name: f"inputs {', '.join(map(str, places))}" for name, places in result.inputs.items()
    }
    content = {
        "space": result.settings["space"],
        "genotype": ", ".join(f"{name}: {operation}" for name, operation in kept.items()),
        **{f"supernet_valid_{name}": value for name, value in result.valid.items()},
    }
    atomic_write(folder / GENOTYPE_FILE, json.dumps(content, indent=2) + "\n")


def search_before(model: nn.Module, start: Any, method: str | None, *, trained: bool, resume: bool) -> Result | None:
    """The result of the search that a selection starts from; None if alpha comes from elsewhere.

    Args:
        trained: the selection is one of trained supernets.

    Raises:
        ArgumentError: nothing says where alpha comes from, or the weights are no longer those that the search left.
    """
    if isinstance(start, Mapping):
        return None
    if isinstance(start, str | Path):
        start = saved_search(Path(start))
    found = start if start is not None else getattr(model, "searched", None)
    if start is None and getattr(model, "tuned", False) and not resume:
        raise ArgumentError(
            "start",
            "an earlier selection has tuned this model: search again, select on a copy (copy.deepcopy) made before it, or "
            "give the search's result here to go on from the tuned weights",
        )
    if found is None and trained and method != "blank":
        raise ArgumentError(
            "start",
            "this model has not been searched: call darts_pt.search first, or give alpha, the result of a search or its "
            "folder (or method='blank', for a supernet that was trained without alpha)",
        )
    if found is None:
        return None
    if not isinstance(found, Result):
        raise TypeError(f"start: expected a Result, a folder or alphas by name, got a {type(found).__name__}")
    if found.kind != "search":
        raise ArgumentError("start", "it is the result of a selection, expected that of a search")
    return found


def check_together(method: str, selection: str, searched: Result | None) -> None:
    """Raises ArgumentError if the selection is not defined for the method or for this start."""
    one_of("method", method, METHODS)
    declared, rule = METHODS[method], SELECTIONS[selection]
    if selection in declared.refuses:
        raise ArgumentError("selection", f"{selection} with {method}: {declared.refuses[selection]}")
    if declared.decides_during_search and rule.tunes:
        raise ArgumentError(
            "method",
            f"{method} {declared.exclusive}, and {selection} would tune after it: use "
            f"search(…, method={method!r}, decide_by={selection!r})",
        )
    other = str(searched.settings["method"]) if searched else method
    for name in (method, other):
        if method != other and METHODS[name].exclusive:
            raise ArgumentError("method", f"{method} after a search by {other}: {name} {METHODS[name].exclusive}")
    if searched and not rule.trained:
        raise ArgumentError(
            "selection", f"{selection} scores an untrained model, and this one has been searched: make it again"
        )


def falling(training: ModelTraining, epochs: int) -> torch.optim.lr_scheduler.LRScheduler:
    """The cosine of the scripts; with the user's own optimiser it falls by the same factor."""
    options, own = training.options, training.weight_optimizer.param_groups[0]["lr"]
    lowest = options.learning_rate_min * own / options.learning_rate
    return cosine(training.weight_optimizer, replace(options, learning_rate_min=lowest), epochs)


# Arguments -------------------------------------------------------------------------------------------------------

_KINDS: tuple[tuple[Any, str, tuple[str, ...]], ...] = (
    (Integral, "a whole number", ("epochs", "interval", "seed")),
    (
        Real,
        "a number",
        (
            "learning_rate", "learning_rate_min", "momentum", "weight_decay", "grad_clip", "arch_learning_rate",
            "arch_weight_decay",
        ),
    ),
    (str, "a name", ("method", "selection", "order", "decide_by", "on_nan")),
    (bool, "True or False", ("same_batches", "resume", "overwrite", "quiet")),
    (Mapping, "a dict", ("options",)),
    (Callable, "a function of (outputs, targets)", ("loss",)),
    (
        Callable,
        "a function from parameters to an optimiser, such as lambda weights: torch.optim.Adam(weights, lr=1e-3)",
        ("optimizer",),
    ),
)  # fmt: skip
_NOT_SETTINGS = {"model", "train", "valid", "start", "device", "folder", "resume", "overwrite", "quiet"}


def plain_arguments(function: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call that decide its result, functions by their names.

    Raises:
        TypeError: one is of another type.
        ArgumentError: it speaks of a folder, and there is none.
    """
    optional = {name for name, parameter in signature(function).parameters.items() if parameter.default is None}
    for kind, expected, names in _KINDS:
        for name in arguments.keys() & set(names):
            value = arguments[name]
            fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
            if not (fits or (value is None and name in optional)):
                shown = repr(value) if isinstance(value, str | int | float) else f"a {type(value).__name__}"
                raise TypeError(f"{name}: expected {expected}, got {shown}")
    for name in ("epochs", "interval"):
        positive(name, arguments.get(name))
    for name in ("resume", "overwrite"):
        if arguments[name] and arguments["folder"] is None:
            raise ArgumentError(name, "there is nothing to go on from or to replace without a folder: give folder=…")
    return {name: _name(value) for name, value in arguments.items() if name not in _NOT_SETTINGS}


def _name(value: Any) -> Any:
    return getattr(value, "__name__", type(value).__name__) if callable(value) else value
