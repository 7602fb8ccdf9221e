"""The two choices that a network can hold: between operations, and between the inputs of a sum."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darts_pt.kernels.mixed import shuffled

USUAL_CELL = "cell"


class MixedOperation(nn.Module):
    """A choice between candidate operations: the sum of their outputs, weighted by the mixing weights (paper, section 3).

    It may stand anywhere in a network, any number of times. Its arguments go to every candidate; every candidate returns
    one tensor, all of the same shape, and leaves its arguments as they are (no `inplace=True` at its beginning).

    Outside a search or a selection the mixing weights are those that the last one left; before any they are equal.

    Args:
        candidates: name -> module, at least two. A candidate named `none` counts as in the paper: magnitude never keeps it
            on an edge of :class:`MixedInputs`, and SGAS does not count it.
        name: instances with the same name in the same `cell` share one alpha, and so one decision; they need the same
            candidates' names in the same order. By default the alpha is its own, under the module's qualified name.
        cell: the choices of one cell are decided one after the other; those of different cells at the same events.
        partial_channels: for PC-DARTS. The candidates are made for one in that many of the channels [batch, channels, …] of
            their one input; the others go around them (max-pooled, if the candidates have a stride), and all are shuffled.

    Attributes:
        candidates, operations: the modules by name, and the names.
        qualified: the module's name in its network, once that is known.
        weights: the mixing weight of every candidate.
        active: the indices of the candidates that are computed.
        edge_weight: of the whole output in its node's sum (PC-DARTS); None is 1.
    """

    candidates: nn.ModuleDict
    operations: tuple[str, ...]
    name: str | None
    cell: str
    qualified: str
    weights: Sequence[Any]
    active: tuple[int, ...]
    partial_channels: int
    edge_weight: Any

    def __init__(
        self,
        candidates: Mapping[str, nn.Module],
        name: str | None = None,
        cell: str = USUAL_CELL,
        partial_channels: int = 1,
    ) -> None:
        super().__init__()
        if not isinstance(candidates, Mapping):
            raise TypeError(f"MixedOperation: expected a dict of modules by name, got a {type(candidates).__name__}")
        if len(candidates) < 2:
            raise ValueError(f"MixedOperation: expected at least two candidates to choose from, got {len(candidates)}")
        if not isinstance(partial_channels, int) or partial_channels < 1:
            raise ValueError(f"MixedOperation: partial_channels: expected 1 or more, got {partial_channels!r}")
        _set_up(self, candidates, name, cell, partial_channels)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """The weighted sum of the active candidates' outputs, of their shape.

        Raises:
            ValueError: the outputs have different shapes, or the channels cannot be shared out.
            TypeError: an output is not a tensor.
        """
        if self.partial_channels == 1:
            output = self._mixed(*args, **kwargs)
        elif len(args) != 1 or kwargs or not isinstance(args[0], Tensor) or args[0].dim() < 2:
            raise TypeError(f"{self.title}: with partial_channels it takes one tensor [batch, channels, …]")
        elif args[0].shape[1] % self.partial_channels:
            raise ValueError(
                f"{self.title}: expected a multiple of partial_channels={self.partial_channels} channels, got "
                f"{args[0].shape[1]}"
            )
        else:
            output = part_through(self._mixed, args[0], self.partial_channels)
        return output if self.edge_weight is None else output * self.edge_weight

    def _mixed(self, *args: Any, **kwargs: Any) -> Tensor:
        modules: Any = self.candidates._modules  # ModuleDict's own look-up costs more.
        total, shape = None, ()
        for index in self.active:
            output = modules[self.operations[index]](*args, **kwargs)
            if not isinstance(output, Tensor):
                raise TypeError(
                    f"{self.title}: candidate {self.operations[index]!r} returns a {type(output).__name__}, expected one "
                    "tensor"
                )
            term = output * self.weights[index]
            if total is None:
                total, shape = term, output.shape
            elif output.shape != shape:
                raise ValueError(
                    f"{self.title}: candidates must return one shape, but {self.operations[self.active[0]]!r} returns "
                    f"{tuple(shape)} and {self.operations[index]!r} {tuple(output.shape)}"
                )
            else:
                total = total + term
        if total is not None:
            return total
        # Nothing is left: zeros, of the shape that the first candidate says.
        return 0.0 * modules[self.operations[0]](*args, **kwargs)

    @property
    def title(self) -> str:
        """The module in messages, with its qualified name once the network is known."""
        known = self.qualified or self.name
        return f"{known} (MixedOperation)" if known else "MixedOperation"

    def extra_repr(self) -> str:
        return _shown(self.name, self.cell, self.partial_channels)


def part_through(operation: Callable[[Tensor], Tensor], x: Tensor, one_in: int) -> Tensor:
    """Pass the first of `one_in` parts of the channels through `operation`, the others around it, and shuffle them.

    Where the operation has a stride, the others are max-pooled, as in PC-DARTS.
    """
    size = x.shape[1] // one_in
    through, around = operation(x[:, :size]), x[:, size:]
    if through.shape[2:] != around.shape[2:] and x.dim() == 4:
        stride = -(-x.shape[2] // through.shape[2])
        around = F.max_pool2d(around, stride, ceil_mode=True)
    return shuffled(torch.cat([through, around], dim=1), one_in)


def _set_up(
    mixed: MixedOperation, candidates: Mapping[str, nn.Module], name: str | None, cell: str, partial_channels: int = 1
) -> None:
    for key, module in candidates.items():
        if not isinstance(key, str) or not isinstance(module, nn.Module):
            raise TypeError(
                f"MixedOperation: candidate {key!r} is a {type(module).__name__}, expected an nn.Module by name"
            )
    _check_text("MixedOperation", name, cell)
    try:
        mixed.candidates = nn.ModuleDict(dict(candidates))
    except KeyError as error:
        raise ValueError(f"MixedOperation: a candidate cannot have this name: {error.args[0]}") from None
    mixed.operations = tuple(candidates)
    mixed.name, mixed.cell, mixed.qualified = name, cell, ""
    mixed.partial_channels, mixed.edge_weight = partial_channels, None
    mixed.weights, mixed.active = [1.0 / len(candidates)] * len(candidates), tuple(range(len(candidates)))


class _Edge(MixedOperation):
    """An edge with one operation: only whether its input is kept is a choice."""

    def __init__(self, module: nn.Module, cell: str) -> None:
        nn.Module.__init__(self)
        _set_up(self, {"edge": module}, None, cell)


class MixedInputs(nn.Module):
    """A node that keeps `keep` of its incoming edges: the sum of edges[i](inputs[i]) (paper, section 4.1, topology events).

    Args:
        edges: one per input: a :class:`MixedOperation`, whose alpha is its own or, if the node has a name, shared with the
            edge at that place in all nodes of that name; or any other module, if all are: then only the inputs are chosen.
            All have the same number of candidates.
        keep: how many edges stay; 1 to the number of edges.
        name: nodes with the same name in the same `cell` decide together. By default a node decides for itself.
        cell: as for :class:`MixedOperation`; it holds for the node's edges too.
    """

    edges: nn.ModuleList
    keep: int
    name: str | None
    cell: str
    qualified: str

    def __init__(self, edges: Sequence[nn.Module], keep: int, name: str | None = None, cell: str = USUAL_CELL) -> None:
        super().__init__()
        edges = list(edges)
        for place, edge in enumerate(edges):
            if not isinstance(edge, nn.Module):
                raise TypeError(f"MixedInputs: edge {place} is a {type(edge).__name__}, expected an nn.Module")
        if not isinstance(keep, int) or not 1 <= keep <= len(edges):
            raise ValueError(f"MixedInputs: keep: expected 1 to {len(edges)}, the number of edges, got {keep}")
        _check_text("MixedInputs", name, cell)
        self.edges = nn.ModuleList(edge if isinstance(edge, MixedOperation) else _Edge(edge, cell) for edge in edges)
        counts = {len(edge.operations) for edge in self.edges}  # type: ignore[arg-type]
        if len(counts) > 1:
            raise ValueError(f"MixedInputs: all edges must have as many candidates as each other, got {sorted(counts)}")
        self.keep, self.name, self.cell, self.qualified = keep, name, cell, ""

    def forward(self, *inputs: Any) -> Tensor:
        """The sum over the edges that are computed.

        Raises:
            ValueError: there are not as many inputs as edges, or the edges' outputs have different shapes.
        """
        if len(inputs) != len(self.edges):
            raise ValueError(f"{self.title}: expected {len(self.edges)} inputs, one per edge, got {len(inputs)}")
        total = None
        for place, (edge, value) in enumerate(zip(self.edges, inputs, strict=True)):
            if not edge.active:
                continue
            output = edge(value)
            if total is not None and output.shape != total.shape:
                raise ValueError(
                    f"{self.title}: edges must return one shape, but edge {place} returns {tuple(output.shape)} and those "
                    f"before it {tuple(total.shape)}"
                )
            total = output if total is None else total + output
        return self.edges[0](inputs[0]) if total is None else total

    @property
    def title(self) -> str:
        """The module in messages, with its qualified name once the network is known."""
        known = self.qualified or self.name
        return f"{known} (MixedInputs)" if known else "MixedInputs"

    def extra_repr(self) -> str:
        return f"keep={self.keep}, {_shown(self.name, self.cell)}".removesuffix(", ")


def _check_text(kind: str, name: Any, cell: Any) -> None:
    if not (name is None or (isinstance(name, str) and name)) or not (isinstance(cell, str) and cell):
        raise TypeError(f"{kind}: expected name and cell to be text that is not empty, got {name!r} and {cell!r}")


def _shown(name: str | None, cell: str, partial_channels: int = 1) -> str:
    parts = {"name": name, "cell": cell, "partial_channels": partial_channels}
    usual = (None, USUAL_CELL, 1)
    return ", ".join(
        f"{key}={value!r}" for (key, value), rule in zip(parts.items(), usual, strict=True) if value != rule
    )
