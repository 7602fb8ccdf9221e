"""`python -m runs.reference`: write the options of all commands, from their definitions, into docs/reference.md."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from darts_pt.commands.help_page import help_texts
from darts_pt.run.provenance import PROJECT_ROOT
from darts_pt.space import SPACES, Kind

PAGE = PROJECT_ROOT / "docs" / "reference.md"
TITLES: dict[Kind, str] = {"search": "Search", "selection": "Selection", "training": "Training from scratch"}
MARK = "<!-- Below: python -m runs.reference -->\n"


def options_page() -> str:
    """The generated part of the page: a table for each kind of command, and the presets of the spaces."""
    lines: list[str] = []
    families = SPACES.families().values()
    for kind, title in TITLES.items():
        commands = {space.family: space.commands[kind].options for space in families}
        names = dict.fromkeys(field.name for options in commands.values() for field in dataclasses.fields(options))  # type: ignore[arg-type]
        lines += [f"## {title}", "", "| option | default | meaning |", "|---|---|---|"]
        helps = {family: help_texts(options) for family, options in commands.items()}
        for name in names:
            having = {family: options for family, options in commands.items() if name in options.__dataclass_fields__}
            only = "" if len(having) == len(commands) else f" ({', '.join(having)})"
            texts = {helps[family][name] for family in having}
            shown = " / ".join(dict.fromkeys(_default(options, name) for options in having.values()))
            lines.append(f"| `--{name}`{only} | {shown} | {' / '.join(sorted(texts))} |".replace("|  |", "| |"))
        lines += ["", *_presets(kind), ""]
    return "\n".join(lines)


def _default(options: Any, name: str) -> str:
    field = options.__dataclass_fields__[name]
    if field.default is dataclasses.MISSING:
        return "required"
    if field.default is None or field.default is False:
        return ""
    value = str(field.default).replace(f"{PROJECT_ROOT}/", "")
    return f"`{value}`"


def _presets(kind: Kind) -> Iterator[str]:
    """The preset values of open options, by space and data set."""
    for space in SPACES.families().values():
        for dataset, preset in (space.training_presets if kind == "training" else space.search_presets).items():
            if kind != "selection":
                values = ", ".join(f"{name} {value}" for name, value in sorted(preset.items()))
                yield f"Preset of {space.family} on {dataset}: {values}."
                yield ""
        for size, preset in space.size_presets.items() if kind == "search" else ():
            values = ", ".join(f"{name} {value}" for name, value in sorted(preset.items()))
            yield f"Of {space.family} with `--size {size}`, the rest as above: {values}."
            yield ""


def main() -> None:
    head, _, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    PAGE.write_text(head + MARK + "\n" + options_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
