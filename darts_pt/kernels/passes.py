"""Passes through a supernet: run directly or, on a GPU, replayed from CUDA graphs.

A step at the paper's size is thousands of small kernels, whose launches take a GPU's host longer than the GPU takes to
compute them. A graph launches them all at once. What is recorded are forward and backward passes as functions of their
batch and mixing weights; optimisers, guards and whatever decides on the host stay outside, so every search method whose
steps compute the same operations again and again can use it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from darts_pt.run.errors import ArgumentError
from darts_pt.supernet import MixingWeights, Supernet

Outputs = tuple[Tensor | None, ...]
Pass = Callable[..., Outputs]
"""A function of a batch's and the mixing weights' tensors that computes the same operations in every call. It may read and
move the supernet's parameters, gradients and running statistics."""

DIRECT_RUNS = 3
"""Eager runs of a pass before it is recorded: libraries choose and allocate at first, and a rare pass, such as that of an
epoch's last batch, is not worth a recording."""

MOST_RECORDINGS = 16
"""Passes that are remembered. Each candidate of a selection has its own while it is scored."""


class Recording(NamedTuple):
    """A pass that can be run again on what its inputs hold then; it leaves its results in its outputs."""

    inputs: tuple[Tensor, ...]
    outputs: Outputs
    replay: Callable[[], Any]


class Replayed:
    """Runs passes as :func:`darts_pt.supernet.direct` does, and replays those that repeat.

    Outputs are valid until the next pass. It has not been run on a GPU yet: the tests replay by other means.

    Args:
        record: records a pass on given inputs without running it; by default as a CUDA graph.
    """

    def __init__(
        self, supernet: Supernet, record: Callable[[Pass, tuple[Tensor, ...]], Recording] | None = None
    ) -> None:
        self._supernet = supernet
        self._norm = next(module for module in supernet.modules() if isinstance(module, nn.BatchNorm2d))
        self._record = record or GraphRecorder(supernet)
        self._met: OrderedDict[Any, int | Recording] = OrderedDict()

    def __call__(self, name: str, function: Pass, inputs: Sequence[Tensor], mixing: MixingWeights) -> Outputs:
        tensors = (*inputs, *mixing.tensors())
        key = self._key(name, tensors, mixing)
        met = self._met.pop(key, 0)
        if isinstance(met, int) and met == DIRECT_RUNS:
            met = self._record(function, tuple(tensor.detach().clone() for tensor in tensors))
        self._met[key] = met if isinstance(met, Recording) else met + 1
        if len(self._met) > MOST_RECORDINGS:
            self._met.popitem(last=False)
        if not isinstance(met, Recording):
            return function(*tensors)
        with torch.no_grad():
            for held, tensor in zip(met.inputs, tensors, strict=True):
                held.copy_(tensor)
        met.replay()
        return met.outputs

    def _key(self, name: str, tensors: Sequence[Tensor], mixing: MixingWeights) -> Any:
        """Everything that decides which operations a pass consists of."""
        mode = (self._supernet.training, self._norm.momentum == 0.0)
        return name, mode, tuple(mixing.active.items()), tuple((tensor.shape, tensor.dtype) for tensor in tensors)


class GraphRecorder:
    """Records passes as CUDA graphs, all in one pool of memory: only the last pass's outputs are ever wanted."""

    def __init__(self, supernet: Supernet) -> None:
        self._supernet = supernet
        self._stream = torch.cuda.Stream()
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, function: Pass, inputs: tuple[Tensor, ...]) -> Recording:
        graph = torch.cuda.CUDAGraph()
        for generator in self._supernet.generators():
            graph.register_generator_state(generator)
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
            outputs = function(*inputs)
        return Recording(inputs, outputs, graph.replay)


def replayed(supernet: Supernet, device: torch.device, unrecordable: str = "") -> Replayed:
    """A way to run passes that replays them from CUDA graphs.

    Args:
        unrecordable: why the search method's passes cannot be replayed, if they cannot.

    Raises:
        ArgumentError: they cannot, or there is no GPU.
    """
    if device.type != "cuda":
        raise ArgumentError("cuda_graph", "needs a GPU and this run computes on the CPU: leave it out")
    if unrecordable:
        raise ArgumentError("cuda_graph", f"{unrecordable}, so there is nothing to replay: leave it out")
    return Replayed(supernet)
