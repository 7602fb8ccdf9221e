"""Where and in which precision a run computes, and where its randomness comes from: named random streams of one seed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from darts_pt.hyperparameters import Precision
from darts_pt.run.errors import UserError
from darts_pt.run.processes import Launch, launch

HOST_STREAMS = ("weights", "alpha", "order")
"""Streams that always live on the CPU, so that their numbers do not depend on the device; all others live on it."""


def pick_device(gpu: str) -> torch.device:
    """The device that `--gpu` asks for.

    Args:
        gpu: 'auto' (the GPU with the least memory in use, the CPU if there is none), a GPU's index, or 'cpu'. Of
            several processes that torchrun started on a machine, each gets a GPU of its own with 'auto'.

    Raises:
        UserError: for anything else, and for an index that this machine does not have; the message lists what it has.
    """
    if gpu == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    place = launch()
    if place is not None and place.local_count > 1 and (count or gpu != "auto"):
        return _own_gpu(place, gpu, count)
    if gpu == "auto":
        if count == 0:
            return torch.device("cpu")
        return torch.device("cuda", min(range(count), key=_memory_in_use(count).__getitem__))
    if gpu.isdecimal() and int(gpu) < count:
        return torch.device("cuda", int(gpu))
    names = ", ".join(f"{index} ({torch.cuda.get_device_name(index)})" for index in range(count))
    found = f"GPU {names}" if count else "no usable GPU"
    raise UserError(f"--gpu {gpu}: this machine has {found}; expected 'auto', the index of a GPU, or 'cpu'")


def _own_gpu(place: Launch, gpu: str, count: int) -> torch.device:
    """The GPU of one of several processes on this machine."""
    if gpu != "auto":
        raise UserError(
            f"--gpu {gpu}: {place.local_count} processes on this machine need a GPU each: leave --gpu out (and choose "
            "with CUDA_VISIBLE_DEVICES), or say cpu"
        )
    if place.local_count > count:
        raise UserError(
            f"{place.local_count} processes on a machine with {count} GPUs: expected --nproc_per_node {count} or less, "
            "or --gpu cpu"
        )
    device = torch.device("cuda", place.local_rank)
    torch.cuda.set_device(device)
    return device


def _memory_in_use(count: int) -> list[float]:
    """Bytes in use on each of torch's GPUs, by any process."""
    try:
        # gpustat numbers the machine's GPUs, torch only the visible ones in an order of its own: match them by UUID.
        import gpustat

        used = {gpu.uuid.removeprefix("GPU-"): float(gpu.memory_used) * 2**20 for gpu in gpustat.new_query()}
        return [used[str(torch.cuda.get_device_properties(index).uuid)] for index in range(count)]
    except (
        Exception
    ):  # gpustat absent, NVML absent or of another version, a GPU in parts (MIG), an old torch: ask torch
        return [_memory_in_use_by_torch(index) for index in range(count)]


def _memory_in_use_by_torch(index: int) -> float:
    """As :func:`_memory_in_use`; it starts CUDA on that GPU, hence only the second choice."""
    try:
        free, total = torch.cuda.mem_get_info(index)
    except RuntimeError:  # a GPU that refuses us (in exclusive use, out of memory) is the last to be picked
        return float("inf")
    return float(total - free)


# Precision -------------------------------------------------------------------------------------------------------


def use_precision(precision: Precision) -> None:
    """Set torch's switches for the process.

    torch: what it has by default, convolutions in tf32 on GPUs that have it and matrix products in fp32; the original
    ran so. tf32: both. In fp32, bf16 and fp64 nothing is computed in tf32.
    """
    torch.backends.cudnn.allow_tf32 = precision in ("torch", "tf32")
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")


def dtype_of(precision: Precision) -> torch.dtype:
    """The type of weights and images under a precision."""
    return torch.float64 if precision == "fp64" else torch.float32


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """What forward passes run in: autocast to bfloat16 under bf16, else nothing."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


# Randomness ------------------------------------------------------------------------------------------------------


def stream_seed(seed: int, name: str) -> int:
    """The 63-bit seed of a named stream: a hash, so that it is the same on every machine and for every Python."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "big") >> 1


class Generators:
    """Named random generators that all follow from one seed.

    `generators["batches"]` is the generator of that name, always the same object. A stream's numbers depend on the
    seed and on its name alone, never on what other streams were asked for.
    """

    def __init__(self, seed: int, device: torch.device | str):
        self.seed = seed
        self.device = torch.device(device)
        self._streams: dict[str, torch.Generator] = {}

    def __getitem__(self, name: str) -> torch.Generator:
        if name not in self._streams:
            device = torch.device("cpu") if name in HOST_STREAMS else self.device
            self._streams[name] = torch.Generator(device).manual_seed(stream_seed(self.seed, name))
        return self._streams[name]

    def state(self) -> dict[str, Tensor]:
        """Name -> state (uint8 tensor on the CPU) of every stream used so far, for a checkpoint."""
        return {name: self._streams[name].get_state() for name in sorted(self._streams)}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue exactly where :meth:`state` was taken; generators handed out before stay valid.

        A stream that `state` lacks was unused then, so it returns to its beginning.

        Raises:
            UserError: if a state does not fit the stream's device: CPU and CUDA keep different generators.
        """
        if not isinstance(state, dict) or not all(isinstance(saved, Tensor) for saved in state.values()):
            raise UserError("the checkpoint's random state is damaged: expected a state per random stream")
        for name, generator in self._streams.items():
            if name not in state:
                generator.manual_seed(stream_seed(self.seed, name))
        for name, saved in state.items():
            try:
                self[name].set_state(saved.cpu())
            except (RuntimeError, TypeError) as error:
                raise UserError(
                    f"the random state of '{name}' does not fit a generator on {self[name].device}: the run was saved "
                    "on another kind of device (CPU or CUDA); resume it on that kind with --gpu"
                ) from error


@contextmanager
def seeded(generator: torch.Generator) -> Iterator[None]:
    """Initialise weights from `generator`: inside, torch's global CPU generator is seeded from its next number.

    torch's modules draw their initial weights from the global generator. Build them on the CPU inside this context and
    move them afterwards; the global generator is left as it was found.
    """
    seed = int(torch.randint(2**63 - 1, (), generator=generator, device=generator.device))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
