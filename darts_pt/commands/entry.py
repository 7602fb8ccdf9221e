"""`darts-pt search|select|train SPACE [--key value]…`: the commands of the spaces if the package is installed."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from darts_pt.commands import stages
from darts_pt.commands.command_line import USER_ERROR_CODE, run_command
from darts_pt.run.errors import did_you_mean
from darts_pt.space import SPACES, Kind

KINDS: dict[str, Kind] = {"search": "search", "select": "selection", "train": "training"}


def main() -> None:
    """Run the command that the process's arguments name."""
    words = sys.argv[1:]
    usage = (
        f"usage: darts-pt {{{','.join(KINDS)}}} {{{','.join(SPACES)}}} [--key value]…; --help after both lists the keys"
    )
    if words[:1] in (["--help"], ["-h"]):
        print(usage)
        return
    for word, known in zip([*words[:2], "", ""], (KINDS, SPACES), strict=False):
        if word not in known:
            print(f"error: unknown {word!r}{did_you_mean(word, known)}; {usage}", file=sys.stderr)
            sys.exit(USER_ERROR_CODE)
    kind, space = KINDS[words[0]], SPACES[words[1]]
    if kind not in space.commands:
        print(f"error: architectures of {space.title} are not trained from scratch", file=sys.stderr)
        sys.exit(USER_ERROR_CODE)
    options, module = space.commands[kind]
    named = ["--space", space.name] if "space" in options.__dataclass_fields__ else []
    run: Any = importlib.import_module(module).main if module else getattr(stages, words[0])
    start = run if module else lambda options: run(space, options)
    run_command(options, start, [*named, *words[2:]], f"darts-pt {words[0]} {words[1]}")
