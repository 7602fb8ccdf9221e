"""The network that a result stands for: a model with nothing but what is kept."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from darts_pt.library.mixed import MixedInputs, MixedOperation, part_through
from darts_pt.library.result import Result
from darts_pt.library.supernet import named_choices


class KeptInputs(nn.Module):
    """The sum of edges[i](inputs[kept[i]]): what is left of a MixedInputs.

    Args:
        kept: the places of the inputs; the others are ignored.
    """

    def __init__(self, edges: Sequence[nn.Module], kept: Sequence[int]) -> None:
        super().__init__()
        self.edges = nn.ModuleList(edges)
        self.kept = tuple(kept)

    def forward(self, *inputs: Any) -> Tensor:
        terms = [edge(inputs[place]) for edge, place in zip(self.edges, self.kept, strict=True)]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total

    def extra_repr(self) -> str:
        return f"kept={self.kept}"


class PartialChannels(nn.Module):
    """The kept operation of a MixedOperation with `partial_channels`, through which one in that many channels passes."""

    def __init__(self, operation: nn.Module, partial_channels: int) -> None:
        super().__init__()
        self.operation, self.partial_channels = operation, partial_channels

    def forward(self, x: Tensor) -> Tensor:
        return part_through(self.operation, x, self.partial_channels)


def derive(model: nn.Module, result: Result) -> nn.Module:
    """A copy of `model` in which every choice is replaced by what `result` keeps, with the supernet's trained weights.

    It is an ordinary module, without anything of the search: it can be trained, saved and exported. `model` stays as it is,
    and dropped candidates are not even copied. In-place activations become ordinary ones: after a candidate that returns
    its input they would change it for others.

    Raises:
        ValueError: the result is of another model: it lacks a choice, or keeps what the model does not have.
    """
    if not isinstance(result, Result):
        raise TypeError(f"derive: expected the Result of a search or a selection, got a {type(result).__name__}")
    choices = named_choices(model)
    dropped = _dropped(choices, result)
    # Deepcopy asks its memo before it copies: a choice that has an answer there is never copied.
    memo: dict[int, Any] = {}
    for name, choice in reversed(choices):  # What is inside others comes first.
        if isinstance(choice, MixedInputs):
            kept = result.inputs.get(name, tuple(range(len(choice.edges))))
            memo[id(choice)] = KeptInputs([memo[id(choice.edges[place])] for place in kept], kept)
        elif id(choice) not in dropped:
            kept = copy.deepcopy(choice.candidates[_kept(name, choice, result)], memo)
            partial = choice.partial_channels
            memo[id(choice)] = kept if partial == 1 else PartialChannels(kept, partial)
    derived = copy.deepcopy(model, memo)
    for mark in ("searched", "tuned"):
        derived.__dict__.pop(mark, None)
    for module in derived.modules():
        if getattr(module, "inplace", False) is True:
            module.inplace = False  # type: ignore[assignment]
    return derived


def _dropped(choices: list[tuple[str, MixedOperation | MixedInputs]], result: Result) -> set[int]:
    """The edges of the inputs that are not kept."""
    found = set()
    for name, node in choices:
        if not isinstance(node, MixedInputs):
            continue
        kept = result.inputs.get(name)
        if kept is None and node.keep < len(node.edges):
            raise ValueError(f"derive: the result does not say which inputs {name!r} keeps: it is of another model")
        if kept is not None and (len(kept) != node.keep or not set(kept) <= set(range(len(node.edges)))):
            raise ValueError(f"derive: the result keeps inputs {list(kept)} of {name!r}, which has {len(node.edges)}")
        found |= {id(edge) for place, edge in enumerate(node.edges) if kept is not None and place not in kept}
    return found


def _kept(name: str, choice: MixedOperation, result: Result) -> str:
    if len(choice.operations) == 1:
        return choice.operations[0]
    if name not in result.decisions:
        raise ValueError(f"derive: the result does not decide {name!r}: it is of another model")
    kept = result.decisions[name]
    if kept not in choice.operations:
        raise ValueError(
            f"derive: the result keeps {kept!r} for {name!r}, which chooses between {', '.join(choice.operations)}"
        )
    return kept
