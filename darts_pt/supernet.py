"""A supernet as the method sees it: cell types, their edges and operations, a forward pass under mixing weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from sys import intern
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darts_pt.cell_type import CellType, Edge
from darts_pt.hyperparameters import Precision
from darts_pt.run.device import autocast

__all__ = [
    "ActiveOperations",
    "Alpha",
    "CellType",
    "Decisions",
    "Edge",
    "MixingWeights",
    "Supernet",
    "direct",
    "fixed_by",
    "initial_alpha",
]

Alpha = dict[str, Tensor]
"""Architecture parameters: cell type name -> float tensor [edges, operations]."""


@dataclass(frozen=True)
class Decisions:
    """The decisions of a selection so far; immutable. Paper section 4.1, Algorithm 1.

    Attributes:
        operations: cell type -> edge -> the operation it keeps.
        edges: cell type -> node -> the incoming edges it keeps.
    """

    operations: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    edges: Mapping[str, Mapping[int, tuple[int, ...]]] = field(default_factory=dict)

    def with_operation(self, cell_type: str, edge: int, operation: int) -> Decisions:
        """These decisions and one more: `edge` keeps `operation`."""
        decided = {**self.operations.get(cell_type, {}), edge: operation}
        return replace(self, operations={**self.operations, cell_type: decided})

    def with_edges(self, cell_type: str, node: int, kept: tuple[int, ...]) -> Decisions:
        """These decisions and one more: of the edges into `node`, those in `kept` stay."""
        decided = {**self.edges.get(cell_type, {}), node: tuple(sorted(kept))}
        return replace(self, edges={**self.edges, cell_type: decided})

    def undecided_edges(self, cell_type: CellType) -> list[int]:
        """The edges that have no operation yet and were not dropped, ascending."""
        decided = self.operations.get(cell_type.name, {}).keys() | self.dropped_edges(cell_type)
        return [edge for edge in cell_type.choosing_edges if edge not in decided]

    def undecided_nodes(self, cell_type: CellType) -> list[int]:
        """The nodes whose incoming edges are still to be chosen, ascending."""
        decided = self.edges.get(cell_type.name, {})
        return [node for node in cell_type.choosing_nodes if node not in decided]

    def dropped_edges(self, cell_type: CellType) -> set[int]:
        """The edges that lost at their node."""
        decided = self.edges.get(cell_type.name, {})
        return {edge for node, kept in decided.items() for edge in cell_type.incoming[node] if edge not in kept}

    def fit(self, cell_types: tuple[CellType, ...]) -> bool:
        """Whether they speak of edges, operations and nodes that these cell types have."""
        cells = {cell.name: cell for cell in cell_types}
        if not self.operations.keys() | self.edges.keys() <= cells.keys():
            return False
        return all(
            0 <= edge < len(cells[name].edges) and 0 <= operation < len(cells[name].operations[edge])
            for name, decided in self.operations.items()
            for edge, operation in decided.items()
        ) and all(
            node in cells[name].choosing_nodes
            and set(kept) <= set(cells[name].incoming[node])
            and len(set(kept)) == cells[name].inputs_kept
            for name, decided in self.edges.items()
            for node, kept in decided.items()
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for checkpoints and JSON."""
        # Names are interned: a pickle tells equal strings from one and the same, and equal runs leave equal files.
        return {
            "operations": {intern(name): dict(edges) for name, edges in self.operations.items()},
            "edges": {
                intern(name): {node: list(kept) for node, kept in nodes.items()} for name, nodes in self.edges.items()
            },
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Decisions:
        """The inverse of :meth:`to_dict`; keys may have become strings (JSON)."""
        return cls(
            {name: {int(e): int(o) for e, o in edges.items()} for name, edges in plain["operations"].items()},
            {name: {int(n): tuple(k) for n, k in nodes.items()} for name, nodes in plain["edges"].items()},
        )


ActiveOperations = tuple[tuple[int, ...], ...]
"""Per edge, the operations that are computed. Hashable, so that a cell can keep one plan per pattern."""


@dataclass(frozen=True)
class MixingWeights:
    """The weight of every candidate operation in its edge's sum.

    Attributes:
        values: cell type -> float tensor [edges, operations].
        active: cell type -> per edge, the operations whose weight may differ from 0. It lives on the host: what is
            computed never depends on reading the device. An operation outside it costs nothing and is not trained.
        edge_weights: cell type -> the weight of every edge in its node's sum [edges]; None, the rule, is 1 for all.
            Only the cells of PC-DARTS take it.
    """

    values: Mapping[str, Tensor]
    active: Mapping[str, ActiveOperations]
    edge_weights: Mapping[str, Tensor] | None = None

    def for_cell(self, cell_type: str) -> tuple[Any, ...]:
        """The arguments of a cell of this type: its values and active operations, its edge weights if any."""
        edges = () if self.edge_weights is None else (self.edge_weights[cell_type],)
        return self.values[cell_type], self.active[cell_type], *edges

    def tensors(self) -> tuple[Tensor, ...]:
        """The values of every cell type, then the edge weights if there are any: all that the logits depend on smoothly."""
        return (*self.values.values(), *(self.edge_weights or {}).values())

    def with_tensors(self, tensors: Sequence[Tensor]) -> MixingWeights:
        """The same with other numbers, in the order of :meth:`tensors`."""
        values = dict(zip(self.values, tensors, strict=False))
        edges = self.edge_weights and dict(zip(self.edge_weights, tensors[len(values) :], strict=True))
        return replace(self, values=values, edge_weights=edges)

    def overall(self) -> Mapping[str, Tensor]:
        """Cell type -> the weight of every operation in its node's sum: what operations of different edges compare by."""
        if self.edge_weights is None:
            return self.values
        return {name: values * self.edge_weights[name][:, None] for name, values in self.values.items()}

    def computed(self) -> MixingWeights:
        """The same weights, of which only operations with a weight other than exactly 0 are computed, as in the original.

        The others are not trained, and their weights have no gradient. This reads the device once per cell type.
        """
        active = {
            name: tuple(
                tuple(operation for operation in operations if row[operation] != 0.0)
                for operations, row in zip(self.active[name], values.tolist(), strict=True)
            )
            for name, values in self.values.items()
        }
        return replace(self, active=active)

    def without_operation(self, cell_type: str, edge: int, operation: int) -> MixingWeights:
        """The same weights with one operation removed: its weight is 0 and the others are not renormalised."""
        return self._without(cell_type, edge, range(operation, operation + 1))

    def without_edge(self, cell_type: str, edge: int) -> MixingWeights:
        """The same weights with a whole edge removed."""
        return self._without(cell_type, edge, range(self.values[cell_type].shape[1]))

    def _without(self, cell_type: str, edge: int, removed: range) -> MixingWeights:
        values = self.values[cell_type].clone()
        values[edge, removed.start : removed.stop].zero_()  # A list would make a GPU wait.
        active = list(self.active[cell_type])
        active[edge] = tuple(operation for operation in active[edge] if operation not in removed)
        return replace(
            self, values={**self.values, cell_type: values}, active={**self.active, cell_type: tuple(active)}
        )


def fixed_by(decisions: Decisions, cell_types: tuple[CellType, ...], values: Mapping[str, Tensor]) -> MixingWeights:
    """Any mixing weights (softmax, perturbed, sampled …) with the decided rows put in their place.

    The row of a decided edge is one-hot, that of a dropped edge is zero. Differentiable by `values`; decided rows have
    gradient 0, as in the original.
    """
    fixed: dict[str, Tensor] = {}
    active: dict[str, ActiveOperations] = {}
    for cell in cell_types:
        rows = values[cell.name]
        operations = [tuple(range(len(names))) for names in cell.operations]
        chosen = {**decisions.operations.get(cell.name, {}), **dict.fromkeys(decisions.dropped_edges(cell), None)}
        if chosen:
            for edge, operation in chosen.items():
                operations[edge] = () if operation is None else (operation,)
            is_fixed, one_hot = _fixed_rows(tuple(chosen.items()), rows.shape, rows.dtype, rows.device)
            rows = torch.where(is_fixed, one_hot, rows)
        fixed[cell.name] = rows
        active[cell.name] = tuple(operations)
    return MixingWeights(fixed, active)


@lru_cache(maxsize=64)
def _fixed_rows(
    chosen: tuple[tuple[int, int | None], ...], shape: torch.Size, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Which edges are fixed [edges, 1], and their rows; cached, or a GPU would wait for them in every step. An operation
    None drops its edge."""
    with torch.inference_mode(False):
        is_fixed, one_hot = torch.zeros(shape[0], 1, dtype=torch.bool), torch.zeros(shape, dtype=dtype)
        for edge, operation in chosen:
            is_fixed[edge] = True
            if operation is not None:
                one_hot[edge, operation] = 1.0
        return is_fixed.to(device), one_hot.to(device)


def initial_alpha(
    cell_types: tuple[CellType, ...],
    generator: torch.Generator,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Alpha:
    """Alpha as the original draws it: 1e-3 · N(0, 1), one leaf tensor [edges, operations] per cell type."""
    return {
        cell.name: (1e-3 * torch.randn(len(cell.edges), len(cell.operations[0]), generator=generator))
        .to(device, dtype)
        .requires_grad_()
        for cell in cell_types
    }


def direct(
    name: str, function: Callable[..., tuple[Any, ...]], inputs: Sequence[Tensor], mixing: MixingWeights
) -> tuple[Any, ...]:
    """A pass through a supernet: what `function` gives for `inputs` and the tensors of `mixing`.

    Args:
        name: which pass it is; the same name, shapes and active operations stand for the same computation.
    """
    return function(*inputs, *mixing.tensors())


class Supernet(nn.Module):
    """A network that holds every candidate operation of every edge.

    A search space derives from this class; it says which cell types there are and computes the logits.

    Attributes:
        precision: of the forward pass; the logits have the images' type in any.
        run_pass: how the passes of training and scoring are run; :class:`darts_pt.kernels.passes.Replayed` is another way.
    """

    cell_types: tuple[CellType, ...]
    precision: Precision = "torch"
    run_pass: Callable[..., tuple[Any, ...]] = staticmethod(direct)

    def __call__(self, images: Tensor, mixing: MixingWeights) -> Tensor:
        """:meth:`forward` in the supernet's precision."""
        with autocast(images.device, self.precision):
            logits = super().__call__(images, mixing)
        return logits.to(images.dtype)

    def train(self, mode: bool = True) -> Supernet:
        # Every step calls this, and going through the modules takes as long as a cell.
        return self if mode == self.training else super().train(mode)

    def forward(self, images: Tensor, mixing: MixingWeights) -> Tensor:
        """Class logits [batch, classes] of normalised images [batch, 3, height, width]."""
        raise NotImplementedError

    def weights(self) -> list[nn.Parameter]:
        """The parameters that training steps: not those that are frozen."""
        return [weight for weight in self.parameters() if weight.requires_grad]

    def loss(self, outputs: Any, targets: Any) -> Tensor:
        """The mean loss of a batch, which weights and alpha minimise."""
        return F.cross_entropy(outputs, targets)

    def correct(self, outputs: Any, targets: Any) -> Tensor:
        """The number of correct predictions in a batch; NaN where predictions are neither right nor wrong."""
        return (outputs.argmax(dim=1) == targets).sum()

    def size(self, targets: Any) -> int:
        """The number of samples in a batch."""
        return len(targets)

    def generators(self) -> tuple[torch.Generator, ...]:
        """Where :meth:`forward` draws random numbers from."""
        return ()

    def skip(self, images: Tensor, mixing: MixingWeights) -> None:
        """Use up the random numbers that :meth:`forward` would draw: another process computes it."""

    def genotype(self, mixing: MixingWeights) -> Any:
        """The architecture that these mixing weights stand for; `str` of it is what users know it by."""
        raise NotImplementedError
