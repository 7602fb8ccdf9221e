"""Any network with choices in it, as a supernet: a space like any other for the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from darts_pt.cell_type import CellType, Edge
from darts_pt.library.mixed import USUAL_CELL, MixedInputs, MixedOperation
from darts_pt.supernet import Decisions, MixingWeights, Supernet

Loss = Callable[[Any, Any], Tensor]
"""The mean loss of a batch (a tensor of one number) from the model's outputs and the batch's targets."""


@dataclass
class _Node:
    """Edges that end in one place: those of a MixedInputs, or one MixedOperation by itself."""

    name: str
    keep: int | None
    edges: dict[str, list[MixedOperation]] = field(default_factory=dict)

    @property
    def kind(self) -> tuple[int, int]:
        """Equal for nodes of one cell type: the number of candidates, and that of edges kept."""
        first = next(iter(self.edges.values()))[0]
        return len(first.operations), self.keep or 0


class ModelSupernet(Supernet):
    """A model with :class:`MixedOperation` and :class:`MixedInputs` in it. The model itself is trained, not a copy.

    Choices of one cell that have as many candidates (and inputs kept) are one cell type, and those of one cell a group that
    takes turns at events. All edges of a cell type start at node 0; each choice has a target node of its own.

    Attributes:
        places: cell type -> for every edge the modules that share its alpha.

    Raises:
        ValueError: there is no choice in the model, or modules that share an alpha differ.
    """

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.model = model
        self._loss = loss
        nodes = _nodes(model)
        self.cell_types, self.places = _cell_types(nodes)
        if not self.cell_types:
            raise ValueError(
                f"{type(model).__name__}: there is no MixedOperation in the model, so there is nothing to choose: put one "
                "in the place of a layer"
            )

    def __call__(self, inputs: Any, mixing: MixingWeights) -> Any:
        return nn.Module.__call__(self, inputs, mixing)

    def forward(self, inputs: Any, mixing: MixingWeights) -> Any:
        """The model's outputs; a tuple of inputs is several arguments, a dict is arguments by name."""
        # On the modules they outlive the pass: activation checkpointing computes parts of it again.
        self._hand_out(mixing, lambda values: values.unbind(), lambda row: row.unbind())
        if isinstance(inputs, tuple | list):
            return self.model(*inputs)
        return self.model(**inputs) if isinstance(inputs, Mapping) else self.model(inputs)

    def _hand_out(self, mixing: MixingWeights, rows: Callable[[Tensor], Any], numbers: Callable[[Any], Any]) -> None:
        """Give every choice its weights."""
        for cell in self.cell_types:
            values, active, *edges = mixing.for_cell(cell.name)
            whole = rows(edges[0]) if edges else [None] * len(active)
            for row, computed, weight, modules in zip(rows(values), active, whole, self.places[cell.name], strict=True):
                weights = numbers(row)
                for module in modules:
                    state = module.__dict__  # Module's own assignment costs more.
                    state["weights"], state["active"], state["edge_weight"] = weights, computed, weight

    @contextmanager
    def in_use(self, mixing: Callable[[], MixingWeights]) -> Iterator[None]:
        """At the end leave plain numbers on the modules, those of `mixing`, and each module in its mode."""
        modes = [(module, module.training) for module in self.modules()]
        try:
            yield
        finally:
            self._hand_out(mixing(), lambda values: values.tolist(), lambda row: row)
            for module, mode in modes:
                module.training = mode

    # What is measured --------------------------------------------------------------------------------------------

    def loss(self, outputs: Any, targets: Any) -> Tensor:
        return self._loss(outputs, targets)

    def correct(self, outputs: Any, targets: Any) -> Tensor:
        """Correct predictions, where outputs are logits [batch, classes, …] and targets labels [batch, …]; else NaN.

        Of several predictions per sample, as in segmentation, the share that is correct counts; labels below 0, which
        cross-entropy ignores, are left out of it.
        """
        if not has_accuracy(outputs, targets):
            return torch.full((), torch.nan)
        right = outputs.argmax(dim=1) == targets
        if right.dim() == 1:
            return right.sum()
        known = (targets >= 0).flatten(1).sum(dim=1).clamp(min=1)
        return (right.flatten(1).sum(dim=1).double() / known).sum()

    def size(self, targets: Any) -> int:
        return size_of(targets)

    # Names -------------------------------------------------------------------------------------------------------

    def genotype(self, mixing: MixingWeights) -> str:
        """The operation with the largest weight on every edge, by name."""
        kept = {
            name: cell.operations[edge][best]
            for cell in self.cell_types
            for edge, (name, best) in enumerate(
                zip(cell.edge_names, mixing.values[cell.name].argmax(dim=1).tolist(), strict=True)
            )
            if len(cell.operations[edge]) > 1
        }
        return ", ".join(f"{name}: {operation}" for name, operation in kept.items())

    def operations_of(self, decisions: Decisions) -> dict[str, str]:
        """Alpha's name -> the operation that is kept, also on edges that were dropped at their node."""
        return {
            cell.edge_names[edge]: cell.operations[edge][operation]
            for cell in self.cell_types
            for edge, operation in sorted(decisions.operations.get(cell.name, {}).items())
        }

    def inputs_of(self, decisions: Decisions) -> dict[str, tuple[int, ...]]:
        """Name of a MixedInputs -> the places of the inputs that are kept; only where some are dropped."""
        return {
            cell.node_names[node]: places_of(cell, node, kept)
            for cell in self.cell_types
            for node, kept in sorted(decisions.edges.get(cell.name, {}).items())
        }


def places_of(cell: CellType, node: int, edges: Any) -> tuple[int, ...]:
    """The places of edges among a node's inputs."""
    return tuple(cell.incoming[node].index(edge) for edge in edges)


def has_accuracy(outputs: Any, targets: Any) -> bool:
    """Whether these are logits [batch, classes, …] and class labels [batch, …]."""
    return (
        isinstance(outputs, Tensor)
        and isinstance(targets, Tensor)
        and outputs.dim() >= 2
        and outputs.is_floating_point()
        and not (targets.is_floating_point() or targets.dtype == torch.bool)
        and targets.shape == outputs.shape[:1] + outputs.shape[2:]
    )


def size_of(value: Any) -> int:
    """The number of samples in targets: the length of their first tensor."""
    while isinstance(value, Mapping | tuple | list) and len(value):
        value = next(iter(value.values())) if isinstance(value, Mapping) else value[0]
    return len(value) if isinstance(value, Tensor) and value.dim() else 1


def named_choices(model: nn.Module) -> list[tuple[str, MixedOperation | MixedInputs]]:
    """Every choice with its name, that of its alpha or its node, in the model's order."""
    name_of = {
        id(module): name
        for nodes in _nodes(model).values()
        for node in nodes.values()
        for name, modules in node.edges.items()
        for module in modules
    }
    return [
        (_named(module) if isinstance(module, MixedInputs) else name_of[id(module)], module)
        for module in model.modules()
        if isinstance(module, MixedOperation | MixedInputs)
    ]


# The choices in a model ------------------------------------------------------------------------------------------


def _nodes(model: nn.Module) -> dict[str, dict[str, _Node]]:
    """Cell -> the nodes by name, with the modules that stand at each edge, in the model's order."""
    cells: dict[str, dict[str, _Node]] = {}
    owned: set[int] = set()
    for qualified, module in model.named_modules():
        if isinstance(module, MixedInputs):
            module.qualified = qualified or type(model).__name__
            edges = [edge for edge in module.edges if isinstance(edge, MixedOperation)]
            owned |= {id(edge) for edge in edges}
            node = _node(cells, module, module.keep)
            names = [
                _full(edge.name, module.cell) if edge.name else f"{node.name}[{place}]"
                for place, edge in enumerate(edges)
            ]
            if node.edges and list(node.edges) != names:
                raise ValueError(f"{module.title}: has other edges than the node of its name: {names}, {[*node.edges]}")
            for place, (name, edge) in enumerate(zip(names, edges, strict=True)):
                edge.qualified = f"{module.qualified}.edges.{place}"
                _join(node, name, edge)
        elif isinstance(module, MixedOperation) and id(module) not in owned:
            module.qualified = qualified or type(model).__name__
            node = _node(cells, module, None)
            _join(node, node.name, module)
    return cells


def _node(cells: dict[str, dict[str, _Node]], module: MixedOperation | MixedInputs, keep: int | None) -> _Node:
    name = _named(module)
    node = cells.setdefault(module.cell, {}).setdefault(name, _Node(name, keep))
    if node.keep != keep:
        raise ValueError(f"{module.title}: keeps {keep} inputs, and another choice named {name!r} keeps {node.keep}")
    return node


def _named(module: MixedOperation | MixedInputs) -> str:
    return _full(module.name or module.qualified, module.cell)


def _full(name: str, cell: str) -> str:
    return name if cell == USUAL_CELL else f"{cell}/{name}"


def _join(node: _Node, name: str, module: MixedOperation) -> None:
    modules = node.edges.setdefault(name, [])
    if modules and modules[0].operations != module.operations:
        raise ValueError(
            f"{module.title}: shares the alpha {name!r} with {modules[0].title}, so it needs the same candidates in "
            f"the same order: {list(modules[0].operations)}, got {list(module.operations)}"
        )
    modules.append(module)


def _cell_types(
    cells: dict[str, dict[str, _Node]],
) -> tuple[tuple[CellType, ...], dict[str, list[list[MixedOperation]]]]:
    types, places = [], {}
    for cell, nodes in cells.items():
        kinds = list(dict.fromkeys(node.kind for node in nodes.values()))
        for kind in kinds:
            count, keep = kind
            name = cell if len(kinds) == 1 else f"{cell} ({count} candidates{f', keeping {keep}' if keep else ''})"
            members = [node for node in nodes.values() if node.kind == kind]
            edges = [(target, edge) for target, node in enumerate(members, start=1) for edge in node.edges]
            places[name] = [modules for node in members for modules in node.edges.values()]
            types.append(
                CellType(
                    name,
                    tuple(Edge(0, target) for target, _ in edges),
                    tuple(modules[0].operations for modules in places[name]),
                    keep or None,
                    group=cell,
                    edge_names=tuple(edge for _, edge in edges),
                    node_names=("inputs", *(node.name for node in members)),
                )
            )
    names = [name for cell in types for name in cell.edge_names]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two choices are named {twice!r}: give one of them another name")
    return tuple(types), places
