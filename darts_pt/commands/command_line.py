"""The command line of every command: a frozen dataclass holds its options, with the help under each field.

Cheap to import: `--help` answers before torch is loaded.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import io
import math
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, get_type_hints

import tyro

from darts_pt.commands.compiler import postpone_compiler
from darts_pt.run.errors import ArgumentError, Stopped, UserError, did_you_mean
from darts_pt.run.launch import leave_to_agent, run_as_ranks
from darts_pt.run.processes import launch

Options = TypeVar("Options")

USER_ERROR_CODE = 2
INTERRUPTED_CODE = 130
"""As shells report it: 128 + SIGINT."""
BROKEN_PIPE_CODE = 141
"""128 + SIGPIPE."""

_FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}
_USER_ERRORS = _FULL | {
    errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP,
}  # fmt: skip
"""System errors that the user can fix: disk full, no permission, bad path."""

_PLAIN_WORDS = (
    (r"no type matching .*? from \['(.*?)'\]\..*<class 'int'>.*", r"expected a whole number, got '\1'"),
    (r"no type matching .*? from \['(.*?)'\]\..*<class 'float'>.*", r"expected a number, got '\1'"),
    (r"Missing from .*?: (--\S+|[A-Z]+) .*", r"\1 is missing: it is required"),
    (r"invalid literal for int\(\) with base 10:", "expected a whole number, got"),
    (r"could not convert string to float:", "expected a number, got"),
    (r"Missing value for argument '(\S+?)'\..*", r"\1: a value is missing"),
    (r"(?i)unrecognized (options|arguments): ", "unexpected "),
)
"""Pattern of a message of tyro -> plainer words."""


def run_command(
    options_type: type[Options],
    main: Callable[[Options], object],
    argv: Sequence[str] | None = None,
    prog: str | None = None,
    typed: Sequence[str] | None = None,
) -> None:
    """Parse the options and run `main(options)`.

    An error that the user can fix is printed in one line, `error: …`, and the process exits with code 2; Ctrl-C exits with
    130. Any other exception is a bug and keeps its traceback.

    Args:
        options_type: a frozen dataclass; its docstring opens the help.
        main: must import torch inside, so that `--help` is quick.
        argv: the arguments, by default those of the process.
        prog: the command in the help, by default the script that was typed, or `python -m package.module`.
        typed: the arguments of the module that `main` is in, where they are more than the options in `argv`.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # So that a terminal without UTF-8 cannot end a run.
            stream.reconfigure(errors="backslashreplace")
    place = launch()
    if place is not None:  # Before torch is loaded: its reducer warns on every rank about find_unused_parameters.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    arguments = sys.argv[1:] if argv is None else argv
    try:
        options = parse(options_type, arguments, prog or _module_command())
        if _wants_processes(options):
            words = arguments if typed is None else typed
            sys.exit(run_as_ranks(_module_of(main), words, options.nproc_per_node, options.max_restarts))  # type: ignore[attr-defined]
        postpone_compiler()
        main(options)
    except UserError as error:
        _fail(_with_flag(error))
    except Stopped as stop:
        if place is None or place.rank == 0:  # All processes stop at the same step, so one message is enough.
            print(str(stop), file=sys.stderr)
        sys.exit(128 + stop.signal_number)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED_CODE)
    except BrokenPipeError:  # The reader of the output, such as `head`, has closed it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(BROKEN_PIPE_CODE)
    except OSError as error:
        if error.errno not in _USER_ERRORS:
            raise
        full = (
            "; make room and try again: a run can be resumed from its last checkpoint" if error.errno in _FULL else ""
        )
        path = error.filename2 or error.filename  # filename2 is the target of a failed copy.
        _fail((f"{error.strerror}: {path}" if path else str(error)) + full)


def parse(options_type: type[Options], argv: Sequence[str], prog: str) -> Options:
    """Parse `argv`; `--some_key` and `--some-key` are the same.

    Raises:
        UserError: an option is unknown, or its value bad or missing.
        SystemExit: after `--help`, with code 0.
    """
    _check_names(options_type, argv)
    others = [argument for argument in argv if argument not in ("--help", "-h")]
    if len(others) < len(argv):
        from darts_pt.commands.help_page import page

        print(page(options_type, others, prog), end="")
        sys.exit(0)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            options = tyro.cli(options_type, args=list(argv), prog=prog, use_underscores=True)
    except ArgumentError as error:  # From the options' own checks; newer versions of tyro catch it, and exit.
        raise UserError(_with_flag(error)) from None
    except SystemExit as end:
        if end.code in (0, None):
            raise
        if isinstance(end.__context__, ArgumentError):
            raise UserError(_with_flag(end.__context__)) from None
        raise UserError(f"{_in_one_line(complaint.getvalue())} (--help explains every option)") from None
    for name, value in vars(options).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"--{name}: expected a finite number, got {value}")
    return options


def _check_names(options_type: type, argv: Sequence[str]) -> None:
    """Raises UserError for an unknown option, with close ones; tyro's own message has several lines."""
    known = _option_names(options_type)
    for argument in argv:
        name = argument.partition("=")[0]
        if re.match(r"--?[A-Za-z]", name) and "--" + name.lstrip("-").replace("-", "_") not in known and name != "-h":
            bare = {option.removeprefix("--"): option for option in sorted(known)}  # Dashes would count as similarity.
            close = did_you_mean(name.lstrip("-").replace("-", "_"), bare, shown=bare)
            raise UserError(f"unknown option {name}{close or '; --help lists them all'}")


def _option_names(options_type: type) -> set[str]:
    """The options of the dataclass, with underscores: fields, their aliases, and --no_… of switches."""
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
    """The text of tyro's boxed message, without the advice below it."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", box).splitlines()
    inside = [line.strip("│| ") for line in lines if line.strip()]
    rules = [place for place, line in enumerate(inside) if line and not line.strip("─-╰╯")]
    # The title is in the frame, or in a terminal without UTF-8 a line above a rule; a rule ends the message.
    first = 1 if inside[:1] and inside[0][0] == "╭" else rules[0] + 1 if rules else 0
    body = inside[first : next((place for place in rules if place >= first), None)]
    text = " ".join(body) or " ".join(lines)
    for pattern, plain in _PLAIN_WORDS:
        text = re.sub(pattern, plain, text)
    return text.removeprefix("Error parsing ").strip()


def _module_command() -> str:
    from darts_pt.commands.help_page import typed_command

    spec: Any = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is None:
        return os.path.basename(sys.argv[0])
    return typed_command(f"python -m {spec.name.removesuffix('.__main__')}")


def _module_of(main: Callable[..., object]) -> str:
    """The command's name for `python -m`."""
    spec: Any = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec.name if main.__module__ == "__main__" and spec else main.__module__


def _wants_processes(options: object) -> bool:
    """True if `--nproc_per_node` asks for processes that torchrun has not started yet.

    Raises:
        UserError: torchrun has started another number of processes.
    """
    asked, place = getattr(options, "nproc_per_node", 1), launch()
    if place is not None and asked not in (1, place.local_count):
        raise UserError(
            f"--nproc_per_node {asked}: torchrun has started {place.local_count} processes on this machine; give the "
            "option to torchrun only"
        )
    return asked > 1 and place is None


def _with_flag(error: UserError) -> str:
    return f"--{error.name}: {error.problem}" if isinstance(error, ArgumentError) else str(error)


def _fail(message: str) -> None:
    line = " ".join(message.splitlines())
    if not leave_to_agent(line):
        print(f"error: {line}", file=sys.stderr)
    sys.exit(USER_ERROR_CODE)
