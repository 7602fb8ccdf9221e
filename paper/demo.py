"""`python -m paper.demo`: the paper's claim in minutes on a CPU, on the digits that ship with scikit-learn.

From each of several DARTS supernets of NAS-Bench-201 one architecture is selected by magnitude and one by perturbation
(PT), and both are looked up in the benchmark table of digits. The setting is that of docs/results.md and the seeds follow
those reported there, so neither was chosen by the outcome.
"""

from __future__ import annotations

import json
import os
import shlex
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import tyro

from darts_pt.commands.command_line import run_command
from darts_pt.commands.scripts import SCRIPTS
from darts_pt.run.errors import UserError
from darts_pt.run.provenance import PROJECT_ROOT
from darts_pt.space import SPACES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from report.style import Picture, Theme
    from runs.run import Run

BOTH: dict[str, Any] = {"init_channels": 4, "batch_size": 64, "arch_learning_rate": 3e-3, "report_freq": 1000}
SEARCH: dict[str, Any] = {"epochs": 15, "ckpt_interval": 100}
SELECTION: dict[str, Any] = {"proj_intv": 1}
"""Small and short, for a CPU; alpha's learning rate is ten times the paper's because an epoch has ten steps."""
SEEDS = (6, 7, 8, 9, 10, 11, 12, 13)
"""docs/results.md has 1 to 5; these are as many as take two minutes."""
TAG, NAME = "demo", "demo"
SIGNIFICANT = 0.05


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Select by magnitude and by perturbation from the same supernets, and compare: on digits, in minutes on a CPU.

    Files: demo.png and demo.json (its numbers) in the folder of experiments. Finished runs are not repeated; an
    interrupted demo continues.
    """

    seeds: Annotated[tuple[int, ...], tyro.conf.arg(aliases=["--seed"])] = SEEDS
    """Seeds of the supernets, one search each; docs/results.md has 1 to 5."""
    gpu: str = "auto"
    """Device: auto (the least used GPU, or the CPU where there is none), the index of a GPU, or cpu."""
    experiments: Annotated[Path, tyro.conf.arg(metavar="DIR")] = PROJECT_ROOT / "experiments"
    """The folder of experiments."""
    fast: bool = False
    """Quick trial: one batch per epoch and per evaluation. It has no results."""

    def __post_init__(self) -> None:
        if not self.seeds or min(self.seeds) < 0 or len({*self.seeds}) < len(self.seeds):
            raise UserError("--seeds: expected different whole numbers from 0 up, such as 6 7 8")


class Choice(NamedTuple):
    """An architecture with the benchmark table's test accuracy (percent) and rank."""

    genotype: str
    accuracy: float
    rank: int


class Pair(NamedTuple):
    """The choices of magnitude and of PT from the supernet of a seed."""

    seed: int
    magnitude: Choice
    pt: Choice

    @property
    def gain(self) -> float:
        """PT's gain over magnitude in percentage points of test accuracy."""
        return self.pt.accuracy - self.magnitude.accuracy

    @property
    def numbers(self) -> tuple[float, ...]:
        """A row of the table."""
        return self.magnitude.accuracy, self.magnitude.rank, self.pt.accuracy, self.pt.rank, self.gain


def main(options: DemoOptions) -> None:
    import torch

    from darts_pt.run.files import atomic_write
    from darts_pt.run.logs import warnings_only
    from report.style import save
    from runs.make import Runner

    began = time.perf_counter()
    count = len(options.seeds)
    setting = f"C={BOTH['init_channels']}, {SEARCH['epochs']} epochs of search, {count} seed{'s' if count > 1 else ''}"
    print(f"NAS-Bench-201 on digits: {setting}; starting …", flush=True)
    # On maps of 8×8 pixels more threads only wait for each other, and each number of them rounds in its own way.
    torch.set_num_threads(1)
    runner, pairs = Runner(), []
    with warnings_only():
        for place, seed in enumerate(options.seeds, start=1):
            searched, selected = runs_of(options, seed)
            made = False
            for run, words in ((searched, "search"), (selected, "selection by PT")):
                if not run.is_done:
                    made = True
                    print(f"seed {seed} ({place} of {count}): {words} …", flush=True)
                runner.get(run)
            if not options.fast:
                pairs.append(pair(selected, seed))
                print(f"seed {seed} ({place} of {count}): {in_words(pairs[-1])}", flush=True)
            if made and place == 1 and count > 1:
                print(
                    f"about {(time.perf_counter() - began) * (count - 1):.0f} s for the other {count - 1}", flush=True
                )
    if options.fast:
        print("a trial of one batch per epoch: it went through, and has no results")
        return
    print("", *table(pairs), "", conclusion(pairs), "", sep="\n")
    options.experiments.mkdir(parents=True, exist_ok=True)
    save(picture(pairs), options.experiments, ("png",))
    path = options.experiments / f"{NAME}.json"
    atomic_write(path, json.dumps(facts(pairs), indent=1) + "\n")
    print(f"{time.perf_counter() - began:.0f} s; picture: {path.with_suffix('.png')}, its numbers: {path}")
    print("more: docs/results.md has nine search methods in this setting, docs/paper.md the paper's figures and tables")
    where = [] if options.experiments == DemoOptions.experiments else ["--experiments", str(options.experiments)]
    print("next:", shlex.join(["bash", os.path.relpath(SCRIPTS / "report.sh"), *where]))


def runs_of(demo: DemoOptions, seed: int) -> tuple[Run, Run]:
    """The search of a seed and its selection by PT, whose genotype.json has magnitude's choice too."""
    from runs.run import search, selection

    space = SPACES["nasbench201"]
    common = {name: getattr(demo, name) for name in ("gpu", "experiments", "fast")}
    common |= {"dataset": "digits", "seed": seed, "expid_tag": TAG, **BOTH}
    options_of: dict[str, Any] = {kind: space.commands[kind].options for kind in ("search", "selection")}
    searched = search(space, options_of["search"](**common, **SEARCH))
    return searched, selection(searched, options_of["selection"](**common, **SELECTION, resume_expid=""))


def pair(selected: Run, seed: int) -> Pair:
    """The result of a finished selection."""
    from runs.reading import read_run

    assert selected.folder is not None
    content: Any = read_run(selected.folder).genotype
    choices = [
        Choice(each["genotype"], each["table"]["digits test"], each["table"]["rank"])
        for each in (content["baseline"], content)
    ]
    return Pair(seed, *choices)


# What came out ---------------------------------------------------------------------------------------------------


def in_words(pair: Pair) -> str:
    return f"magnitude {pair.magnitude.accuracy:.2f} %, PT {pair.pt.accuracy:.2f} %, difference {pair.gain:+.2f} points"


def table(pairs: Sequence[Pair]) -> list[str]:
    """Lines: a row per seed, then mean and standard deviation (of the sample)."""
    from darts_pt.run.logs import aligned

    formats = (".2f", ",.0f", ".2f", ",.0f", "+.2f")
    named = [(f"seed {each.seed}", each.numbers) for each in pairs]
    columns = list(zip(*(each.numbers for each in pairs), strict=True))
    named.append(("mean", tuple(map(statistics.fmean, columns))))
    rows = [
        [name, *(format(number, one) for number, one in zip(numbers, formats, strict=True))] for name, numbers in named
    ]
    if len(pairs) > 1:
        spread = (
            f"± {statistics.stdev(column):{one.strip('+')}}" for column, one in zip(columns, formats, strict=True)
        )
        rows.append(["standard deviation", *spread])
    title = "test accuracy (%) and rank of 15,625 by the benchmark table"
    return [title, *aligned([["", "magnitude", "rank", "PT", "rank", "difference"], *rows])]


def p_value(pairs: Sequence[Pair]) -> float | None:
    """Two-sided p of a paired t-test; None for fewer than three seeds or equal differences."""
    from report.paired import difference_of

    return difference_of([each.gain for each in pairs]).p if len(pairs) >= 3 else None


def conclusion(pairs: Sequence[Pair]) -> str:
    """The finding in one sentence, even if there is none."""
    gains = [each.gain for each in pairs]
    mean, p = statistics.fmean(gains), p_value(pairs)
    better, worse = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    compared = f"{abs(mean):.2f} points {'better' if mean > 0 else 'worse'} than magnitude's in the mean"
    counts = f"better in {better} and worse in {worse} of {len(pairs)} supernets"
    if p is None:
        shown = "these are too few different results to say more"
    elif p >= SIGNIFICANT:
        shown = f"chance alone could bring that about, so it shows nothing (paired t-test, p = {p:.3f})"
    else:
        shown = f"{'PT' if mean > 0 else 'magnitude'} selects better here, beyond chance (paired t-test, p = {p:.3f})"
    return f"PT's architectures are {compared}, {counts}: {shown}. Digits of 8×8 pixels say nothing about CIFAR-10."


def facts(pairs: Sequence[Pair]) -> dict[str, Any]:
    """The numbers of the picture, for demo.json."""
    rows = [
        {"seed": each.seed, "magnitude": each.magnitude._asdict(), "pt": each.pt._asdict(), "difference": each.gain}
        for each in pairs
    ]
    gains = [each.gain for each in pairs]
    return {
        "setting": {"method": "darts", "dataset": "digits", **BOTH, **SEARCH, **SELECTION},
        "rows": rows,
        "mean_difference": statistics.fmean(gains),
        "standard_deviation": statistics.stdev(gains) if len(gains) > 1 else None,
        "p": p_value(pairs),
        "conclusion": conclusion(pairs),
    }


def picture(pairs: Sequence[Pair]) -> Picture:
    """A line per supernet, from magnitude's architecture to PT's, and the means."""
    from report.style import Picture, new_figure

    def draw(theme: Theme) -> Figure:
        figure = new_figure(height=2.9)
        axes = figure.add_subplot(ylabel="test accuracy by the benchmark table (%)")
        for each in pairs:
            heights = [each.magnitude.accuracy, each.pt.accuracy]
            axes.plot([0, 1], heights, color=theme.muted, marker="o", markersize=3, linewidth=0.9)
        means = [statistics.fmean(choice.accuracy for choice in side) for side in list(zip(*pairs, strict=True))[1:]]
        axes.plot([0, 1], means, color=theme.red, marker="D", markersize=6, linewidth=2.2, label="mean")
        axes.set_xticks([0, 1], [f"magnitude\n{means[0]:.2f} %", f"PT\n{means[1]:.2f} %"])
        axes.set_xlim(-0.25, 1.25)
        axes.xaxis.grid(False)
        axes.set_title(f"DARTS on digits, {len(pairs)} supernets")
        axes.legend(loc="best")
        return figure

    words = "; ".join(f"seed {each.seed}: {in_words(each)}" for each in pairs)
    return Picture(NAME, "Magnitude and PT from the same supernets", f"{conclusion(pairs)} {words}.", draw)


if __name__ == "__main__":
    run_command(DemoOptions, main)
