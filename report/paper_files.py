"""What paper.sh leaves: figures as files, the facts of each as JSON, and paper.md made of all of them."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darts_pt.files import atomic_write
from report.cells import draw_architecture
from report.commands import repeat_command
from report.content import duration
from report.page import TEMPLATES
from report.paper import DEFAULT_SPACES, PaperOptions, Result, plain_json, today
from report.reading import read_run
from report.style import FORMATS, save

if TYPE_CHECKING:
    from report.making import Maker

FIGURES, PAGE = "figures", "paper.md"


def write(options: PaperOptions, result: Result, makers: list[Maker]) -> Path:
    """All files of one figure or table; the path of paper.md."""
    folder = options.output / FIGURES
    images = []
    for picture in result.pictures:
        named = dataclasses.replace(picture, name=options.stem)
        save(named, folder)
        images.append({"file": f"{FIGURES}/{options.stem}.png", "alt": picture.alt})
    for index, (label, architecture) in enumerate(result.drawings, start=1):
        for fmt in FORMATS:
            folder.mkdir(parents=True, exist_ok=True)
            draw_architecture(architecture, folder / f"{options.stem}-{index}.{fmt}")
        images.append({"file": f"{FIGURES}/{options.stem}-{index}.png", "alt": f"{label}: {architecture}"})
    runs = [read_run(path) for maker in makers for path in maker.folders]
    seconds = [run.seconds for run in runs if run.seconds is not None]
    devices = sorted({str(run.config["device"]) for run in runs if run.config.get("device")})
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
        "runs": [command for run in runs if (command := repeat_command(run))],
        "time": duration(sum(seconds)) if seconds else "",
        "device": ", ".join(devices),
        "date": today(),
    }
    atomic_write(folder / f"{options.stem}.json", plain_json(facts))
    path = options.output / PAGE
    atomic_write(path, page(folder))
    return path


def _command(options: PaperOptions) -> str:
    """What one types to get this again."""
    words = [f"bash exp_scripts/paper.sh --{options.kind} {options.number}"]
    words += [f"--space {options.space}"] if options.space else []
    words += ["--preset paper"] if options.preset == "paper" else []
    words += [f"--dataset {options.dataset}"] if options.dataset else []
    words += [f"--seeds {' '.join(map(str, options.seeds))}"] if options.seeds else []
    return " ".join(words + (["--fast"] if options.fast else []))


def page(folder: Path) -> str:
    """paper.md out of the facts of every figure and table in `folder`, in their order."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    results = sorted(
        (json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")),
        key=lambda facts: (facts["kind"], facts["number"], facts["stem"]),
    )
    for facts in results:
        facts["label"] = _label(facts)
        facts["anchor"] = re.sub(r"[^a-z0-9 -]", "", facts["label"].lower()).replace(" ", "-")
    made = {facts["stem"] for facts in results}
    usual = [PaperOptions(**{kind: number}) for kind, number in DEFAULT_SPACES]  # pyright: ignore[reportArgumentType]
    missing = [
        (_label({"kind": options.kind, "number": options.number, "stem": options.stem}), _command(options))
        for options in usual
        if options.stem not in made
    ]
    environment = Environment(  # Markdown, not HTML: nothing to escape
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = environment.get_template("paper.md.j2").render(results=results, not_made=missing)
    return re.sub(r"\n{3,}", "\n\n", text)


def _label(facts: dict[str, Any]) -> str:
    """`Figure 3 (s2, digits)`."""
    rest = facts["stem"].split("-")[2:]
    return f"{facts['kind'].capitalize()} {facts['number']} ({', '.join(rest)})"
