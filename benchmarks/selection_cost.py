"""What a PT decision costs: processor seconds by images, by operations removed and by edges already decided.

    python -m benchmarks.selection_cost

On the NAS-Bench-201 supernet at the digits size. Processor time of one thread, so that it holds on a busy machine too.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from darts_pt.commands.command_line import run_command
from darts_pt.run.errors import positive

if TYPE_CHECKING:
    from benchmarks.speed import Contest
    from darts_pt.supernet import Decisions


@dataclass(frozen=True, kw_only=True)
class CostOptions:
    """Measure how the cost of a PT decision grows."""

    repeats: int = 5
    """Times that each is measured; the smallest counts."""

    def __post_init__(self) -> None:
        positive("repeats", self.repeats)


def decision_seconds(contest: Contest, decisions: Decisions, batches: int, operations: int, repeats: int) -> float:
    """Processor seconds of scoring the removal of `operations` operations of an edge on so many batches; the smallest."""
    from darts_pt.selections.pt import score

    cell_type = contest.training.supernet.cell_types[0]
    edge = decisions.undecided_edges(cell_type)[-1]
    mixing = contest.training.architect.mixing(decisions)
    removals = [mixing.without_operation(cell_type.name, edge, operation) for operation in range(operations)]
    seconds = []
    for _ in range(repeats + 1):
        start = time.process_time()
        score(contest.training.supernet, removals, lambda: islice(contest.training.valid_batches(), batches))
        seconds.append(time.process_time() - start)
    return min(seconds[1:])


def main(options: CostOptions) -> None:
    """Print the three tables."""
    import torch

    from benchmarks.speed import Contest, SpeedOptions
    from darts_pt.supernet import Decisions

    torch.set_num_threads(1)
    contest = Contest(SpeedOptions(size="digits"))
    size = contest.size.batch_size
    print(f"{'images':>8}{'operations':>12}{'decided':>9}{'seconds':>10}")

    def line(batches: int, operations: int, decided: int) -> None:
        decisions = Decisions()
        for edge in range(decided):
            decisions = decisions.with_operation("cell", edge, (1, 3, 2, 1, 3)[edge])
        seconds = decision_seconds(contest, decisions, batches, operations, options.repeats)
        print(f"{batches * size:8}{operations:12}{decided:9}{seconds:10.3f}", flush=True)

    for batches in (4, 8, 16):
        line(batches, 5, 0)
    for operations in (1, 2, 4):
        line(8, operations, 0)
    for decided in (1, 2, 3, 4, 5):
        line(8, 5, decided)


if __name__ == "__main__":
    run_command(CostOptions, main, sys.argv[1:])
