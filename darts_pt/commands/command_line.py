"""Typed options that become the command line: a frozen dataclass per command, a sentence under each field as its help.

Everything here must stay cheap to import: `--help` answers before torch is loaded.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import io
import math
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any, TypeVar, get_type_hints

import tyro

from darts_pt.run.errors import ArgumentError, Stopped, UserError, did_you_mean
from darts_pt.run.launch import leave_to_agent, run_as_ranks
from darts_pt.run.processes import launch

Options = TypeVar("Options")
Number = TypeVar("Number", int, float)

USER_ERROR_CODE = 2
INTERRUPTED_CODE = 130
"""What a shell reports for a program that Ctrl-C ended."""

BROKEN_PIPE_CODE = 141
"""Likewise where the reader of its output has gone."""

_FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}
_USERS_TROUBLE = _FULL | {
    errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP,
}  # fmt: skip
"""Failures of the system that the user can mend and a traceback does not explain: disk full, no permission, bad path."""


_PLAIN_WORDS = (
    (r"no type matching .*? from \['(.*?)'\]\..*<class 'int'>.*", r"expected a whole number, got '\1'"),
    (r"no type matching .*? from \['(.*?)'\]\..*<class 'float'>.*", r"expected a number, got '\1'"),
    (r"Missing from .*?: (--\S+|[A-Z]+) .*", r"\1 is missing: it is required"),
    (r"invalid literal for int\(\) with base 10:", "expected a whole number, got"),
    (r"could not convert string to float:", "expected a number, got"),
    (r"Missing value for argument '(\S+?)'\..*", r"\1: a value is missing"),
    (r"(?i)unrecognized (options|arguments): ", "unexpected "),
)
"""What tyro says of a bad value (a pattern) and how it is said here."""


def run_command(
    options_type: type[Options],
    main: Callable[[Options], object],
    argv: Sequence[str] | None = None,
    prog: str | None = None,
) -> None:
    """The frame of every command: options from the command line, then `main(options)`.

    What the user can mend is printed as one line, `error: …`, and ends the process with code 2; Ctrl-C ends it with
    130. Anything else is a defect of the software and keeps its traceback.

    Args:
        options_type: a frozen dataclass; its docstring opens the help.
        main: the work; it imports torch itself, late, so that `--help` is quick.
        argv: the arguments; the process's own by default.
        prog: what the user typed to get here; `python -m package.module` by default.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # A terminal without UTF-8 must not end a run.
            stream.reconfigure(errors="backslashreplace")
    place = launch()
    if place is not None:  # Before torch is loaded: its reducer warns every rank of what is meant to be so.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    arguments = sys.argv[1:] if argv is None else argv
    try:
        options = parse(options_type, arguments, prog or _module_command())
        if _wants_processes(options):
            sys.exit(run_as_ranks(_module_of(main), arguments, options.nproc_per_node, options.max_restarts))  # type: ignore[attr-defined]
        main(options)
    except UserError as error:
        _fail(_in_terms_of_options(error))
    except Stopped as stop:
        if place is None or place.rank == 0:  # All processes stop at the same step.
            print(str(stop), file=sys.stderr)
        sys.exit(128 + stop.signal_number)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED_CODE)
    except BrokenPipeError:  # What reads the output, such as `head`, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(BROKEN_PIPE_CODE)
    except OSError as error:
        if error.errno not in _USERS_TROUBLE:
            raise
        full = "; make room, then try again: a run goes on from its last checkpoint" if error.errno in _FULL else ""
        place = error.filename2 or error.filename  # Of a copy that failed the second is the one that was to be written.
        _fail((f"{error.strerror}: {place}" if place else str(error)) + full)


def parse(options_type: type[Options], argv: Sequence[str], prog: str) -> Options:
    """The options that `argv` says; `--some_key` and `--some-key` are the same.

    Raises:
        UserError: unknown option (with close matches), bad or missing value.
        SystemExit: after `--help`, with code 0.
    """
    _check_names(options_type, argv)
    given = [argument for argument in argv if argument not in ("--help", "-h")]
    if given and len(given) < len(argv):
        print(f"given before --help, by the script or by you: {shlex.join(given)}")
    if len(given) < len(argv):
        _unwrap_help(options_type)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            options = tyro.cli(options_type, args=list(argv), prog=prog, use_underscores=True)
    except ArgumentError as error:  # Raised by the options themselves; newer versions of tyro catch it, and exit.
        raise UserError(_in_terms_of_options(error)) from None
    except SystemExit as end:
        if end.code in (0, None):
            raise
        if isinstance(end.__context__, ArgumentError):
            raise UserError(_in_terms_of_options(end.__context__)) from None
        raise UserError(f"{_in_one_line(complaint.getvalue())} (--help explains every option)") from None
    for name, value in vars(options).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"--{name}: expected a finite number, got {value}")
    return options


def help_texts(options_type: type) -> dict[str, str]:
    """Option -> its help: the text under its field, on one line, or what the field's annotation says."""
    import docstring_parser

    texts: dict[str, str] = {}
    for owner in reversed(options_type.__mro__[:-1]):  # A class's own text counts more than its parents'.
        for described in docstring_parser.parse_from_object(owner).params:
            if described.description:
                texts[described.arg_name] = " ".join(described.description.split())
    for name, hint in get_type_hints(options_type, include_extras=True).items():
        for extra in getattr(hint, "__metadata__", ()):
            texts[name] = getattr(extra, "help", None) or texts.get(name, "")
    return texts


def _unwrap_help(options_type: type) -> None:
    """Give tyro the help of every field on one line: it would keep the line breaks of the source."""
    texts = help_texts(options_type)
    for field in dataclasses.fields(options_type):  # pyright: ignore[reportArgumentType]
        if texts.get(field.name):
            field.metadata = MappingProxyType({"help": texts[field.name]})


def _check_names(options_type: type, argv: Sequence[str]) -> None:
    """Refuses options that are not there; tyro would too, but tells it in a box of several lines."""
    known = _option_names(options_type)
    for argument in argv:
        name = argument.partition("=")[0]
        if re.match(r"--?[A-Za-z]", name) and "--" + name.lstrip("-").replace("-", "_") not in known and name != "-h":
            bare = {option.removeprefix("--"): option for option in sorted(known)}  # All share the dashes.
            close = did_you_mean(name.lstrip("-").replace("-", "_"), bare, shown=bare)
            raise UserError(f"unknown option {name}{close or '; --help lists them all'}")


def _option_names(options_type: type) -> set[str]:
    """Every option the dataclass accepts, with underscores: fields, their aliases, and --no_… of the switches."""
    hints = get_type_hints(options_type, include_extras=True)
    names = {"--help"}
    for field in dataclasses.fields(options_type):  # pyright: ignore[reportArgumentType]
        hint = hints[field.name]
        names.add(f"--{field.name}")
        names |= {f"--no_{field.name}"} if (hint is bool or getattr(hint, "__origin__", None) is bool) else set()
        for extra in getattr(hint, "__metadata__", ()):
            aliases = getattr(extra, "aliases", None) or ()
            names |= {"--" + alias.lstrip("-").replace("-", "_") for alias in aliases}
    return names


def _in_one_line(box: str) -> str:
    """What tyro's boxed message says, without the box and the advice below it."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", box).splitlines()
    inside = [line.strip("│| ") for line in lines if line.strip()]
    rules = [place for place, line in enumerate(inside) if line and not line.strip("─-╰╯")]
    # The title is in the frame, or, where the terminal has no UTF-8, a line above a rule; a rule ends the message.
    first = 1 if inside[:1] and inside[0][0] == "╭" else rules[0] + 1 if rules else 0
    body = inside[first : next((place for place in rules if place >= first), None)]
    text = " ".join(body) or " ".join(lines)
    for pattern, plain in _PLAIN_WORDS:
        text = re.sub(pattern, plain, text)
    return text.removeprefix("Error parsing ").strip()


def _module_command() -> str:
    """`python -m package.module` of the running program."""
    spec: Any = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is None:
        return os.path.basename(sys.argv[0])
    return f"python -m {spec.name.removesuffix('.__main__')}"


def _module_of(main: Callable[..., object]) -> str:
    """The name under which `python -m` runs the command."""
    spec: Any = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec.name if main.__module__ == "__main__" and spec else main.__module__


def _wants_processes(options: object) -> bool:
    """Whether `--nproc_per_node` asks for processes that are still to be started.

    Raises:
        UserError: torchrun has started another number of them.
    """
    asked, place = getattr(options, "nproc_per_node", 1), launch()
    if place is not None and asked not in (1, place.local_count):
        raise UserError(
            f"--nproc_per_node {asked}: torchrun has started {place.local_count} processes on this machine; give it to "
            "torchrun alone"
        )
    return asked > 1 and place is None


def _in_terms_of_options(error: UserError) -> str:
    return f"--{error.name}: {error.problem}" if isinstance(error, ArgumentError) else str(error)


def _fail(message: str) -> None:
    line = " ".join(message.splitlines())
    if not leave_to_agent(line):
        print(f"error: {line}", file=sys.stderr)
    sys.exit(USER_ERROR_CODE)
