"""The command line: what is accepted, and that whatever is not is told in one line with exit code 2."""

from __future__ import annotations

import dataclasses
import errno
import io
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import pytest
import tyro
from hypothesis import given, settings
from hypothesis import strategies as st

from darts_pt.commands.command_line import parse, run_command
from darts_pt.commands.options import RunOptions, SearchOptions, SelectionOptions, TrainOptions, with_preset
from darts_pt.run.errors import UserError, one_of
from darts_pt.run.provenance import PROJECT_ROOT
from tests.helpers.command_line import refused

COMMANDS = sorted(
    ".".join(path.relative_to(PROJECT_ROOT).with_suffix("").parts)
    for package in ("nasbench201", "sota")
    for path in (PROJECT_ROOT / package).glob("*.py")
    if "run_command(" in path.read_text(encoding="utf-8")
)


def run(options: type, *argv: str) -> Any:
    """The options that a command gets from `argv`."""
    got: list[Any] = []
    run_command(options, got.append, argv, "a command")
    return got[0]


# Accepted --------------------------------------------------------------------------------------------------------


def test_defaults_are_the_papers() -> None:
    options = run(SearchOptions)
    assert (options.dataset, options.gpu, options.seed, options.fast, options.overwrite) == (
        "cifar10",
        "auto",
        1,
        False,
        False,
    )
    assert (options.learning_rate, options.learning_rate_min, options.momentum) == (0.025, 0.001, 0.9)
    assert (options.weight_decay, options.grad_clip, options.train_portion) == (3e-4, 5.0, 0.5)
    assert (options.arch_learning_rate, options.arch_weight_decay) == (3e-4, 1e-3)


@pytest.mark.parametrize(
    "form", [("--report_freq", "7"), ("--report-freq", "7"), ("--report_freq=7",), ("--report-freq=7",)]
)
def test_underscores_and_dashes_are_the_same(form: list[str]) -> None:
    assert run(SearchOptions, *form).report_freq == 7


def test_values_of_every_kind() -> None:
    options = run(
        SearchOptions, "--seed", "0", "--learning_rate", "1e-1", "--fast", "--dataset", "folder", "--data", "some where",
        "--expid_tag", "try-1_b.c", "--resume_epoch", "-1",
    )  # fmt: skip
    assert options.seed == 0
    assert options.learning_rate == 0.1
    assert options.fast is True
    assert options.data == Path("some where")
    assert options.expid_tag == "try-1_b.c"
    assert options.resume_epoch == -1
    assert run(SearchOptions, "--no_fast").fast is False
    assert run(SearchOptions, "--seed", "1", "--seed", "2").seed == 2, "the last one counts: scripts put theirs first"


def test_presets_fill_only_what_was_left_open() -> None:
    options = with_preset(run(SearchOptions, "--epochs", "3"), {"epochs": 50, "batch_size": 32, "seed": 9})
    assert (options.epochs, options.batch_size, options.seed) == (3, 32, 1)


def test_options_cannot_be_changed_later() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        run(SearchOptions).seed = 3


# Refused ---------------------------------------------------------------------------------------------------------

WRONG = {
    (SearchOptions, TrainOptions): [
        "--sed=1", "--seed", "--seed=-1", f"--seed={2**63}", "--seed=1 stray", "stray", "-x", "-- --seed", "---seed 1",
        "--seed 1 --help-me", "--dataset=CIFAR10", "--dataset=folder", "--dataset=digits --data=x", "--image_size=0",
        "--cutout_length=0", "--expid_tag=a/b", "--expid_tag=", f"--expid_tag={'x' * 65}", "--log_tag=a\tb",
        "--report_freq=0", "--fast perhaps", "--fast=perhaps", "--epochs=0", "--batch_size=0", "--learning_rate=0",
        "--momentum=1", "--momentum=-0.1", "--weight_decay=-1", "--grad_clip=-1", "--resume_epoch=-2",
    ],
    (SearchOptions,): [
        "--ckpt_interval=0", "--grad_clip=0", "--train_portion=0", "--train_portion=1", "--arch_learning_rate=-1",
        "--learning_rate_min=-1", "--method=random",
    ],
    (TrainOptions,): ["--precision=fp8", "--ckpt_interval=-1"],
    (SelectionOptions,): [
        "", *(f"--resume_expid=x {more}" for more in (
            "--proj_intv=0", "--selection=best", "--edge_decision=sorted", "--resume_epoch=-2", "--dev_resume_epoch=-2",
            "--dev_resume_log=x", "--proj_batches=old",
        ))
    ],
}  # fmt: skip
"""Commands -> arguments that they refuse, separated by spaces."""
NOT_NUMBERS = {int: ("", "one", "1.5", "nan"), float: ("", "high", "nan", "inf")}


@pytest.mark.hostile
@pytest.mark.parametrize("options", [SearchOptions, TrainOptions, SelectionOptions])
def test_bad_options_are_told_in_one_line(
    capsys: pytest.CaptureFixture[str], record_property: Callable[[str, object], None], options: type
) -> None:
    required = ["--resume_expid=x"] if options is SelectionOptions else []
    lines = [("", line.split()) for takers, lines in WRONG.items() if options in takers for line in lines]
    for name, hint in get_type_hints(options).items():
        for kind in {int, float} & {hint, *get_args(hint)}:
            lines += [(f"--{name}: ", [*required, f"--{name}={value}"]) for value in NOT_NUMBERS[kind]]
    record_property("inputs", len(lines))
    for expected, line in lines:
        told = refused(capsys, run, options, *line)
        assert told.startswith("error: " + expected), line
        assert len(told) > len("error: ") + 10, line
        assert not set(told) & set("│╭╰"), "tyro's box has been taken off"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (("--sed", "1"), "unknown option --sed, did you mean --seed"),
        (("--batch-sise", "1"), "did you mean --batch_size?"),
        (("--seed", "one"), "--seed: expected a whole number, got 'one'"),
        (("--seed",), "--seed: a value is missing"),
        (("--learning_rate", "fast"), "--learning_rate: expected a number, got 'fast'"),
        (("--dataset", "cifar"), "Expected one of ('cifar10', 'cifar100'"),
        (("--dataset", "folder"), "--dataset folder needs --data DIR"),
        (("--batch_size", "0"), "--batch_size: expected a number above 0, got 0"),
        (("--log_tag", "a\nb"), "--log_tag: expected up to 64 letters"),
    ],
)
def test_messages_say_what_was_expected(
    argv: tuple[str, ...], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError) as raised:
        parse(SearchOptions, argv, "a command")
    assert expected in str(raised.value)
    assert capsys.readouterr() == ("", ""), "it is not said twice"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_messages_are_the_same_on_every_terminal(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    """Without UTF-8 the box around them has other lines."""
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    with pytest.raises(UserError, match=r"^--resume_expid is missing: it is required \("):
        parse(SelectionOptions, (), "a command")
    with pytest.raises(UserError, match=r"^--epochs: expected a whole number, got 'x' \("):
        parse(SearchOptions, ("--epochs", "x"), "a command")


FIELDS = [
    (options, field.name)
    for options in (SearchOptions, SelectionOptions, TrainOptions)
    for field in dataclasses.fields(options)
]


@settings(max_examples=60)
@given(st.sampled_from(FIELDS), st.text(max_size=12) | st.integers().map(str) | st.floats().map(str))
def test_whatever_the_value_it_is_taken_or_refused(field: tuple[type, str], value: str) -> None:
    options, name = field
    required = ["--resume_expid", "x"] if options is SelectionOptions else []
    try:
        message = str(parse(options, [*required, f"--{name}={value}"], "a command"))[:0]
    except UserError as error:
        message = f"error: {error}"
    assert "│" not in message or "│" in value


@pytest.mark.parametrize("value", ["sgd", "Cifar10"])
def test_one_of_a_list(value: str) -> None:
    one_of("space", "s1", ["s1", "s2"])
    with pytest.raises(UserError, match=r"space: unknown .*expected s1, s2"):
        one_of("space", value, ["s1", "s2"])


# The frame of a command ------------------------------------------------------------------------------------------


def ends(capsys: pytest.CaptureFixture[str], error: BaseException) -> tuple[Any, str]:
    def main(options: RunOptions) -> None:
        raise error

    with pytest.raises(SystemExit) as end:
        run_command(RunOptions, main, [])
    return end.value.code, capsys.readouterr().err


def test_how_commands_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert ends(capsys, UserError("two\nlines")) == (2, "error: two lines\n")
    assert ends(capsys, KeyboardInterrupt()) == (130, "interrupted\n")
    full = OSError(errno.ENOSPC, "No space left on device", "/data/checkpoint")
    code, said = ends(capsys, full)
    assert (code, said.count("\n")) == (2, 1)
    assert said.startswith("error: No space left on device: /data/checkpoint; make room")
    copied = OSError(errno.ENOSPC, "No space left on device", "/code/page.py", None, "/data/page.py")
    assert ": /data/page.py;" in ends(capsys, copied)[1]
    assert ends(capsys, OSError(errno.ENAMETOOLONG, "File name too long", "x" * 300))[0] == 2
    assert ends(capsys, NotADirectoryError(errno.ENOTDIR, "Not a directory", "/file/x"))[0] == 2
    assert ends(capsys, PermissionError(errno.EACCES, "Permission denied"))[0] == 2


@pytest.mark.parametrize("error", [ZeroDivisionError(), OSError(errno.EIO, "broken"), RuntimeError("a defect")])
def test_defects_keep_their_traceback(error: Exception) -> None:
    def main(options: RunOptions) -> None:
        raise error

    with pytest.raises(type(error)):
        run_command(RunOptions, main, [])


@dataclass(frozen=True, kw_only=True)
class WithAlias(RunOptions):
    """A command with a second name for an option."""

    proj_crit: Annotated[str, tyro.conf.arg(aliases=["--crit"])] = "acc"
    """The thing that is compared."""


def test_aliases_are_options_too() -> None:
    assert run(WithAlias, "--crit", "loss").proj_crit == "loss"
    assert run(WithAlias, "--proj_crit", "loss").proj_crit == "loss"
    with pytest.raises(UserError, match="did you mean --crit"):
        parse(WithAlias, ["--crt", "loss"], "a command")


def test_commands_are_found() -> None:
    assert {"nasbench201.train_search", "nasbench201.projection", "nasbench201.train"} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_quick_and_explains_every_option(command: str) -> None:
    code = (
        "import runpy, sys; sys.argv[1:] = ['--help']\n"
        f"try: runpy.run_module({command!r}, run_name='__main__', alter_sys=True)\n"
        "finally: assert 'torch' not in sys.modules, 'torch was imported'"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ended.returncode == 0, ended.stderr
    # Seconds of computing: how long one waits depends on what else the machine does.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.5
    assert f"usage: python -m {command}" in ended.stdout
    assert "{None}|" not in ended.stdout


def test_only_what_is_close_is_suggested() -> None:
    with pytest.raises(UserError, match="unknown option --nosuch; --help lists them all"):
        parse(SearchOptions, ["--nosuch", "1"], "a command")
    with pytest.raises(UserError, match="unknown option --report-frequ, did you mean --report_freq"):
        parse(SearchOptions, ["--report-frequ", "1"], "a command")
