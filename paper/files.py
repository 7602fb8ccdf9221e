"""The files of paper.sh: figures, the facts of each as JSON, and paper.md made of all of them."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from darts_pt.run.files import atomic_write
from darts_pt.space import SPACES
from paper.options import DEFAULT_SPACES, PaperOptions, Result
from paper.study import SCALES
from report.content import duration
from report.style import FORMATS, save
from runs.commands import repeat_command
from runs.costs import Cost, added, cost_of
from runs.reading import read_run
from runs.recorded import Recorded

FIGURES, PAGE = "figures", "paper.md"
KINDS = ("figure", "table")


def draw(options: PaperOptions, result: Result) -> list[dict[str, str]]:
    """The pictures as files; their names and what one sees in them."""
    folder = options.output / FIGURES
    images = []
    for picture in result.pictures:
        save(dataclasses.replace(picture, name=options.stem), folder)
        images.append({"file": f"{FIGURES}/{options.stem}.png", "alt": picture.alt})
    for index, (label, space, architecture) in enumerate(result.drawings, start=1):
        folder.mkdir(parents=True, exist_ok=True)
        for fmt in FORMATS:
            SPACES[space].draw(architecture, folder / f"{options.stem}-{index}.{fmt}")
        images.append({"file": f"{FIGURES}/{options.stem}-{index}.png", "alt": f"{label}: {architecture}"})
    return images


def write(options: PaperOptions, result: Result, images: list[dict[str, str]], folders: list[Path]) -> None:
    """The facts of one figure or table as JSON, and paper.md of all of them; `folders` are of the runs it used."""
    experiments = options.experiments.resolve()
    runs = {folder.resolve().relative_to(experiments).as_posix(): read_run(folder) for folder in folders}
    spent = {name: cost_of(run.folder) for name, run in runs.items()}
    facts: dict[str, Any] = {
        "kind": options.kind,
        "number": options.number,
        "stem": options.stem,
        "title": result.title,
        "caption": result.caption,
        "images": images,
        "header": result.table[0] if result.table else [],
        "rows": result.table[1] if result.table else [],
        "command": _command(options),
        "runs": [
            {"run": name, "command": repeat_command(run), **_rounded(spent[name])} for name, run in sorted(runs.items())
        ],
        **_rounded(added(cost._asdict() for cost in spent.values())),
        "machines": sorted({machine for run in runs.values() if (machine := _machine(run))}),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
    }
    folder = options.output / FIGURES
    atomic_write(folder / f"{options.stem}.json", json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    atomic_write(options.output / PAGE, page(folder))


def _rounded(cost: Cost) -> dict[str, float | None]:
    return {name: None if value is None else round(value, 1) for name, value in cost._asdict().items()}


def _machine(run: Recorded) -> str | None:
    """The device of a run: `cpu, 2 cores`, or the GPU's name."""
    device, host = run.config.get("device"), run.config.get("host")
    cores = f", {host.get('cpus')} cores" if device == "cpu" and isinstance(host, Mapping) else ""
    return f"{device}{cores}" if device else None


def budget(options: PaperOptions) -> str:
    """The time the set has taken so far, and its limit."""
    total = _total(_results(options.output / FIGURES))
    most = SCALES[options.preset].minutes
    bound = f" of {most:.0f} min" if most is not None and options.dataset is None and not options.fast else ""
    return f"the set so far: {duration(total.processor_seconds)}{bound} of processor time"


def _results(folder: Path) -> list[dict[str, Any]]:
    """The facts of every figure and table in `folder`, in their order."""
    return sorted(
        (json.loads(path.read_text(encoding="utf-8")) for kind in KINDS for path in folder.glob(f"{kind}-*.json")),
        key=lambda facts: (facts["kind"], facts["number"], facts["stem"]),
    )


def _runs(results: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The runs of all of them by their names; one that several use is there once."""
    return {run["run"]: run for facts in results for run in facts["runs"]}


def _total(results: list[dict[str, Any]]) -> Cost:
    """The time of all of them, as far as it is known."""
    return added(_runs(results).values())


def _command(options: PaperOptions) -> str:
    """The command that makes this again."""
    words = [f"bash exp_scripts/paper.sh --{options.kind} {options.number}"]
    words += [f"--space {options.space}"] if options.space else []
    words += [f"--preset {options.preset}"] if options.preset != "digits" else []
    words += [f"--dataset {options.dataset}"] if options.dataset else []
    words += [f"--data DIR --table_dataset {options.table_dataset}"] if options.dataset == "folder" else []
    words += [f"--seeds {' '.join(map(str, options.seeds))}"] if options.seeds else []
    return " ".join(words + (["--fast"] if options.fast else []))


def page(folder: Path) -> str:
    """paper.md out of the facts of every figure and table in `folder`, in their order."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    results = _results(folder)
    runs, total = _runs(results), _total(results)
    made = {facts["stem"] for facts in results}
    usual = [PaperOptions(**{kind: number}) for kind, number in DEFAULT_SPACES]  # pyright: ignore[reportArgumentType]
    environment = Environment(  # Markdown, not HTML: nothing to escape
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"duration": duration, "label": _label, "anchor": _anchor}
    text = environment.get_template("paper.md.j2").render(
        results=results,
        not_made=[(_label(options.stem), _command(options)) for options in usual if options.stem not in made],
        **_against_magnitude(results),
        runs=len(runs),
        uncounted=sum(run["processor_seconds"] is None for run in runs.values()),
        total=total,
        machines=sorted({machine for facts in results for machine in facts["machines"]}),
    )
    return re.sub(r"\n{3,}", "\n\n", text)


def _against_magnitude(results: list[dict[str, Any]]) -> dict[str, list[str]]:
    """PT beside magnitude in the tables of test errors: where PT's error is the smaller (better), the larger or equal."""
    errors: dict[tuple[str, str], str] = {}
    for facts in results:
        if facts["kind"] == "table" and facts["number"] > 1:
            ours = next(place for place, name in enumerate(facts["header"]) if name.startswith("ours"))
            for row in facts["rows"]:
                space = row[0] if facts["header"][0] == "space" else facts["stem"].split("-")[2].upper()
                errors[space, row[facts["header"].index("method")]] = row[ours].partition(" ")[0]
    found: dict[str, list[str]] = {"better": [], "worse": [], "equal": []}
    for (space, label), theirs in errors.items():
        method = label.partition(" (")[0]
        pt = errors.get((space, f"{method} + PT"))
        if pt and theirs:
            which = "better" if float(pt) < float(theirs) else "worse" if float(pt) > float(theirs) else "equal"
            found[which].append(f"{method} in {space} ({pt}, {theirs})")
    return found


def _label(stem: str) -> str:
    """`Figure 3 (s2, digits)`."""
    kind, number, *rest = stem.split("-")
    return f"{kind.capitalize()} {number} ({', '.join(rest)})"


def _anchor(label: str) -> str:
    """The link that GitHub gives a heading."""
    return re.sub(r"[^a-z0-9 -]", "", label.lower()).replace(" ", "-")
