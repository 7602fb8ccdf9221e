"""--help: options in groups, with the values they have, and only those that apply."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from dataclasses import dataclass
from typing import get_args

import pytest

from darts_pt.commands import help_page
from darts_pt.commands.command_line import parse
from darts_pt.commands.options import RunOptions, SearchOptions, SelectionOptions, TrainOptions
from darts_pt.commands.own_options import SELECTION_SETTINGS, SETTINGS
from darts_pt.methods import METHODS
from darts_pt.selections import SELECTIONS
from darts_pt.space import SPACES, Kind


def help_of(space: str, kind: Kind, *given: str, dataset: str | None = None) -> str:
    """The help of a space's command, all on one line."""
    with contextlib.redirect_stdout(io.StringIO()) as said, pytest.raises(SystemExit):
        parse(SPACES[space].command(kind, dataset).options, [*given, "--help"], "a command")
    return " ".join(said.getvalue().split())


def test_help_has_the_values_that_a_script_gives() -> None:
    said = help_of("s5", "training", "--cutout", "--auxiliary", "--drop_path_prob=0.1")
    assert "--cutout, --no_cutout Cut a random square out of every training image. (on here)" in said
    assert "(here: 0.1)" in said
    assert "(on here)" not in help_of("s5", "training")
    assert said.startswith("usage: a command --arch ARCH [--key value]…")


def test_help_has_the_presets_values() -> None:
    assert "--epochs N Epochs of search. (default: 100; digits: 50)" in help_of("nasbench201", "search")
    assert "--epochs N Epochs of search. (default: 20)" in help_of("s5", "search", "--dataset", "digits")
    assert "(default: 48)" in help_of("s5", "training", dataset="imagenet")
    assert "(default: the search's)" in help_of("s5", "selection")
    for space in SPACES:
        for kind in get_args(Kind):
            assert "preset" not in help_of(space, kind)


def test_help_has_only_what_applies() -> None:
    said = help_of("nasbench201", "search", "--method", "gdas")
    assert "--tau_min" in said
    for other in ("--sgas_warmup", "--partial_channels", "--proj_intv", "--log_tag", "--max_nodes"):
        assert other not in said
    assert "--tau_min" not in help_of("nasbench201", "search")
    assert "--proj_crit" in help_of("s5", "selection")
    assert "--proj_crit" not in help_of("s5", "selection", "--selection", "magnitude")


def test_every_option_stands_in_a_group() -> None:
    for kind in (SearchOptions, SelectionOptions, TrainOptions):
        for method in METHODS:
            page = help_page.page(kind, [f"--method={method}"], "a command")
            own = {option.name for option in METHODS[method].options}
            hidden = {*kind.without_effect, *SETTINGS} - own
            hidden |= set() if method == "sgas" or kind is not SelectionOptions else {"learning_rate_min"}
            hidden |= {*SELECTION_SETTINGS} - {option.name for option in SELECTIONS["pt"].options}
            shown = re.findall(r"^  --(\w+)", page, re.MULTILINE)
            assert sorted(shown) == sorted({field.name for field in dataclasses.fields(kind)} - hidden)


@dataclass(frozen=True, kw_only=True)
class LongHelp(RunOptions):
    """Options with much to say."""

    number: int = 1
    """One word after the other that stand in one sentence
    which goes over several lines of the source: here
    it ends."""
    seed: int = 7
    """Another seed."""


def test_help_does_not_keep_the_lines_of_the_source(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(LongHelp, ["--help"], "a command")
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    said = " ".join(lines)
    assert "one sentence which goes over several lines of the source: here it ends. (default: 1)" in said
    assert "which goes over several lines of the source: here" not in lines
    assert "Another seed. (default: 7)" in said
