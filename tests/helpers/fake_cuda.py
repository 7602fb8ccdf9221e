"""A GPU where there is none: CUDA tensors that have shapes, types and devices but no numbers, and a watch over them.

torch's FakeTensorMode computes forward passes on them without a driver. Its autograd engine needs one, so the backward
pass is walked here: the same nodes with the same formulas, one after the other, and a check that every gradient has the
device, type and shape of what it is the gradient of.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import _lru_cache_wrapper
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.autograd.function import BackwardCFunction
from torch.autograd.graph import get_gradient_edge
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CAN_BE_FAKED = hasattr(torch.zeros(1, requires_grad=True).clone().grad_fn, "_input_metadata")
"""Whether this torch is new enough."""
CUDA = torch.device("cuda", 0)
ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("darts_pt", "nasbench201", "sota")

UNKNOWN_TO_FAKES = {"exponential_", "_sample_dirichlet", "_dirichlet_grad"}
"""Operators that torch cannot fake; their result is like their first argument."""
ASK_DEVICE = torch.ops.prim.device.default
COPIES = {"_to_copy", "copy_"}
"""Operators that may convert and may go from one device to the other."""


class Watch(TorchDispatchMode):
    """Notes what a GPU would refuse or be slow at. Operators are still computed.

    Attributes:
        waits: place in the project's code -> how often the host waited there: it read a number of the device, or copied
            between host and device.
        refused: operators, with their place, that got tensors of both devices, or a generator of the other one, or a
            batch norm's statistics narrower than its kernels write them.
        types: operator -> the floating types of its tensors on the device, inputs and outputs.
        converting: operators that got tensors of several floating types.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clear()

    def clear(self) -> None:
        self.waits: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.types: defaultdict[str, set[torch.dtype]] = defaultdict(set)
        self.converting: set[str] = set()

    def read(self, tensor: Tensor) -> float | int | bool:
        """A number in place of the one that nobody knows."""
        if device_of(tensor) == CUDA:
            self.waits[place()] += 1
        return True if tensor.dtype == torch.bool else 1.0 if tensor.is_floating_point() else 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is ASK_DEVICE:
            return device_of(args[0])
        name, kwargs = func._schema.name.removeprefix("aten::"), kwargs or {}
        if name == "_local_scalar_dense" and isinstance(args[0], FakeTensor):
            return self.read(args[0])
        outputs = args[0] if name in UNKNOWN_TO_FAKES else func(*args, **kwargs)
        leaves = tree_leaves((args, kwargs))
        inputs = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        found = [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor)]
        on_cuda, others = [], []
        for tensor in (*inputs, *found):
            (on_cuda if device_of(tensor) == CUDA else others).append(tensor)
        if name in COPIES:
            if on_cuda and others:
                self.waits[place()] += 1
        elif on_cuda and (any(map(Tensor.dim, others)) or _draws_on_the_cpu(leaves)):
            self.refused[f"{name} in {place()}"] += 1
        if name == "native_batch_norm" and on_cuda and found[1].dtype == torch.bfloat16:
            self.refused[f"statistics of {name} in {place()}"] += 1
        self.types[name] |= {tensor.dtype for tensor in on_cuda if tensor.is_floating_point()}
        own = {tensor.dtype for tensor in inputs if tensor.is_floating_point() and tensor.dim()}
        if name not in COPIES and len(own) > 1:
            self.converting.add(name)
        return outputs


def device_of(tensor: Tensor) -> torch.device:
    """Its device, without the operator by which a fake tensor says it: there are more of these than of all others."""
    return tensor.fake_device if isinstance(tensor, FakeTensor) else tensor.device


def _draws_on_the_cpu(arguments: list[Any]) -> bool:
    generators = [argument for argument in arguments if isinstance(argument, torch._C.Generator)]
    return any(generator.initial_seed() not in FakeGenerator.on_cuda for generator in generators)


def place() -> str:
    """module.function of the project that called into torch."""
    frame = sys._getframe(1)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if frame.f_code.co_name[0] != "<" and path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in PACKAGES:
            return ".".join([*path.relative_to(ROOT).with_suffix("").parts, frame.f_code.co_name])
        frame = frame.f_back  # type: ignore[assignment]
    return "outside the project"


class FakeGenerator(torch.Generator):
    """A generator that says it is on the device it was made for.

    Attributes:
        on_cuda: the seeds of those on the GPU: operators do not get this object itself, but know its seed.
    """

    on_cuda: ClassVar[set[int]] = set()

    def __new__(cls, device: torch.device | str = "cpu") -> FakeGenerator:
        made = super().__new__(cls)
        made._device = torch.device(device)
        return made

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return self._device

    def manual_seed(self, seed: int) -> FakeGenerator:
        (self.on_cuda.add if self._device.type == "cuda" else self.on_cuda.discard)(seed)
        super().manual_seed(seed)
        return self


# Backward passes -------------------------------------------------------------------------------------------------


def gradients(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor] | None = None,
    allow_unused: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """As torch.autograd.grad."""
    outputs, inputs = _tuple(outputs), _tuple(inputs)
    wanted = [get_gradient_edge(tensor) for tensor in inputs]
    roots = [get_gradient_edge(output) for output in outputs]
    order = _in_order([root.node for root in roots], {edge.node for edge in wanted})
    seeds = map(torch.ones_like, outputs) if grad_outputs is None else _tuple(grad_outputs)
    known: dict[Any, list[Tensor | None]] = {node: [None] * len(node._input_metadata) for node in order}

    def add(node: Any, number: int, gradient: Tensor | None) -> None:
        if node not in known or gradient is None:
            return
        expected = node._input_metadata[number]
        assert gradient.device == expected.device, f"{node.name()} gets a gradient on {gradient.device}"
        # What the engine does too: sum what was broadcast, and convert.
        gradient, before = gradient.sum_to_size(expected.shape).to(expected.dtype), known[node][number]
        known[node][number] = gradient if before is None else before + gradient

    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch._C, "_will_engine_execute_node", known.__contains__)
        for root, seed in zip(roots, seeds, strict=True):
            add(root.node, root.output_nr, seed)
        for node in order:
            if any(after in known for after, _ in node.next_functions) and any(
                part is not None for part in known[node]
            ):
                for (after, number), gradient in zip(node.next_functions, _called(node, known[node]), strict=True):
                    add(after, number, gradient)
    found = [known[edge.node][edge.output_nr] if edge.node in known else None for edge in wanted]
    assert allow_unused or materialize_grads or None not in found
    if materialize_grads:
        found = [torch.zeros_like(tensor) if part is None else part for tensor, part in zip(inputs, found, strict=True)]
    return tuple(found)


def _tuple(tensors: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    return (tensors,) if isinstance(tensors, Tensor) else tuple(tensors)


def _in_order(roots: Sequence[Any], wanted: set[Any]) -> list[Any]:
    """The nodes that lead from `roots` to `wanted`, each before those that follow it."""
    leads: dict[Any, bool] = {}
    ended: list[Any] = []
    stack = [(root, False) for root in roots]
    while stack:
        node, done = stack.pop()
        following = [after for after, _ in node.next_functions if after is not None]
        if done:
            leads[node] = node in wanted or any(leads[after] for after in following)
            ended.append(node)
        elif node not in leads:
            leads[node] = False
            stack += [(node, True), *((after, False) for after in following)]
    return [node for node in reversed(ended) if leads[node]]


def _called(node: Any, arriving: list[Tensor | None]) -> Sequence[Tensor | None]:
    """The gradients by a node's inputs that are tensors."""
    if not isinstance(node, BackwardCFunction):
        return _tuple(node(*arriving))
    found = _tuple(node.apply(*arriving))
    return [part for part, is_tensor in zip(found, node.takes_tensors, strict=True) if is_tensor]


def _apply(cls: Any, *arguments: Any) -> Any:
    """torch.autograd.Function.apply, which also notes which arguments are tensors."""
    outputs = super(torch.autograd.Function, cls).apply(*arguments)
    for output in tree_leaves(outputs):
        if output.grad_fn is not None:
            output.grad_fn.takes_tensors = [isinstance(argument, Tensor) for argument in arguments]
    return outputs


def _backward(loss: Tensor) -> None:
    """As Tensor.backward: adds to the gradient of every leaf."""
    nodes, seen = [loss.grad_fn], {}
    while nodes:
        node = nodes.pop()
        seen[node] = getattr(node, "variable", None)
        nodes += [after for after, _ in node.next_functions if after is not None and after not in seen]
    leaves = [leaf for leaf in seen.values() if leaf is not None]
    for leaf, gradient in zip(leaves, gradients(loss, leaves), strict=True):
        leaf.grad = gradient if leaf.grad is None else leaf.grad + gradient


# The whole ---------------------------------------------------------------------------------------------------------


@contextmanager
def walked() -> Iterator[None]:
    """Inside, backward passes are walked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.autograd, "grad", gradients)
        patch.setattr(torch.autograd.Function, "apply", classmethod(_apply), raising=False)
        patch.setattr(torch.Tensor, "backward", _backward)
        yield


@contextmanager
def fake_cuda() -> Iterator[Watch]:
    """Inside, tensors are fake and those on `CUDA` are watched."""
    with (
        pytest.MonkeyPatch.context() as patch,
        walked(),
        FakeTensorMode(allow_non_fake_inputs=True),
        Watch() as watch,
    ):
        patch.setattr(torch, "Generator", FakeGenerator)
        patch.setattr(FakeTensor, "tolist", lambda tensor: _nested(watch.read(tensor), tensor.shape))
        # Or autocast would be off.
        patch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)
        _forget()
        try:
            yield watch
        finally:
            _forget()


@contextmanager
def on_the_cpu() -> Iterator[None]:
    """Inside :func:`fake_cuda`: tensors are real."""
    with unset_fake_temporarily():
        yield


def _nested(value: Any, shape: Sequence[int]) -> Any:
    return [_nested(value, shape[1:]) for _ in range(shape[0])] if shape else value


def _forget() -> None:
    """Empty the caches of the project: fake tensors must not meet real ones there."""
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in PACKAGES:
            for value in vars(module).values():
                if isinstance(value, _lru_cache_wrapper):
                    value.cache_clear()
