"""Tensors that are used stacked are stored stacked.

A cell computes the same operation of many edges as one, with the edges' kernels and running statistics stacked. Were each
edge's tensor stored on its own, every pass would first copy them together and then copy the statistics back. A
:class:`Bank` keeps them one after another in one storage. Parameters and buffers stay what they are, with their own
names, gradients and optimiser state (an edge that is decided is no longer trained, its neighbours are); each is a view.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Bank:
    """The tensors called `name` of several modules, one after another in one storage.

    Args:
        modules: in the order in which their tensors are stacked.
        name: of a parameter or buffer that each of them has.
    """

    def __init__(self, modules: Sequence[nn.Module], name: str) -> None:
        parameters = name in modules[0]._parameters
        self._places = [module._parameters if parameters else module._buffers for module in modules]
        self._name = name
        self.sizes = [tensor.numel() for tensor in self.members()]
        self.store()

    def members(self) -> list[Tensor]:
        return [place[self._name] for place in self._places]  # type: ignore[misc]

    def store(self) -> None:
        """Move the tensors into one storage: at first, and when they were replaced (another device or type)."""
        members = self.members()
        self._flat = torch.cat([member.detach().reshape(-1) for member in members])
        for member, part in zip(members, self._flat.split(self.sizes), strict=True):
            member.data = part.view(member.shape)
        self._storage = members[0].untyped_storage()._cdata

    def is_stored(self) -> bool:
        """Whether the tensors are still where :meth:`store` put them; `torch.func.functional_call` lends others."""
        return self._places[0][self._name].untyped_storage()._cdata == self._storage  # type: ignore[union-attr]

    def flat(self) -> Tensor:
        """All tensors in one dimension, without a copy and without gradient."""
        return self._flat if self.is_stored() else torch.cat([member.detach().reshape(-1) for member in self.members()])

    def trained(self, places: Sequence[int]) -> Tensor:
        """The same, through which gradients reach the tensors at `places`; the others get none, not even zeros."""
        flat = self.flat()
        if not torch.is_grad_enabled():
            return flat
        members = self.members()
        return _Flat.apply(flat, tuple(self.sizes), tuple(places), *(members[place] for place in places))  # type: ignore[return-value]

    def take_back(self, flat: Tensor) -> None:
        """Copy what changed in :meth:`flat`'s result into the tensors, if it was a copy."""
        if flat is not self._flat:
            for member, part in zip(self.members(), flat.split(self.sizes), strict=True):
                member.copy_(part.view(member.shape))


class _Flat(torch.autograd.Function):
    """One gradient comes in; every tensor gets its part of it, as a view."""

    @staticmethod
    def forward(ctx: Any, flat: Tensor, sizes: tuple[int, ...], places: tuple[int, ...], *members: Tensor) -> Tensor:
        ctx.sizes, ctx.places, ctx.shapes = sizes, places, [member.shape for member in members]
        return flat.view_as(flat)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        parts = gradient.split(ctx.sizes)
        return (
            None,
            None,
            None,
            *(parts[place].view(shape) for place, shape in zip(ctx.places, ctx.shapes, strict=True)),
        )


def is_wanted(ctx: Any, position: int) -> bool:
    """In a backward pass: whether the gradient by the input at `position`, which must not be a leaf, is asked for.

    `ctx.needs_input_grad` says only whether it could be: alpha's step wants no gradient by weights.
    """
    node = ctx.next_functions[position][0]
    return node is not None and torch._C._will_engine_execute_node(node)
