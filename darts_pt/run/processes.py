"""Several processes working on one run: the rank of this one, and the communication between them.

torchrun starts the processes (*ranks*) and numbers them in the environment. :class:`Ranks` gives a run its share of the
work and exchanges what all must agree on; for :data:`SINGLE_PROCESS` this is immediate. Only the first rank writes files.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from darts_pt.run.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Value = TypeVar("Value")

TIMEOUT = timedelta(hours=6)
"""Longest time that one rank waits for another, which may be scoring or reading data; lost ranks are noticed sooner."""
LOST = (
    "another process of the run has ended, and this one cannot go on without it: see what that one, or the system, "
    "says; resumed, the run goes on from its last checkpoint"
)
_CONNECTION_LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "remote process exited")
"""Messages of gloo and NCCL about a lost connection."""


class Launch(NamedTuple):
    """The place of this process among those of torchrun.

    Attributes:
        rank, count: among all processes.
        local_rank, local_count: among those on this machine.
        run: a name unique to this start of torchrun, including its restarts.
    """

    rank: int
    count: int
    local_rank: int
    local_count: int
    run: str


def launch() -> Launch | None:
    """The place of this process among those that torchrun started; None without torchrun."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    if not {*names, "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
        return None
    run = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    if run == "none":  # torchrun's default, the same for every start
        run = f"{socket.gethostname()} {os.getppid()} {_started(os.getppid())}"
    rank, count, local_rank, local_count = (int(os.environ[name]) for name in names)
    return Launch(rank, count, local_rank, local_count, run)


def _started(process: int) -> str:
    """The start time of a process, in the kernel's units: process ids are reused, especially in containers."""
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    return os.environ["MASTER_PORT"]


class Share(NamedTuple):
    """The images of a batch that one rank computes: those at `place` out of `total`."""

    place: slice
    total: int


class Ranks:
    """The processes of a run, as seen from one of them.

    Methods that communicate must be called by all ranks, in the same order.

    Attributes:
        rank: number of this process, from 0.
        count: number of processes.
    """

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank = rank
        self.count = count
        self._apart = 0

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that writes files."""
        return self.rank == 0

    # Shares of work ----------------------------------------------------------------------------------------------

    def share(self, total: int) -> Share:
        """This rank's part of `total` images; sizes differ by at most one."""
        return Share(slice(self.rank * total // self.count, (self.rank + 1) * total // self.count), total)

    def spread(
        self,
        candidates: Iterable[Value],
        work: Callable[[Value], Any],
        skip: Callable[[Value], None] = lambda candidate: None,
    ) -> list[Any]:
        """Apply `work` to every candidate, each on one rank; all ranks get all results in the candidates' order.

        Args:
            work: returns plain data.
            skip: called instead of `work` for other ranks' candidates; consumes the random numbers that `work` would.
        """
        mine: dict[int, Any] = {}
        number = -1
        with self.apart():
            for number, candidate in enumerate(candidates):
                if number % self.count == self.rank:
                    mine[number] = work(candidate)
                else:
                    skip(candidate)
        results: dict[int, Any] = {}
        for part in self.gather(mine):
            results |= part
        return [results[index] for index in range(number + 1)]

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Inside, ranks do different work and do not communicate; with several ranks :attr:`is_apart` is True."""
        self._apart += self.count > 1
        try:
            yield
        finally:
            self._apart -= self.count > 1

    @property
    def is_apart(self) -> bool:
        """Whether this rank must not wait for others now."""
        return self._apart > 0

    # Exchanges ---------------------------------------------------------------------------------------------------

    def largest(self, *numbers: int) -> list[int]:
        """For each of `numbers` the maximum over all ranks."""
        if self.count == 1:
            return list(numbers)
        import torch
        from torch import distributed

        exchanged = torch.tensor(numbers, dtype=torch.int64)
        distributed.all_reduce(exchanged, distributed.ReduceOp.MAX)
        return exchanged.tolist()

    def sum(self, numbers: Tensor) -> Tensor:
        """The sum over all ranks, in place."""
        if self.count > 1:
            from torch import distributed

            distributed.all_reduce(numbers)
        return numbers

    def gather(self, value: Value) -> list[Value]:
        """The values of all ranks, in order; plain data."""
        if self.count == 1:
            return [value]
        from torch import distributed

        values: list[Any] = [None] * self.count
        distributed.all_gather_object(values, value)
        return values

    def take_from_first(self, tensors: Sequence[Tensor]) -> None:
        """Copy the first rank's tensors into those of all ranks."""
        if self.count > 1:
            from torch import distributed

            for tensor in tensors:
                whole = tensor.detach().contiguous()
                distributed.broadcast(whole, 0)
                tensor.detach().copy_(whole)

    def from_first(self, work: Callable[[], Value]) -> Value:
        """Run `work` on the first rank only, and return its result (plain data and CPU tensors) on all ranks.

        Raises:
            UserError: on all ranks, if `work` raises one.
        """
        if self.count == 1:
            return work()
        from torch import distributed

        answer: list[Any] = [None, None]
        if self.is_first:
            try:
                answer = [work(), None]
            except UserError as error:
                answer = [None, str(error)]
        distributed.broadcast_object_list(answer, 0)
        if answer[1] is not None:
            raise UserError(answer[1])
        return answer[0]

    def on_first(self, work: Callable[[], Value]) -> Value | None:
        """Run `work` on the first rank only, and return its result there; None on the others.

        Raises:
            UserError: on all ranks, if `work` raises one.
        """
        done: list[Value] = []
        self.from_first(lambda: done.append(work()))
        return done[0] if self.is_first else None

    def together(self, work: Callable[[], Value]) -> Value:
        """Run `work` on every rank.

        Raises:
            UserError: the same on all ranks, if any rank raises one.
        """
        if self.count == 1:
            return work()
        result, complaint = None, None
        try:
            result = work()
        except UserError as error:
            complaint = str(error)
        complaints = [text for text in self.gather(complaint) if text is not None]
        if complaints:
            raise UserError(complaints[0])
        return result  # type: ignore[return-value]


SINGLE_PROCESS = Ranks()
"""A run in one process."""


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """The ranks of this run: those that torchrun started, or this process alone.

    Raises:
        UserError: the connection to another rank was lost.
    """
    place = launch()
    if place is None or place.count == 1:
        yield SINGLE_PROCESS
        return
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    common, rank, count = next(rendezvous("env://"))
    # After a restart the store may be the old one, with the addresses of processes that are gone.
    attempt = f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"
    store = distributed.PrefixStore(attempt, common)  # pyright: ignore[reportPrivateImportUsage]
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=TIMEOUT)
    try:
        yield Ranks(rank, count)
    except RuntimeError as error:
        if any(words in str(error) for words in _CONNECTION_LOST):
            raise UserError(LOST) from None
        raise
    distributed.barrier()  # No rank closes its connections while another still uses them.
    distributed.destroy_process_group()


def one_process(what: str) -> None:
    """Check that this is the only process, for work that several processes would each do in full.

    Raises:
        UserError: torchrun has started more than one process.
    """
    place = launch()
    if place is not None and place.count > 1:
        raise UserError(f"{what} runs in one process, but torchrun started {place.count}: start it without torchrun")
