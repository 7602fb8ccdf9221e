"""The time that several processes save: one process against N, in turn, on the work that they share.

    python -m benchmarks.scaling --processes 2

It times an epoch of training a network of S5, a PT decision and a tuning epoch in S5 at the digits size, and training
steps at the size of CIFAR-100's networks (C 16, L 8, digits enlarged to 32x32). Processes communicate by gloo and have
one thread each. Besides wall time it reports the processor seconds of the busiest process, which are reliable on a busy
machine too but leave out the time that processes wait for each other.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from darts_pt.commands.command_line import run_command
from darts_pt.run.errors import positive

if TYPE_CHECKING:
    from darts_pt.data.data_set import DataSet
    from darts_pt.evaluation import NetworkTraining
    from darts_pt.run.processes import Ranks
    from darts_pt.training import SupernetTraining

ARCHITECTURE = "darts_pt_s5_0"
STEPS = 8
WIDTHS = (8, 8, 7, 8, 8, 7)


@dataclass(frozen=True, kw_only=True)
class ScalingOptions:
    """Measure how training and selection scale with processes."""

    processes: int = 2
    """Processes to compare with one."""
    repeats: int = 3
    """Number of measurements of each, in turn; the median counts."""

    def __post_init__(self) -> None:
        positive("processes", self.processes)
        positive("repeats", self.repeats)


def evaluation(data: DataSet, ranks: Ranks, init_channels: int, layers: int) -> NetworkTraining:
    """A network in training, as in sota.train."""
    from darts_pt.evaluation import NetworkTraining
    from darts_pt.hyperparameters import TrainingOptions
    from darts_pt.run.device import Generators, seeded
    from sota.genotypes import published
    from sota.network import SotaNetwork

    generators = Generators(0, "cpu")
    with seeded(generators["weights"]):
        network = SotaNetwork(published(ARCHITECTURE), init_channels, layers, data.classes, auxiliary=True)
    options = TrainingOptions(epochs=40, batch_size=64, learning_rate=0.025, grad_clip=5.0, auxiliary_weight=0.4)
    return NetworkTraining(network, data, generators, options, ranks=ranks)


def enlarged(data: DataSet) -> DataSet:
    """The same images, with every pixel enlarged to four by four."""
    from darts_pt.data.data_set import Images

    pixels = data.train.pixels.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    return dataclasses.replace(data, train=Images(pixels, data.train.labels))


def supernet(data: DataSet) -> SupernetTraining:
    """A supernet of S5 as it is tuned on digits."""
    from darts_pt.commands.options import with_preset
    from darts_pt.commands.supernets import supernet_training
    from darts_pt.run.device import Generators
    from darts_pt.space import SPACES

    space = SPACES["s5"]
    options: Any = space.commands["search"].options(method="darts", dataset="digits")  # type: ignore[call-arg]
    return supernet_training(space, with_preset(options, space.preset(options)), data, Generators(0, "cpu"), 0)


def pieces(ranks: Ranks) -> dict[str, Callable[[], object]]:
    """Name -> a repeatable piece of work."""
    from darts_pt.data.sources import load
    from darts_pt.selections.pt import score_operations
    from darts_pt.supernet import Decisions

    data = load("digits")
    training, large = evaluation(data, ranks, 8, 5), evaluation(enlarged(data), ranks, 16, 8)
    tuned = supernet(data)
    cell = tuned.supernet.cell_types[0]

    def train(training: NetworkTraining, steps: int | None) -> None:
        training.progress = None
        _, batches = training.batches()
        for parts in islice(batches, steps):
            training.step(parts)

    return {
        f"an epoch of training ({len(data.train)} images, batch 64)": lambda: train(training, None),
        f"{STEPS} steps of training (C 16, L 8, 32x32, batch 64)": lambda: train(large, STEPS),
        f"a decision ({len(cell.operations[5])} removals)": lambda: score_operations(
            tuned.supernet, tuned.architect.mixing(Decisions()), cell, 5, tuned.valid_batches, ranks
        ),
        "a tuning epoch (in every process)": tuned.tune,
    }


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def compare(rank: int, count: int, repeats: int, folder: str) -> None:
    """Run in each process; the first prints the table."""
    import torch
    from torch import distributed

    from darts_pt.run.processes import SINGLE_PROCESS, Ranks

    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=count)
    ranks = Ranks(rank, count)
    together = pieces(ranks)
    alone = pieces(SINGLE_PROCESS) if ranks.is_first else {}
    lines = []
    for name, shared in together.items():
        times = []
        for _ in range(repeats + 1):
            distributed.barrier()
            single = measured(alone[name]) if ranks.is_first else (0.0, 0.0)
            distributed.barrier()
            wall, processor = measured(shared)
            times.append((single[0], wall, single[1], max(ranks.gather(processor))))
        one, many, *busy = map(statistics.median, zip(*times[1:], strict=True))  # The first is a warm-up.
        cells = [one, many, one / many, *busy, busy[0] / busy[1]]
        lines.append(f"{name:<50}" + "".join(f"{cell:>{width}.2f}" for cell, width in zip(cells, WIDTHS, strict=True)))
    if ranks.is_first:
        print(f"{'':<50}{'wall seconds':>23}{'processor, busiest':>23}")
        print(f"{'':<50}" + f"{'1':>8}{count:>8}{'ratio':>7}" * 2, *lines, sep="\n", flush=True)
    distributed.destroy_process_group()


def main(options: ScalingOptions) -> None:
    """Start the processes and print the table."""
    import torch
    from torch.multiprocessing.spawn import spawn

    print(f"torch {torch.__version__}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        spawn(compare, (options.processes, options.repeats, folder), nprocs=options.processes)


if __name__ == "__main__":
    run_command(ScalingOptions, main)
