"""`python -m runs KIND SPACE [--key value]…`: a search, a selection or a training in a space.

Where `--space`, `--resume_expid` or `--arch` names another space, or an experiment of one, that space's command runs. A
training has the options that the paper's has, and the data set of the experiment that `--arch` names.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from darts_pt.commands import stages
from darts_pt.commands.command_line import USER_ERROR_CODE, run_command
from darts_pt.commands.help_page import typed_command
from darts_pt.commands.options import TRIAL
from darts_pt.commands.scripts import options_of_images
from darts_pt.run.provenance import PROJECT_ROOT
from darts_pt.space import SPACES, Kind, SearchSpace
from runs.reading import read_object

Space = SearchSpace[Any, Any]


def main(argv: Sequence[str]) -> None:
    """Find the space, and run its command."""
    if len(argv) < 2 or argv[0] not in get_args(Kind) or argv[1] not in SPACES:
        usage = f"usage: python -m runs {{{','.join(get_args(Kind))}}} {{{','.join(SPACES)}}} [--key value]…"
        print(usage, file=sys.stderr)
        sys.exit(USER_ERROR_CODE)
    kind: Any = argv[0]
    arguments = list(argv[2:])
    space = space_of(SPACES[argv[1]], arguments)
    if kind == "training":
        arguments += trial_of(space, arguments)
        arguments = [*usual_training(space, arguments), *arguments]

    prog = typed_command(f"python -m runs {kind} {space.name}")
    # With --nproc_per_node this module runs in every process, with the words that were typed.
    run_command(space.commands[kind].options, lambda options: stages.run(space, kind, options), arguments, prog, argv)


def space_of(space: Space, arguments: Sequence[str]) -> Space:
    """The space that the arguments name; `space` if they name none."""
    named = value_of("space", arguments) or value_of("search_space", arguments)
    if named in SPACES:
        return SPACES[named]
    name = value_of("arch", arguments) or value_of("resume_expid", arguments)
    experiments = Path(value_of("experiments", arguments) or PROJECT_ROOT / "experiments")
    families = SPACES.families().values()
    found = next((other for other in families if name and other.recognises(name, experiments)), space)
    return space if found.family == space.family else found


def usual_training(space: Space, arguments: Sequence[str]) -> list[str]:
    """The options that the paper's training adds, and the data of the experiment that `--arch` names."""
    words = [f"--{name}" for name, value in space.paper_training.items() if value is True]
    arch = value_of("arch", arguments)
    options = {} if value_of("dataset", arguments) else _options_of(arch, space, arguments)
    inherited = {name: options.get(name) for name in options_of_images(options)}
    return words + [word for name, value in inherited.items() if value for word in (f"--{name}", str(value))]


def trial_of(space: Space, arguments: Sequence[str]) -> list[str]:
    """With --fast an experiment's name stands for its trial if there is only that, as in a selection."""
    arch = value_of("arch", arguments)
    is_trial = "--fast" in arguments and not _options_of(arch, space, arguments)
    return ["--arch", f"{arch}-{TRIAL}"] if is_trial and _options_of(f"{arch}-{TRIAL}", space, arguments) else []


def _options_of(arch: str, space: Space, arguments: Sequence[str]) -> dict[str, Any]:
    """The options of the experiment that `arch` names; empty if it names none."""
    experiments = Path(value_of("experiments", arguments) or PROJECT_ROOT / "experiments") / space.family
    places = (Path(), experiments, *sorted(experiments.glob("*/")))
    for folder in (place / arch for place in places if arch):
        options = (read_object(folder / "config.json") or {}).get("options")
        if isinstance(options, dict):
            return options
    return {}


def value_of(name: str, arguments: Sequence[str]) -> str:
    """The value that `--name value` or `--name=value` gives, the last one; empty if there is none."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(f"--{name}", f"--{name.replace('_', '-')}", dest="value", nargs="?", const="", default="")
    return parser.parse_known_args(arguments)[0].value


if __name__ == "__main__":
    main(sys.argv[1:])
