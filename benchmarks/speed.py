"""How fast the search and the selection are, against the textbook formulation on the same machine.

    python -m benchmarks.speed --space nasbench201 --size digits

Ours and the textbook's (`benchmarks.textbook`) are timed in turn, A B A B …, after one warm-up each; every figure is the
median, by the clock and of the processor. What is timed is what a run does: drawing and augmenting the batches is part
of a step. Kernels and bytes are counted (`benchmarks.measuring`), so that they are the same on every machine.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from benchmarks.measuring import Timing, in_turn, peak_bytes
from darts_pt.commands.command_line import run_command
from darts_pt.run.errors import UserError, in_range, positive

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from darts_pt.data.data_set import DataSet
    from darts_pt.supernet import CellType, Supernet


@dataclass(frozen=True, kw_only=True)
class SpeedOptions:
    """Time one bilevel step, one PT decision, the input pipeline and the peak memory, ours against the textbook's."""

    space: Literal["nasbench201", "s1", "s2", "s3", "s4", "s5"] = "nasbench201"
    """Search space."""
    size: Literal["paper", "digits"] = "digits"
    """paper: the presets of the searches on CIFAR-10, on 32x32 images; digits: those on the 8x8 digits."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to compute."""
    cuda_graph: bool = False
    """Ours replays its passes from CUDA graphs, as searches and selections do with this option."""
    precision: Literal["torch", "fp32", "tf32", "bf16"] = "torch"
    """Of our supernet, as searches and selections take it; the textbook's computes in torch's default."""
    threads: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """CPU threads; by default what torch takes."""
    repeats: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """Turns of each; by default 20 at the digits size, 5 at the paper's, fewer (but 3) where they take too long."""
    event_batches: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """Batches of the valid half in a decision, whose cost is linear in them; by default 2 at the digits size, 1 at the
    paper's."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the rows to this file."""

    def __post_init__(self) -> None:
        for name in ("threads", "repeats", "event_batches"):
            if getattr(self, name) is not None:
                positive(name, getattr(self, name))
        in_range("repeats", self.repeats or 1, 1, 10_000)


@dataclass(frozen=True)
class Row:
    """One line of the result; `ratio` says how many times less of `unit` ours takes."""

    name: str
    ours: float
    textbook: float
    unit: str

    @property
    def ratio(self) -> float:
        return self.textbook / self.ours if self.ours else float("inf")

    def to_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "ratio": self.ratio}


@dataclass(frozen=True)
class Size:
    """The size of what is timed: the supernet, its images, the repetitions.

    Attributes:
        depth: cells per stage in NAS-Bench-201, layers in S1–S5.
        budget: seconds after which a timing ends with the turns it has.
    """

    init_channels: int
    depth: int
    batch_size: int
    repeats: int
    event_batches: int
    budget: float


def size_of(options: SpeedOptions) -> Size:
    """The sizes are those of the searches' presets."""
    if options.space == "nasbench201":
        from nasbench201.space import PAPER, PRESETS
    else:
        from sota.space import PAPER, PRESETS
    preset = PAPER if options.size == "paper" else PRESETS[options.size]
    depth = preset["cells_per_stage" if options.space == "nasbench201" else "layers"]
    repeats, event_batches, budget = (5, 1, 60.0) if options.size == "paper" else (20, 2, 9.0)
    return Size(
        preset["init_channels"],
        depth,
        preset["batch_size"],
        options.repeats or repeats,
        options.event_batches or event_batches,
        budget,
    )


class Contest:
    """Ours and the textbook's, set up alike: same weights, same data, same mixing weights."""

    def __init__(self, options: SpeedOptions) -> None:
        import torch

        from benchmarks import textbook
        from darts_pt.architect import Architect
        from darts_pt.data.halves import halves
        from darts_pt.hyperparameters import WeightOptions
        from darts_pt.image_training import Halves, ImageTraining
        from darts_pt.kernels.passes import replayed
        from darts_pt.run.device import Generators, cpu
        from darts_pt.supernet import initial_alpha
        from darts_pt.training import sgd

        self.size = size_of(options)
        self.device = cpu() if options.device == "cpu" else torch.device(options.device)
        torch.manual_seed(0)
        data = _data(options.size, self.device)
        supernet, self.network = _networks(options.space, self.size, data.classes)
        self.network.load_state_dict(supernet.state_dict())
        supernet, self.network = supernet.to(self.device), self.network.to(self.device)
        supernet.precision = options.precision
        if options.cuda_graph:
            supernet.run_pass = replayed(supernet, self.device)
        generators = Generators(0, self.device)
        _set_noise(supernet, self.network, generators["noise"])
        alpha = initial_alpha(supernet.cell_types, generators["alpha"], self.device)
        weight_options = WeightOptions(batch_size=self.size.batch_size)
        self.halves = Halves(*halves(data, 0.5, 0))
        optimizer = sgd(supernet, weight_options)
        self.training = ImageTraining(
            Architect(supernet, alpha), data, self.halves, generators, weight_options, optimizer
        )

        self.alpha = {name: rows.detach().clone().requires_grad_() for name, rows in alpha.items()}
        self.alpha_optimizer = torch.optim.Adam(self.alpha.values(), lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3)
        self.weight_optimizer = torch.optim.SGD(self.network.parameters(), lr=0.025, momentum=0.9, weight_decay=3e-4)
        crop, flip = data.augmentation.crop_padding, data.augmentation.flip
        self.images = textbook.ImageByImage(
            data.train.pixels.cpu(), data.train.labels.cpu(), data.mean, data.std, crop, flip
        )

    # One step ----------------------------------------------------------------------------------------------------

    def our_step(self) -> None:
        _, batches = self.training.search_batches()
        self.training.step(next(batches))

    def textbook_batch(self, half: Tensor) -> tuple[Tensor, Tensor]:
        from benchmarks import textbook

        images, labels = next(iter(textbook.loader(self.images, half, self.size.batch_size)))
        return images.to(self.device), labels.to(self.device)

    def textbook_step(self) -> None:
        from benchmarks import textbook

        valid, train = self.textbook_batch(self.halves.valid), self.textbook_batch(self.halves.train)
        textbook.bilevel_step(
            self.network, self.alpha, self.alpha_optimizer, self.weight_optimizer, train, valid, grad_clip=5.0
        )

    def our_input(self) -> None:
        """Both batches of a step."""
        from darts_pt.data.batches import random_batch_indices

        for half in self.halves:
            self.training.batch(random_batch_indices(half, self.size.batch_size, self.training.generators["batches"]))

    def textbook_input(self) -> None:
        for half in self.halves:
            self.textbook_batch(half)

    # One decision ------------------------------------------------------------------------------------------------

    @property
    def event(self) -> tuple[CellType, int]:
        """The cell type and edge that are decided: the last type's middle edge, nothing being decided yet."""
        cell_type = self.training.supernet.cell_types[0]
        return cell_type, len(cell_type.edges) // 2

    def our_event(self) -> None:
        from itertools import islice

        from darts_pt.selection import Criteria
        from darts_pt.selections.pt import PerturbationRule
        from darts_pt.supernet import Decisions

        cell_type, edge = self.event
        criteria = Criteria({cell_type.name: "acc"}, {})
        rule = PerturbationRule(
            batches=lambda: islice(self.training.valid_batches(), self.size.event_batches), criteria=criteria
        )
        rule.operation(self.training.architect, Decisions(), cell_type, edge)

    def textbook_event(self) -> None:
        from itertools import islice

        from benchmarks import textbook

        cell_type, edge = self.event
        weights = {name: rows.detach().softmax(-1) for name, rows in self.alpha.items()}
        for operation in range(len(cell_type.operations[edge])):
            loader = textbook.loader(self.images, self.halves.valid, self.size.batch_size)
            batches = ((images.to(self.device), labels.to(self.device)) for images, labels in loader)
            batches = islice(batches, self.size.event_batches)
            textbook.score_removal(self.network, weights, cell_type.name, edge, operation, batches)


def _data(size: str, device: torch.device) -> DataSet:
    """The digits, or random images of CIFAR's size: the time does not depend on what they show."""
    import torch

    from darts_pt.data.augmentation import Augmentation
    from darts_pt.data.data_set import DataSet, Images
    from darts_pt.data.sources import load

    if size == "digits":
        return load("digits", device=device)
    generator = torch.Generator().manual_seed(0)
    images = Images(
        torch.randint(256, (10_000, 3, 32, 32), generator=generator, dtype=torch.uint8).to(device),
        torch.randint(10, (10_000,), generator=generator).to(device),
    )
    return DataSet("random", 10, images, images, (0.5,) * 3, (0.25,) * 3, Augmentation(crop_padding=4, flip=True))


def _networks(space: str, size: Size, classes: int) -> tuple[Supernet, torch.nn.Module]:
    from benchmarks import textbook

    if space == "nasbench201":
        from nasbench201.supernet import CELL, NasBench201Supernet

        return (
            NasBench201Supernet(size.init_channels, size.depth, classes),
            textbook.TextbookNasBench201(CELL, size.init_channels, size.depth, classes),
        )
    from sota.spaces import cell_types
    from sota.supernet import SotaSupernet

    return (
        SotaSupernet(space, size.init_channels, size.depth, classes),
        textbook.TextbookSota(cell_types(space), size.init_channels, size.depth, classes),
    )


def _set_noise(supernet: Supernet, network: torch.nn.Module, generator: torch.Generator) -> None:
    from benchmarks.textbook import Noise

    if hasattr(supernet, "noise_generator"):
        supernet.noise_generator = generator  # type: ignore[assignment]
    for module in network.modules():
        if isinstance(module, Noise):
            module.generator = generator


# Rows ------------------------------------------------------------------------------------------------------------


def measure(options: SpeedOptions) -> list[Row]:
    """All rows; the first is the bilevel step."""
    import torch

    from benchmarks.measuring import count
    from darts_pt.run.device import use_precision

    if options.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch finds no usable GPU here; expected cpu")
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    use_precision(options.precision)
    contest = Contest(options)
    size, device = contest.size, contest.device
    step = in_turn(contest.our_step, contest.textbook_step, size.repeats, size.budget, device)
    inputs = in_turn(contest.our_input, contest.textbook_input, size.repeats, size.budget, device)
    event = in_turn(contest.our_event, contest.textbook_event, size.repeats, size.budget, device)
    memory = peak_bytes(contest.our_step, device), peak_bytes(contest.textbook_step, device)
    event_memory = peak_bytes(contest.our_event, device), peak_bytes(contest.textbook_event, device)
    counts = [
        count(action) for action in (contest.our_step, contest.textbook_step, contest.our_event, contest.textbook_event)
    ]
    shares = 100 * inputs[0].wall / step[0].wall, 100 * inputs[1].wall / step[1].wall
    return [
        _row("bilevel step", step, "wall"),
        _row("bilevel step, processor time", step, "processor"),
        _row("selection event", event, "wall"),
        _row("selection event, processor time", event, "processor"),
        _row("input pipeline", inputs, "wall"),
        Row("input pipeline, share of own step", *shares, "%"),
        Row("peak memory of a step", memory[0] / 2**20, memory[1] / 2**20, "MiB"),
        Row("peak memory of an event", event_memory[0] / 2**20, event_memory[1] / 2**20, "MiB"),
        Row("kernels of a step", counts[0].kernels, counts[1].kernels, ""),
        Row("bytes of a step", counts[0].bytes / 1e9, counts[1].bytes / 1e9, "GB"),
        Row("kernels of an event", counts[2].kernels, counts[3].kernels, ""),
        Row("bytes of an event", counts[2].bytes / 1e9, counts[3].bytes / 1e9, "GB"),
    ]


def _row(name: str, timings: tuple[Timing, Timing], which: Literal["wall", "processor"]) -> Row:
    ours, theirs = (1e3 * getattr(timing, which) for timing in timings)
    return Row(name, ours, theirs, "ms")


def main(options: SpeedOptions) -> list[Row]:
    """Measure, print a table, and write the rows where asked."""
    import platform

    import torch

    if options.json is not None and not options.json.absolute().parent.is_dir():
        raise UserError(f"--json {options.json}: there is no folder {options.json.absolute().parent}")
    rows = measure(options)
    device = torch.cuda.get_device_name() if options.device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(
        f"{options.space}, {options.size} size, {device}, torch {torch.__version__}, Python {platform.python_version()}"
    )
    print(f"{'':34}{'ours':>11}{'textbook':>11}       {'ratio':>7}")
    for row in rows:
        print(f"{row.name:34}{row.ours:11.2f}{row.textbook:11.2f} {row.unit:5} {row.ratio:7.2f}")
    if options.json is not None:
        options.json.write_text(json.dumps([row.to_dict() for row in rows], indent=2) + "\n")
    return rows


if __name__ == "__main__":
    run_command(SpeedOptions, main, sys.argv[1:])
