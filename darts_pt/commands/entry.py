"""`darts-pt search|select|train SPACE [--key value]…`: the commands of the spaces if the package is installed."""

from __future__ import annotations

import sys

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
    kind_of_options = space.commands[kind].options
    named = ["--space", space.name] if "space" in kind_of_options.__dataclass_fields__ else []
    arguments, prog = [*named, *words[2:]], f"darts-pt {words[0]} {words[1]}"
    # With --nproc_per_node this module runs in every process, with the words that were typed.
    run_command(kind_of_options, lambda options: stages.run(space, kind, options), arguments, prog, words)


if __name__ == "__main__":
    main()
