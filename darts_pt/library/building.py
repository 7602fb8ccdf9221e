"""From the arguments of a call to a training, and from its records to a result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from darts_pt.architect import Architect
from darts_pt.hyperparameters import AlphaOptions, OnNan, WeightOptions
from darts_pt.library.result import RESULT_FILE, Event, Result
from darts_pt.library.supernet import Loss, ModelSupernet, places_of
from darts_pt.library.training import Batches, ModelTraining
from darts_pt.methods import METHODS
from darts_pt.registry import Declaration
from darts_pt.run.config import as_json
from darts_pt.run.device import Generators
from darts_pt.run.errors import ArgumentError, did_you_mean, first_line, listed, one_of
from darts_pt.selections.magnitude import MagnitudeRule
from darts_pt.supernet import Decisions, initial_alpha
from darts_pt.training import sgd
from darts_pt.version import __version__

MakeOptimizer = Callable[[Any], torch.optim.Optimizer]
Alphas = Mapping[str, "Sequence[float] | Mapping[str, float] | Tensor"]
"""Alpha by name: a value per candidate, in their order or by their names."""

# The training ----------------------------------------------------------------------------------------------------


def training_of(
    model: nn.Module,
    train: Any,
    valid: Any,
    *,
    loss: Loss,
    method: str,
    settings: Mapping[str, Any],
    weights: WeightOptions,
    alpha: AlphaOptions,
    optimizer: MakeOptimizer | None,
    on_nan: OnNan,
    seed: int,
    device: str | torch.device | None,
) -> ModelTraining:
    """A training of the model itself, with alpha drawn from the seed."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected an nn.Module, got a {type(model).__name__}")
    one_of("on_nan", on_nan, ("stop", "skip"))
    one_of("method", method, METHODS)
    declared = METHODS[method]
    if device is not None:
        try:
            model.to(device)
        except (RuntimeError, AssertionError) as error:  # Unknown to torch, or not on this machine.
            raise ArgumentError("device", first_line(error)) from None
    floating = [weight for weight in model.parameters() if weight.is_floating_point()]
    if not any(weight.requires_grad for weight in floating):
        raise ValueError(f"{type(model).__name__}: there is no parameter to train in the model")
    place = floating[0].device
    generators = Generators(seed, place)
    supernet = ModelSupernet(model, loss)
    for option in (option.name for option in declared.options if option.for_supernet):
        if all(
            getattr(module, option, 1) == 1 for places in supernet.places.values() for at in places for module in at
        ):
            raise ArgumentError(
                "method",
                f"{method} {declared.exclusive}: make candidates for that, MixedOperation(…, {option}=4)",
            )
    dtype = torch.promote_types(floating[0].dtype, torch.float32)
    drawn = initial_alpha(supernet.cell_types, generators["alpha"], place, dtype)
    architect: Architect = declared.load()(supernet, drawn, alpha, own_settings(declared, settings), generators)
    architect.guard.on_nan = on_nan
    made = sgd(supernet, weights) if optimizer is None else optimizer(supernet.weights())
    if not isinstance(made, torch.optim.Optimizer):
        raise TypeError(
            f"optimizer: expected a function from parameters to an optimiser, it returned {type(made).__name__}"
        )
    own = {id(weight) for weight in model.parameters()}
    if not all(id(weight) in own for group in made.param_groups for weight in group["params"]):
        raise ArgumentError(
            "optimizer", "it steps parameters of another model: make it from those that it is called with"
        )
    return ModelTraining(
        architect, Batches(train, "train", place), Batches(valid, "valid", place), generators, weights, made
    )


def own_settings(declared: Declaration, options: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that only this method or selection has, checked, with the defaults of the others."""
    known = {option.name: option for option in declared.options if not option.for_supernet}
    for name, value in options.items():
        if name not in known:
            has = f"it has {listed(known)}" if known else "it has none"
            raise ArgumentError("options", f"{declared.name} has no option {name!r}{did_you_mean(name, known)}; {has}")
        if value is not None:
            known[name].check(value)
    return {**declared.defaults, **options}


# The start of a selection ----------------------------------------------------------------------------------------


def set_alpha(supernet: ModelSupernet, alpha: Mapping[str, Tensor], values: Alphas) -> None:
    """Give every alpha its values.

    Raises:
        ValueError: names or candidates are missing or unknown.
    """
    names = [cell.edge_names[edge] for cell in supernet.cell_types for edge in cell.choosing_edges]
    unknown, missing = [name for name in values if name not in names], [name for name in names if name not in values]
    if unknown or missing:
        wrong = f"the model has no {listed(unknown)}" if unknown else f"{listed(missing)} missing"
        raise ArgumentError("start", f"its alphas do not fit the model: {wrong}; expected {listed(names)}")
    with torch.no_grad():
        for cell in supernet.cell_types:
            for edge, (name, operations) in enumerate(zip(cell.edge_names, cell.operations, strict=True)):
                if name in values:
                    alpha[cell.name][edge].copy_(_row(name, operations, values[name]))


def _row(name: str, operations: tuple[str, ...], values: Any) -> Tensor:
    if isinstance(values, Mapping):
        if set(values) != set(operations):
            raise ArgumentError("start", f"alpha of {name!r} has {listed(list(values))}, expected {listed(operations)}")
        values = [values[operation] for operation in operations]
    row = torch.as_tensor(values).detach()
    if row.shape != (len(operations),) or not bool(row.isfinite().all()):
        raise ArgumentError(
            "start",
            f"alpha of {name!r}: expected {len(operations)} finite numbers, for {listed(operations)}, got {row}",
        )
    return row


def continue_from(training: ModelTraining, searched: Result, method: str) -> None:
    """Alpha, its optimiser and the method's state, as a search left them."""
    architect = training.architect
    set_alpha(training.model_supernet, architect.alpha, searched.alpha)  # type: ignore[arg-type]
    state = decoded(searched.state)
    if state and searched.settings["method"] == method:
        architect.optimizer.load_state_dict(
            state["optimizer"] | {"state": {int(key): value for key, value in state["optimizer"]["state"].items()}}
        )
        architect.restore_state(state["method"])


def encoded(value: Any) -> Any:
    """Tensors as plain data, with their types."""
    if isinstance(value, Tensor):
        return {"tensor": value.tolist(), "dtype": str(value.dtype).removeprefix("torch.")}
    if isinstance(value, Mapping):
        return {key: encoded(item) for key, item in value.items()}
    return [encoded(item) for item in value] if isinstance(value, tuple | list) else value


def decoded(value: Any) -> Any:
    """The inverse of :func:`encoded`."""
    if isinstance(value, Mapping):
        if value.keys() == {"tensor", "dtype"}:
            return torch.tensor(value["tensor"], dtype=getattr(torch, value["dtype"]))
        return {key: decoded(item) for key, item in value.items()}
    return [decoded(item) for item in value] if isinstance(value, tuple | list) else value


# The result ------------------------------------------------------------------------------------------------------


def completed(training: ModelTraining) -> Decisions:
    """The training's decisions, and those that are still open by magnitude."""
    decisions, architect, rule = training.decisions, training.architect, MagnitudeRule()
    for cell in training.supernet.cell_types:
        for edge in decisions.undecided_edges(cell):
            decisions = decisions.with_operation(
                cell.name, edge, rule.operation(architect, decisions, cell, edge).operation
            )
        for node in decisions.undecided_nodes(cell):
            decisions = decisions.with_edges(cell.name, node, rule.edges(architect, decisions, cell, node).kept)
    return decisions


def result_of(
    kind: Literal["search", "selection"],
    training: ModelTraining,
    records: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
) -> Result:
    """The result of a training that has come to its end."""
    supernet, architect, decisions = training.model_supernet, training.architect, completed(training)
    valid = training.evaluate(training.valid_batches())
    plain = {
        "kind": kind,
        "decisions": supernet.operations_of(decisions),
        "inputs": supernet.inputs_of(decisions),
        "alpha": _by_name(supernet, architect.alpha),
        "weights": _by_name(supernet, training.mixing().values),
        "events": [asdict(event) for event in _events(supernet, records)],
        "history": _history(records),
        "valid": valid.measured(),
        "settings": settings,
        "version": __version__,
        "state": encoded({"optimizer": architect.optimizer.state_dict(), "method": architect.state()}),
    }
    return Result.from_plain(as_json(plain))


def _by_name(supernet: ModelSupernet, values: Mapping[str, Tensor]) -> dict[str, dict[str, float]]:
    return {
        name: dict(zip(operations, row, strict=True))
        for cell in supernet.cell_types
        for name, operations, row in zip(cell.edge_names, cell.operations, values[cell.name].tolist(), strict=True)
        if len(operations) > 1
    }


def _history(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"epoch": record["epoch"]}
        | {name: value for name, value in record["values"].items() if isinstance(value, int | float)}
        for record in records
        if record["kind"] == "epoch"
    ]


def _events(supernet: ModelSupernet, records: Sequence[Mapping[str, Any]]) -> list[Event]:
    cells = {cell.name: cell for cell in supernet.cell_types}
    events = []
    for record in records:
        if record["kind"] not in ("operation_event", "topology_event"):
            continue
        values = dict(record["values"])
        cell = cells[values.pop("cell_type")]
        values.pop("event")
        if record["kind"] == "operation_event":
            name, kept = cell.edge_names[values.pop("edge")], values.pop("kept")
            rounds = [_table(values.pop("candidates"), values)] if len(values) > 1 else []
        else:
            node = values["node"]
            name, kept = cell.node_names[node], places_of(cell, node, values["kept"])
            rounds = []
            for one in values["rounds"]:
                labels = [f"input {place}" for place in places_of(cell, node, one["edges"])]
                columns = {quantity: column for quantity, column in one.items() if quantity not in ("edges", "dropped")}
                rounds.append(_table(labels, columns))
        events.append(Event(name, kept, record["epoch"], tuple(rounds)))
    return events


def _table(candidates: Sequence[str], columns: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, float]]:
    return {
        candidate: {quantity: float(column[index]) for quantity, column in columns.items()}
        for index, candidate in enumerate(candidates)
    }


def saved_search(folder: Path) -> Result:
    """The result that a search has written into its folder."""
    path = folder / RESULT_FILE
    if not path.is_file():
        raise ArgumentError("start", f"{folder} has no {RESULT_FILE}: expected the folder of a search that has ended")
    return Result.load(path)
