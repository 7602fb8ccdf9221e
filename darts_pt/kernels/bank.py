"""Tensors that are used stacked are stored stacked.

A cell computes the same operation of many edges as one, with the edges' kernels and running statistics stacked. Were each
edge's tensor stored on its own, every pass would first copy them together and then copy the statistics back. A
:class:`Bank` keeps them one after another in one storage. Parameters and buffers stay what they are, with their own
names, gradients and optimiser state (an edge that is decided is no longer trained, its neighbours are); each is a view.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Run = tuple[int, int]
"""Neighbours in a bank: the place of the first, and how many they are."""


def merged(runs: Iterable[Run]) -> tuple[Run, ...]:
    """The same places in as few runs as possible."""
    result: list[Run] = []
    for begin, count in sorted(runs):
        if result and sum(result[-1]) == begin:
            result[-1] = result[-1][0], result[-1][1] + count
        else:
            result.append((begin, count))
    return tuple(result)


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
        self._place_of: dict[Run, tuple[int, int]] = {}
        self._part_of: dict[Run, Tensor] = {}
        self.store()

    def members(self) -> list[Tensor]:
        return [place[self._name] for place in self._places]  # type: ignore[misc]

    def store(self) -> None:
        """Move the tensors into one storage: at first, and when they were replaced (another device or type)."""
        members = self.members()
        with torch.inference_mode(False), torch.no_grad():
            self._and_zero = torch.cat([*(member.reshape(-1) for member in members), members[0].new_zeros(1)])
            self._flat = self._and_zero[:-1]
        for member, part in zip(members, self._flat.split(self.sizes), strict=True):
            member.data = part.view(member.shape)
        self._part_of.clear()
        self._storage = members[0].untyped_storage()._cdata

    def is_stored(self) -> bool:
        """Whether the tensors are still where :meth:`store` put them; `torch.func.functional_call` lends others."""
        return self._places[0][self._name].untyped_storage()._cdata == self._storage  # type: ignore[union-attr]

    def flat(self) -> Tensor:
        """All tensors in one dimension, without a copy and without gradient."""
        return self._flat if self.is_stored() else torch.cat([member.detach().reshape(-1) for member in self.members()])

    def gathered(self, places: Tensor) -> Tensor:
        """A copy of the elements at these places of :meth:`flat`; the place behind the last one holds 0. No gradient."""
        flat = self.flat()
        whole = self._and_zero if flat is self._flat else torch.cat([flat, flat.new_zeros(1)])
        return whole.index_select(0, places)

    def parts(self, runs: Sequence[Run]) -> tuple[Tensor, ...]:
        """The neighbours of every run as one flat tensor, through which gradients reach them.

        Tensors outside the runs get no gradient, not even zeros.
        """
        flat = self.flat()
        parts = tuple(self.part(flat, run) for run in runs)
        if not torch.is_grad_enabled():
            return parts
        members = self.members()
        named = [members[begin : begin + count] for begin, count in runs]
        shapes = [[member.shape for member in run] for run in named]
        return _Parts.apply(shapes, *parts, *(member for run in named for member in run))  # type: ignore[return-value]

    def part(self, flat: Tensor, run: Run) -> Tensor:
        """A run of :meth:`flat`'s result, without gradient; the views of the storage are made once."""
        if flat is not self._flat:
            return flat.narrow(0, *self._place(run))
        if run not in self._part_of:
            self._part_of[run] = flat.narrow(0, *self._place(run))
        return self._part_of[run]

    def _place(self, run: Run) -> tuple[int, int]:
        """Where a run begins in :meth:`flat`, and its length."""
        if run not in self._place_of:
            begin, count = run
            self._place_of[run] = sum(self.sizes[:begin]), sum(self.sizes[begin : begin + count])
        return self._place_of[run]

    @torch.no_grad()
    def take_back(self, flat: Tensor) -> None:
        """Copy what changed in :meth:`flat`'s result into the tensors, if it was a copy."""
        if flat is not self._flat:
            for member, part in zip(self.members(), flat.split(self.sizes), strict=True):
                member.copy_(part.view(member.shape))


class Statistics(NamedTuple):
    """How stacked batch norms normalise.

    Attributes:
        mean, variance: the running statistics of all in one dimension; None leaves them alone.
        counters: the calls of each; None leaves them alone.
        banks: of which `mean` and `variance` are the tensors.
    """

    mean: Tensor | None
    variance: Tensor | None
    counters: Tensor | None
    training: bool
    momentum: float
    eps: float
    banks: Sequence[Bank] = ()

    def normalise(self, maps: Tensor, scale: Tensor | None, run: Run) -> Tensor:
        """The batch norms of a run, times `scale` [count · C]; where gradients are off they may overwrite `maps`.

        Args:
            maps: [batch, count · C, H, W].
        """
        if torch.is_grad_enabled():
            return F.batch_norm(maps, *self.running(run), scale, None, *self[3:6])
        running = self.running(run)
        # The statistics of the batch, which nobody asks for, have the type of these; on a GPU never less than float32.
        like = scale if scale is not None else maps if running[0] is None else running[0]
        dtype = torch.promote_types(like.dtype, torch.float32) if maps.device.type == "cuda" else like.dtype
        unused = like.new_empty(0, dtype=dtype), like.new_empty(0, dtype=dtype)
        return torch.native_batch_norm(maps, scale, None, *running, *self[3:6], out=(maps, *unused))[0]  # type: ignore[call-overload]

    def normalise_once(self, maps: Tensor, run: Run) -> Tensor:
        """In train mode: the one output [batch, C, H, W] that all batch norms of a run have for the same input."""
        if self.mean is None or self.variance is None:
            return F.batch_norm(maps, None, None, training=True, eps=self.eps)
        channels = maps.shape[1]
        # With momentum 1 the running statistics become those of the batch.
        found = self.mean.new_zeros(2, channels)
        output = F.batch_norm(maps, found[0], found[1], training=True, momentum=1.0, eps=self.eps)
        for running, of_batch in zip(self.running(run), found, strict=True):
            running.view(-1, channels).lerp_(of_batch, self.momentum)  # type: ignore[union-attr]
        return output

    def running(self, run: Run) -> tuple[Tensor | None, Tensor | None]:
        """Running mean and variance of a run."""
        if self.mean is None or self.variance is None:
            return None, None
        means, variances = self.banks
        # .data: autograd sees each run as a tensor of its own, though others of the same storage move.
        return means.part(self.mean, run).data, variances.part(self.variance, run).data


class NormBank:
    """Batch norms that are not affine and all in one mode, with their running statistics and counters stacked."""

    def __init__(self, norms: Sequence[nn.BatchNorm2d]) -> None:
        self._norm = norms[0]
        self._banks = [Bank(norms, name) for name in ("running_mean", "running_var", "num_batches_tracked")]

    def store(self) -> None:
        for bank in self._banks:
            bank.store()

    def statistics(self) -> Statistics:
        norm = self._norm
        momentum = norm.momentum or 0.0
        if norm.training and momentum == 0.0:
            return Statistics(None, None, None, True, 0.0, norm.eps)
        mean, variance, counters = (bank.flat() for bank in self._banks)
        return Statistics(mean, variance, counters, norm.training, momentum, norm.eps, self._banks[:2])

    def called(self, statistics: Statistics, runs: Sequence[Run]) -> None:
        """After a forward pass in which the batch norms of these runs normalised by :meth:`statistics`."""
        if not statistics.training or statistics.counters is None:
            return
        for begin, count in runs:
            statistics.counters[begin : begin + count].add_(1)
        for bank, moved in zip(self._banks, statistics[:3], strict=True):
            if moved is not None:
                bank.take_back(moved)


class _Parts(torch.autograd.Function):
    """For every run one gradient comes in; every tensor gets its part of it, as a view."""

    @staticmethod
    def forward(ctx: Any, shapes: list[list[torch.Size]], *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.shapes = shapes
        ctx.set_materialize_grads(False)
        return tuple(part.view_as(part) for part in tensors[: len(shapes)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        found: list[Tensor | None] = []
        for gradient, shapes in zip(gradients, ctx.shapes, strict=True):
            if gradient is None:
                found += [None] * len(shapes)
                continue
            if shapes.count(shapes[0]) == len(shapes):
                found += gradient.view(len(shapes), *shapes[0]).unbind()
                continue
            parts = gradient.split([shape.numel() for shape in shapes])
            found += [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]
        return None, *(None for _ in gradients), *found


def is_wanted(ctx: Any, position: int) -> bool:
    """In a backward pass: whether the gradient by an input is asked for. It must not be a leaf.

    Args:
        position: of the input among the inputs that are tensors.
    """
    # ctx.needs_input_grad only says whether it could be: alpha's step wants no gradient by weights.
    node = ctx.next_functions[position][0]
    return node is not None and torch._C._will_engine_execute_node(node)
