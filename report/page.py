"""`python -m report.page`: one page, and figures as files, out of experiment folders."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from darts_pt.commands.command_line import run_command
from darts_pt.run.errors import UserError, in_range
from darts_pt.run.provenance import PROJECT_ROOT

if TYPE_CHECKING:
    from report.style import Picture
    from runs.recorded import Recorded

TEMPLATES = Path(__file__).with_name("templates")
PAGE, FIGURES = "index.html", "figures"
MOST_ROWS, MOST_PROBLEMS = 5000, 200
"""Runs in the overview and in the list of what is missing; a browser bears no more."""
OPEN_RUNS = 3
"""If there are no more runs than these, they are unfolded when the page opens."""


@dataclass(frozen=True, kw_only=True)
class PageOptions:
    """Turn experiment folders into one self-contained page, with its figures as files beside it."""

    experiment: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[EXPERIMENT …]")] = ()
    """Experiments by name or path, or folders that hold some; by default all there are. A search stands for its
    selections too."""
    experiments: Annotated[Path, tyro.conf.arg(metavar="DIR")] = PROJECT_ROOT / "experiments"
    """Where experiments are looked for by name."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="DIR")] = PROJECT_ROOT / "experiments" / "report"
    """The folder for index.html and figures/; what is there under these names is replaced."""
    title: str = "Experiments"
    """The page's title."""
    details: int = 12
    """Show this many runs in full; the overview and the comparison have all of them."""
    formats: tuple[Literal["png", "svg", "pdf"], ...] = ("svg",)
    """Formats in which the figures are written beside the page: as the page has them, or for print, which takes longer."""

    def __post_init__(self) -> None:
        in_range("details", self.details, 0, 1000)
        if self.output.exists() and not self.output.is_dir():
            raise UserError(f"--output {self.output} is a file: expected a folder, new or old")


def main(options: PageOptions) -> Path:
    """Read, draw, write; the page's path."""
    from darts_pt.run.config import as_json
    from darts_pt.run.files import atomic_write
    from report.style import save
    from runs.reading import find_runs, read_runs

    # Figures are many small objects: with the usual 700 collecting takes a fifteenth of the time.
    gc.set_threshold(20_000)
    folders = find_runs(options.experiment, options.experiments)
    print(f"reading {len(folders)} run{'' if len(folders) == 1 else 's'} …", flush=True)
    runs = read_runs(folders)
    html, pictures, numbers = page(runs, options)
    for place, each in enumerate(numbers, start=1):
        path = options.output / FIGURES / "methods" / f"methods-{place}.json"
        atomic_write(path, json.dumps(as_json(each), indent=1) + "\n")
    if options.formats and pictures:
        print(f"writing {len(pictures)} figures as {', '.join(options.formats)} …", flush=True)
        for folder, picture in pictures:
            save(picture, options.output / FIGURES / folder, options.formats)
    path = options.output / PAGE
    atomic_write(path, html)
    broken = sum(bool(run.problems) for run in runs)
    print(f"{len(runs)} runs{f', {broken} of them incomplete' if broken else ''}: {path}")
    return path


def page(runs: Sequence[Recorded], options: PageOptions) -> tuple[str, list[tuple[str, Picture]], list[dict[str, Any]]]:
    """The page's HTML; its pictures, each with the folder its files belong in; and the numbers of each comparison."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from darts_pt.run.provenance import git_state, versions
    from report import content
    from report.comparison import FEWEST

    shown = runs[: options.details]
    named = dict(zip(shown, _identities(shown), strict=True))
    details, pictures = [], []
    for run in shown:
        print(f"drawing {run.name} …", flush=True)
        plain, drawn = content.detail(run, named[run], is_open=len(shown) <= OPEN_RUNS)
        details.append(plain)
        pictures += [(named[run], picture) for picture in drawn]
    compared, drawn, numbers = content.settings(runs)
    pictures += [("methods", picture) for picture in drawn]
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"what": content.what, "percent": content.percent, "duration": content.duration}
    html = environment.get_template("page.html.j2").render(
        title=options.title,
        lead=_lead(runs),
        style=(TEMPLATES / "page.css").read_text(encoding="utf-8"),
        overview=runs[:MOST_ROWS],
        ids=named,
        settings=compared,
        fewest=FEWEST,
        details=details,
        left_out=len(runs) - len(shown),
        incomplete=[run for run in runs if run.problems],
        most_problems=MOST_PROBLEMS,
        figures=FIGURES if numbers or (options.formats and pictures) else None,
        date=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        source=", ".join(options.experiment[:4]) + (" …" if len(options.experiment) > 4 else "") or "all experiments",
        made_by="exp_scripts/report.sh",
        version=versions().get("darts-pt") or "unknown",
        commit=((git_state() or {}).get("commit") or "")[:10],
    )
    return html, pictures, numbers


def _lead(runs: Sequence[Recorded]) -> str:
    """The page in a sentence."""
    counts = [
        f"{count} {name if count == 1 else plural}"
        for kind, name, plural in (
            ("search", "search", "searches"),
            ("selection", "selection", "selections"),
            ("training", "training from scratch", "trainings from scratch"),
            ("analysis", "analysis", "analyses"),
            ("unknown", "folder of unknown kind", "folders of unknown kind"),
        )
        if (count := sum(run.kind == kind for run in runs))
    ]
    spaces = sorted({run.space_title for run in runs})
    data = sorted({run.dataset for run in runs} - {"?"})
    trials = sum(run.is_trial for run in runs)
    left_out = f" {trials} of them trials with --fast, which are not compared." if trials else ""
    known = "; ".join(
        [f"{', '.join(counts)}; space: {', '.join(spaces)}", *([f"data: {', '.join(data)}"] if data else [])]
    )
    return f"{known}.{left_out}"


def _identities(runs: Sequence[Recorded]) -> list[str]:
    """A name for each run that may stand in a link and in a file's path; no two are equal."""
    taken: dict[str, int] = {}
    found = []
    for run in runs:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "_", run.name)
        taken[plain] = taken.get(plain, 0) + 1
        found.append(plain if taken[plain] == 1 else f"{plain}.{taken[plain]}")
    return found


if __name__ == "__main__":
    run_command(PageOptions, main)
