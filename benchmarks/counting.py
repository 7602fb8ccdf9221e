"""Counting what a call asks of a machine: kernels, and the bytes that they read and write.

    python -m benchmarks.speed --size paper --json FILE
    python -m benchmarks.counting FILE …

Both are exact, whatever else the machine does. The command makes a model, not a measurement, of what a step and a decision
would take on a GPU: the larger of two times, that of the launches and that of the bytes. It assumes that all kernels
are like the mean one, that nothing stays in a cache, that no arithmetic takes longer than its bytes, and that a GPU
computes the kernels that were counted on the CPU.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
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


# The model -------------------------------------------------------------------------------------------------------

PYTHON, GRAPH = 7e-6, 2.5e-6
"""Seconds for a kernel that Python launches, and for one in a CUDA graph."""
GPUS = {"H200": 0.8 * 4.8e12, "A100 80 GB": 0.8 * 2.0e12}
"""Bytes per second that kernels reach: 80 % of the memory's peak."""
UNITS = (("kernels", 1), ("bytes", 1e9))


def model(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The modelled times as a Markdown table.

    Args:
        rows: those of `benchmarks.speed` by name.
    """
    columns = [f"{gpu}{how}, ms" for gpu in GPUS for how in ("", " with graphs")]
    lines = [["", "", "kernels", "GB", *columns], ["---"] * (4 + len(columns))]
    for what, title in (("a step", "step"), ("an event", "decision")):
        for whose in ("ours", "textbook"):
            count = Count(*(int(rows[f"{name} of {what}"][whose] * unit) for name, unit in UNITS))
            launches = (PYTHON, GRAPH) if whose == "ours" else (PYTHON, None)  # Only ours can be replayed.
            lines.append([title, whose, f"{count.kernels:,}", f"{count.bytes / 1e9:.3g}"])
            lines[-1] += [milliseconds(count, launch, speed) for speed in GPUS.values() for launch in launches]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def milliseconds(count: Count, launch: float | None, speed: float) -> str:
    """The modelled time; a dash where nothing can be launched so."""
    return "–" if launch is None else f"{1e3 * max(count.kernels * launch, count.bytes / speed):.1f}"


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        found = {row["name"]: row for row in json.loads(Path(argument).read_text(encoding="utf-8"))}
        print(f"{argument}\n\n{model(found)}\n")
