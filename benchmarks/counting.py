"""Counting what a call asks of a machine: kernels, and the bytes that they read and write.

Both are exact, whatever else the machine does. On a GPU a step of small kernels takes as long as their launches, one of
large kernels as long as their bytes; a CPU is not far from that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

NOT_KERNELS = {
    "detach", "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_unsafe_view",
    "_local_scalar_dense", "_record_function_enter_new", "_record_function_exit",
}  # fmt: skip
"""Operators that compute nothing, besides those that return a view."""


class Count(NamedTuple):
    """Operators called that are neither views nor metadata, and the bytes of all tensors that they read and write."""

    kernels: int
    bytes: int


def count(action: Callable[[], object]) -> Count:
    """Count a call's kernels. Several tensors stepped by one operator (`_foreach_…`) count as one."""
    with _Counter() as counter:
        action()
    return Count(counter.kernels, counter.bytes)


class _Counter(TorchDispatchMode):
    kernels = 0
    bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        outputs = func(*args, **(kwargs or {}))
        if not func.is_view and func._schema.name.removeprefix("aten::").removeprefix("profiler::") not in NOT_KERNELS:
            tensors = [leaf for leaf in tree_leaves((args, kwargs, outputs)) if isinstance(leaf, Tensor)]
            self.kernels += 1
            self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return outputs
