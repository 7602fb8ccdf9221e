"""Do memory, open files, threads or tensors grow? Real runs for an hour in one process, measured as they go.

    python -m benchmarks.soak --minutes 60 --json docs/results/soak.json

Four kinds of work take turns, several times over: one long search, long selections, one long evaluation training, and
short whole runs (search, selection, training, in both spaces) one after another. The process looks at itself every few
seconds, and between runs. Two things are fitted: growth over the hour, and growth within a turn, which may end with the
run and so hide. The exit code is 1 if anything grows. The file is written anew after every turn.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import tyro

from darts_pt.commands.command_line import parse, positive, run_command
from darts_pt.run.errors import Stopped, UserError
from darts_pt.run.files import atomic_write

Command = tuple[str, list[str]]
"""Which command (a key of :func:`_commands`) and its arguments."""

DIGITS = ["--dataset", "digits", "--gpu", "cpu", "--overwrite"]
TINY_201 = [*DIGITS, "--init_channels", "2", "--batch_size", "16"]
TINY_SOTA = [*DIGITS, "--init_channels", "2", "--layers", "3", "--batch_size", "64", "--space", "s2"]
ENDLESS = ["--epochs", "100000", "--ckpt_interval", "20", "--keep", "2", "--ckpt_minutes", "0.2"]
ARCHITECTURE = "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"

PREPARED: Command = ("201 search", [*TINY_201, "--expid_tag", "prepared", "--epochs", "2"])
"""What the long selections start from."""
SELECTION = ["--gpu", "cpu", "--overwrite", "--resume_expid", "search-darts-201-1-digits"]

SHORT: list[Command] = [
    ("201 search", [*TINY_201, "--epochs", "2"]),
    ("201 select", [*SELECTION, "--proj_intv", "1"]),
    ("201 train", [*TINY_201, "--arch", ARCHITECTURE, "--epochs", "2"]),
    ("sota search", [*TINY_SOTA, "--epochs", "1"]),
    ("sota select", ["--gpu", "cpu", "--resume_expid", "search-darts-sota-s2-2", "--proj_intv", "1", "--fast"]
     + ["--dataset", "digits", "--overwrite"]),
    ("sota train", [*TINY_SOTA[:-2], "--arch", "darts_pt_s2_1", "--epochs", "1", "--auxiliary", "--cutout"]),
]  # fmt: skip
KINDS: dict[str, list[Command]] = {
    "one search": [("201 search", [*TINY_201, "--expid_tag", "long", *ENDLESS])],
    "selections": [("201 select", [*SELECTION[:-1], f"{SELECTION[-1]}-prepared", "--proj_intv", "8", "--keep", "2"])],
    "one training": [("201 train", [*TINY_201, "--arch", ARCHITECTURE, "--expid_tag", "long", *ENDLESS])],
    "short runs": SHORT,
}
"""Kind of work -> commands that are repeated until its turn is over."""

BETWEEN = "between runs"
QUANTITIES = {"memory_mib": 0.02, "tensors": 0.02, "open_files": 0.0, "threads": 0.0}
"""What is measured -> the growth over all the time, as a share of the level, that still counts as none."""


@dataclass(frozen=True, kw_only=True)
class SoakOptions:
    """Run searches, selections and trainings for long in one process, and see whether anything grows."""

    minutes: float = 60.0
    """How long."""
    turns: int = 4
    """How many turns each kind of work gets; the first of each warms up and is not fitted."""
    every: Annotated[float, tyro.conf.arg(metavar="SECONDS")] = 10.0
    """How often the process looks at itself."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the figures and all samples here, after every turn."""

    def __post_init__(self) -> None:
        positive("minutes", self.minutes)
        positive("every", self.every)
        if self.turns < 2:
            raise UserError(f"--turns: expected at least 2, since the first is not fitted, got {self.turns}")


@dataclass(frozen=True)
class Sample:
    """What the process holds at a moment.

    Attributes:
        seconds: since the start.
        memory_mib: resident.
        tensors: made since the start and alive after a garbage collection: something holds them.
    """

    kind: str
    turn: int
    seconds: float
    memory_mib: float
    tensors: int
    open_files: int
    threads: int


@dataclass
class Watch:
    """Looks at the process while it works, from a timer's signal: no thread of its own.

    Attributes:
        every: seconds from one look to the next.
        deadline: when the present turn is over, in seconds since the start.
    """

    every: float
    begin: float = field(default_factory=time.perf_counter)
    kind: str = ""
    turn: int = 0
    deadline: float = 0.0
    samples: list[Sample] = field(default_factory=list)

    def seconds(self) -> float:
        """Since the start."""
        return time.perf_counter() - self.begin

    def sample(self, kind: str) -> None:
        """Note what the process holds now."""
        self.samples.append(Sample(kind, self.turn, round(self.seconds(), 2), *held()))

    def look(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Take a sample; when the turn is over, ask the run to stop as a cluster would."""
        self.sample(self.kind)
        # Set anew each time: on a busy machine a timer of its own accord would leave no time between two looks.
        signal.setitimer(signal.ITIMER_REAL, self.every)
        if self.seconds() >= self.deadline:
            signal.raise_signal(signal.SIGTERM)


def held() -> tuple[float, int, int, int]:
    """Resident memory in MiB, tensors alive, open files, threads of this process."""
    import torch

    pages = int(Path("/proc/self/statm").read_text().split()[1])
    gc.collect()
    tensors = sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())
    handles = len(os.listdir("/proc/self/fd")) - 1  # one is the listing's own
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 2), tensors, handles, threading.active_count()


def _commands() -> dict[str, tuple[Any, Callable[..., object]]]:
    from nasbench201 import projection, space, train, train_search
    from sota import projection as sota_projection
    from sota import space as sota_space
    from sota import train as sota_train
    from sota import train_search as sota_search

    return {
        "201 search": (space.NasBench201SearchOptions, train_search.main),
        "201 select": (space.NasBench201SelectionOptions, projection.main),
        "201 train": (train.NasBench201TrainOptions, train.main),
        "sota search": (sota_space.SotaSearchOptions, sota_search.main),
        "sota select": (sota_space.SotaSelectionOptions, sota_projection.main),
        "sota train": (sota_train.SotaTrainOptions, sota_train.main),
    }


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """What the runs say is in their logs."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def run(command: Command, root: Path) -> bool:
    """Run a command in this process; whether it came to its end before its turn was over."""
    options_type, main = _commands()[command[0]]
    try:
        with silence():
            main(parse(options_type, [*command[1], "--experiments", str(root)], command[0]))
    except Stopped:
        return False
    return True


def take_turn(watch: Watch, kind: str, turn: int, seconds: float, root: Path) -> int:
    """Repeat the commands of a kind for a time; how many runs were begun."""
    watch.kind, watch.turn, watch.deadline = kind, turn, watch.seconds() + seconds
    runs = 0
    while True:
        for command in KINDS[kind]:
            runs += 1
            ended = run(command, root)
            watch.sample(BETWEEN)
            if not ended or watch.seconds() >= watch.deadline:
                return runs


# Fitting ---------------------------------------------------------------------------------------------------------


def slope(points: list[tuple[float, float]]) -> float:
    """Theil and Sen's: the median of the slopes of all pairs, which single outliers do not move."""
    points = points[:: max(1, len(points) // 400)]
    slopes = [
        (second[1] - first[1]) / (second[0] - first[0])
        for number, first in enumerate(points)
        for second in points[number + 1 :]
        if second[0] > first[0]
    ]
    return statistics.median(slopes) if slopes else 0.0


def fit(samples: list[Sample]) -> dict[str, dict[str, dict[str, Any]]]:
    """Kind -> quantity -> its level, its growth over all turns but the first, and its growth within a turn."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for kind in dict.fromkeys(sample.kind for sample in samples):
        settled = [sample for sample in samples if sample.kind == kind and sample.turn > 0]
        if not settled:
            continue
        turns = [[sample for sample in settled if sample.turn == turn] for turn in {one.turn for one in settled}]
        if kind != BETWEEN:
            turns = [turn[len(turn) // 4 :] for turn in turns]  # the beginning of a turn fills caches
        span = settled[-1].seconds - settled[0].seconds
        for quantity, share in QUANTITIES.items():
            values = [(one.seconds, float(getattr(one, quantity))) for turn in turns for one in turn]
            within = [
                slope([(one.seconds, getattr(one, quantity)) for one in turn]) * (turn[-1].seconds - turn[0].seconds)
                for turn in turns
            ]
            level = statistics.median(value for _, value in values)
            growth, growth_within = slope(values) * span, statistics.median(within)
            allowed = max(share * level, 0.5)
            if quantity == "tensors" and kind != BETWEEN:
                # A look falls anywhere within a step, which makes some hundred tensors and lets go of them.
                first = [float(getattr(one, quantity)) for one in turns[0]]
                allowed = max(allowed, max(first) - min(first))
            found.setdefault(kind, {})[quantity] = {
                "level": level,
                "lowest": min(value for _, value in values),
                "highest": max(value for _, value in values),
                "growth": round(growth, 3),
                "growth_per_hour": round(growth / span * 3600, 3) if span else 0.0,
                "growth_within_a_turn": round(growth_within, 3),
                "flat": max(growth, growth_within) <= allowed,
            }
    return found


def tell(figures: dict[str, Any]) -> None:
    """Print the fits as a table."""
    print(f"{'':14}{'':12}{'level':>10}{'lowest':>10}{'highest':>10}{'per hour':>10}{'in a turn':>10}")
    for kind, quantities in figures["fits"].items():
        for quantity, one in quantities.items():
            numbers = ("level", "lowest", "highest", "growth_per_hour", "growth_within_a_turn")
            print(f"{kind:14}{quantity:12}" + "".join(f"{one[name]:10.2f}" for name in numbers), end="")
            print("" if one["flat"] else "   GROWS")
    print(f"{figures['minutes']:.1f} minutes, {figures['runs']} runs, {figures['steps']} steps of SGD")


def main(options: SoakOptions) -> None:
    """The whole programme."""
    if not Path("/proc/self/statm").is_file():
        raise UserError("benchmarks.soak looks at /proc/self, which this system does not have: expected Linux")
    import torch
    from torch.optim.optimizer import register_optimizer_step_post_hook

    torch.set_num_threads(1)
    steps = 0

    def count(optimizer: torch.optim.Optimizer, *_: object) -> None:
        nonlocal steps
        steps += isinstance(optimizer, torch.optim.SGD)

    register_optimizer_step_post_hook(count)
    # A run that is not listening yet when its turn ends is asked again at the next look.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    figures: dict[str, Any] = {"runs": 0}
    with tempfile.TemporaryDirectory() as temporary:
        run(PREPARED, Path(temporary))
        # What is there by now stays: left out of collections, which would take longer than the steps between them.
        gc.collect()
        gc.freeze()
        watch = Watch(options.every)
        signal.signal(signal.SIGALRM, watch.look)
        signal.setitimer(signal.ITIMER_REAL, options.every)
        for turn in range(options.turns):
            for number, kind in enumerate(KINDS):
                left = 60 * options.minutes - watch.seconds()
                turns_left = (options.turns - turn) * len(KINDS) - number
                runs = take_turn(watch, kind, turn, max(0.0, left) / turns_left, Path(temporary))
                figures["runs"] += runs
                figures |= {"minutes": round(watch.seconds() / 60, 2), "steps": steps, "fits": fit(watch.samples)}
                print(f"turn {turn + 1}/{options.turns}, {kind}: {runs} runs, {watch.samples[-1]}", flush=True)
                if options.json:
                    content = figures | {"samples": [list(asdict(sample).values()) for sample in watch.samples]}
                    atomic_write(options.json, json.dumps(content) + "\n")
        signal.setitimer(signal.ITIMER_REAL, 0)
    tell(figures)
    if not all(one["flat"] for quantities in figures["fits"].values() for one in quantities.values()):
        sys.exit(1)


if __name__ == "__main__":
    run_command(SoakOptions, main)
