"""Device, precision and named random streams of a run."""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

import torch
from torch import Tensor

from darts_pt.hyperparameters import Precision
from darts_pt.run.errors import ArgumentError, UserError
from darts_pt.run.processes import Launch, launch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Options of glibc's mallopt, by its header."""
HOST_STREAMS = ("weights", "alpha", "order")
"""Streams on the CPU, so that their numbers do not depend on the device; all others are on the device."""


def pick_device(gpu: str) -> torch.device:
    """Pick the device that a user asks for: a GPU becomes the current one, on the CPU what tensors free is kept.

    Args:
        gpu: 'auto' (the GPU with the least memory in use, the CPU if there is none), a GPU's index, or 'cpu'. Of
            the processes that torchrun started on a machine, each gets its own GPU with 'auto'.

    Raises:
        ArgumentError: anything else, or an index that this machine does not have; the message lists what it has.
    """
    if gpu == "cpu":
        return cpu()
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    place = launch()
    if place is not None and place.local_count > 1 and (count or gpu != "auto"):
        return _own_gpu(place, gpu, count)
    if gpu == "auto":
        return _gpu(min(range(count), key=_memory_in_use(count).__getitem__)) if count else cpu()
    if gpu.isdecimal() and int(gpu) < count:
        return _gpu(int(gpu))
    names = ", ".join(f"{index} ({torch.cuda.get_device_name(index)})" for index in range(count))
    found = f"GPU {names}" if count else "no usable GPU"
    raise ArgumentError("gpu", f"this machine has {found}; expected 'auto', the index of a GPU, or 'cpu', got {gpu}")


def cpu() -> torch.device:
    """The CPU, from where on the memory that tensors free stays with the process.

    The C library else gives that of large maps back after every pass, and the system fills each new page with zeros: a
    tenth of a PT decision's time at the paper's size.
    """
    with suppress(OSError, AttributeError, TypeError):  # Only glibc has it.
        set_option = ctypes.CDLL(None).mallopt
        set_option(M_MMAP_THRESHOLD, 32 * 2**20)  # The most that glibc takes; setting it ends its own adaptation.
        set_option(M_TRIM_THRESHOLD, 2**31 - 1)
    return torch.device("cpu")


def _gpu(index: int) -> torch.device:
    """A GPU, made the current one: torch makes streams and records CUDA graphs there, wherever the tensors are."""
    device = torch.device("cuda", index)
    torch.cuda.set_device(device)
    return device


def _own_gpu(place: Launch, gpu: str, count: int) -> torch.device:
    """The GPU of one of several processes on this machine."""
    if gpu != "auto":
        raise ArgumentError(
            "gpu",
            f"{place.local_count} processes on this machine need a GPU each: expected 'auto' (CUDA_VISIBLE_DEVICES "
            f"chooses the GPUs) or 'cpu', got {gpu}",
        )
    if place.local_count > count:
        raise ArgumentError("gpu", f"{place.local_count} processes, but this machine has {count} GPUs: expected 'cpu'")
    return _gpu(place.local_rank)


def _memory_in_use(count: int) -> list[float]:
    """The bytes in use on each of torch's GPUs, by any process."""
    try:
        # gpustat lists all GPUs, torch only the visible ones in another order: match them by UUID.
        import gpustat

        used = {gpu.uuid.removeprefix("GPU-"): float(gpu.memory_used) * 2**20 for gpu in gpustat.new_query()}
        return [used[str(torch.cuda.get_device_properties(index).uuid)] for index in range(count)]
    except Exception:  # no gpustat, another NVML, a GPU in parts (MIG), an old torch
        return [_memory_in_use_by_torch(index) for index in range(count)]


def _memory_in_use_by_torch(index: int) -> float:
    """As :func:`_memory_in_use`, but it initialises CUDA on the GPU."""
    try:
        free, total = torch.cuda.mem_get_info(index)
    except RuntimeError:  # A GPU that is in exclusive use or out of memory is picked last.
        return float("inf")
    return float(total - free)


# Precision -------------------------------------------------------------------------------------------------------


def use_precision(precision: Precision) -> None:
    """Set torch's switches for the process.

    'torch' leaves its defaults, with which the original ran: on GPUs that have tf32, convolutions use it and matrix
    products do not, which here include the 1x1 convolutions of candidate operations. With 'tf32' both do, with 'fp32',
    'bf16' and 'fp64' neither.
    """
    torch.backends.cudnn.allow_tf32 = precision in ("torch", "tf32")
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")


def dtype_of(precision: Precision) -> torch.dtype:
    """The dtype of weights and images."""
    return torch.float64 if precision == "fp64" else torch.float32


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """The context of forward passes: autocast to bfloat16 with 'bf16', else nothing."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


# Randomness ------------------------------------------------------------------------------------------------------


def stream_seed(seed: int, name: str) -> int:
    """The 63-bit seed of a named stream; a hash, so the same on every machine and Python."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "big") >> 1


class Generators:
    """Named random generators from one seed.

    `generators["batches"]` is the generator of that name, always the same object. A stream's numbers depend only on the
    seed and its name, not on the use of other streams.
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

    def adopt(self, name: str, generator: torch.Generator) -> None:
        """Use an existing generator as the stream of this name."""
        self._streams[name] = generator

    def state(self) -> dict[str, Tensor]:
        """Name -> state (uint8 tensor on the CPU) of every stream used so far, for a checkpoint."""
        return {name: self._streams[name].get_state() for name in sorted(self._streams)}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Restore the result of :meth:`state`; generators handed out before stay valid.

        A stream that `state` lacks was unused then, so it is reset.

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
                    "on another kind of device (CPU or CUDA); resume it on that kind"
                ) from error

    @contextmanager
    def rewound(self) -> Iterator[None]:
        """Inside, every stream starts from its seed again; at the end each goes on where it was."""
        now = self.state()
        self.restore({})
        try:
            yield
        finally:
            self.restore(now)


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
