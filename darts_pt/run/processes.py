"""Several processes on one run: who this one is among them, and what they tell each other.

torchrun starts the processes (*ranks*) and says in the environment which one each is. A run asks its :class:`Ranks` for
its share of the work and for what all must agree on; :data:`SINGLE_PROCESS` answers at once. Only the first rank writes
files.
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
"""How long one rank waits for another: scoring a candidate, or reading data, may take long; the dead are noticed sooner."""
LOST = (
    "another process of the run has ended, and this one cannot go on without it: see what that one, or the system, "
    "says; resumed, the run goes on from its last checkpoint"
)
_CONNECTION_LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "remote process exited")
"""Messages of gloo and NCCL when the other side is gone."""


class Launch(NamedTuple):
    """The place of this process among those of torchrun.

    Attributes:
        rank, count: which of all processes it is.
        local_rank, local_count: which of those on this machine.
        run: a name that this start of torchrun, its restarts included, shares with no other.
    """

    rank: int
    count: int
    local_rank: int
    local_count: int
    run: str


def launch() -> Launch | None:
    """This process's place among those that torchrun started; None if it was started by itself."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    if not {*names, "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
        return None
    run = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    if run == "none":  # torchrun's own default, which every start has
        run = f"{socket.gethostname()} {os.getppid()} {_started(os.getppid())}"
    rank, count, local_rank, local_count = (int(os.environ[name]) for name in names)
    return Launch(rank, count, local_rank, local_count, run)


def _started(process: int) -> str:
    """When a process was started, as the kernel counts: process numbers are used again, in containers often."""
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    return os.environ["MASTER_PORT"]


class Share(NamedTuple):
    """The images of a batch that one rank computes: those at `place` out of `total`."""

    place: slice
    total: int

    @property
    def size(self) -> int:
        """How many they are."""
        return self.place.stop - self.place.start


class Ranks:
    """All processes of a run, seen from one of them.

    Every method that exchanges something must be called by all ranks, in the same order.

    Attributes:
        rank: this one's number, from 0.
        count: how many there are.
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
        """This rank's part of `total` images; the parts differ by one image at most."""
        return Share(slice(self.rank * total // self.count, (self.rank + 1) * total // self.count), total)

    def spread(
        self,
        candidates: Iterable[Value],
        work: Callable[[Value], Any],
        skip: Callable[[Value], None] = lambda candidate: None,
    ) -> list[Any]:
        """`work` on every candidate, done by one rank each; all ranks get all results, in the candidates' order.

        Args:
            work: its results are plain data.
            skip: called instead of `work` for the candidates of others; it uses up the random numbers that `work` would.
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
        """Inside, ranks do different things and exchange nothing; :attr:`is_apart` is True where there are others."""
        self._apart += self.count > 1
        try:
            yield
        finally:
            self._apart -= self.count > 1

    @property
    def is_apart(self) -> bool:
        """Whether this rank must not wait for others just now."""
        return self._apart > 0

    # Exchanges ---------------------------------------------------------------------------------------------------

    def largest(self, *numbers: int) -> list[int]:
        """For each of `numbers`, the largest that a rank has."""
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
        """The values of all ranks, by rank; plain data."""
        if self.count == 1:
            return [value]
        from torch import distributed

        values: list[Any] = [None] * self.count
        distributed.all_gather_object(values, value)
        return values

    def take_from_first(self, tensors: Sequence[Tensor]) -> None:
        """The values of the first rank's tensors, written into everyone's."""
        if self.count > 1:
            from torch import distributed

            for tensor in tensors:
                whole = tensor.detach().contiguous()
                distributed.broadcast(whole, 0)
                tensor.detach().copy_(whole)

    def from_first(self, work: Callable[[], Value]) -> Value:
        """The result of `work` (plain data and CPU tensors) on the first rank, which alone does it.

        Raises:
            UserError: on all ranks, if the first meets one.
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
        """The result of `work` on the first rank, which alone does and has it; None on the others.

        Raises:
            UserError: on all ranks, if the first meets one.
        """
        done: list[Value] = []
        self.from_first(lambda: done.append(work()))
        return done[0] if self.is_first else None

    def together(self, work: Callable[[], Value]) -> Value:
        """The result of `work`, which every rank does.

        Raises:
            UserError: on all ranks the same, if any meets one.
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
    """The ranks of this run, while it lasts: those that torchrun started, or this process alone.

    Raises:
        UserError: another rank has gone, and this one waited for it.
    """
    place = launch()
    if place is None or place.count == 1:
        yield SINGLE_PROCESS
        return
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    common, rank, count = next(rendezvous("env://"))
    # After a restart the store may be the one before: addresses in it are of processes that are gone.
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
    distributed.barrier()  # none tears its connections down while another still uses them
    distributed.destroy_process_group()


def one_process(what: str) -> None:
    """Refuse to run what several processes would do at once, each for itself.

    Raises:
        UserError: torchrun has started more than one process.
    """
    place = launch()
    if place is not None and place.count > 1:
        raise UserError(f"{what} runs in one process, but torchrun started {place.count}: start it without torchrun")
