"""Architecture strings: written, read, and refused in one line."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darts_pt.commands.command_line import run_command
from darts_pt.run.errors import UserError
from nasbench201 import train
from nasbench201.architecture import EXAMPLE, OPERATIONS, architecture_string, find_architecture, operations_of
from nasbench201.table import __main__ as table
from tests.helpers.hostile import SEARCH, Refuse

SIX = st.tuples(*[st.sampled_from(OPERATIONS)] * 6)


@given(SIX)
def test_reading_is_the_inverse_of_writing(operations: tuple[str, ...]) -> None:
    assert operations_of(architecture_string(operations)) == operations


def test_edges_are_in_the_benchmarks_order() -> None:
    names = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3", "none")
    expected = "|none~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|avg_pool_3x3~1|none~2|"
    assert architecture_string(names) == expected


NOT_ARCHITECTURES = [
    "", " ", "none", "|none~0|", "|none~0|+|none~0|none~1|", "none~0+none~0|none~1+none~0|none~1|none~2",
    EXAMPLE[:-1], EXAMPLE[1:], EXAMPLE * 2, EXAMPLE.upper(), EXAMPLE + "|", EXAMPLE + "+|none~0|",
    EXAMPLE.replace("|+", "|none~0|+", 1), EXAMPLE.replace("none", "noone"), EXAMPLE.replace("avg_pool_3", "avg_pool_5"),
    EXAMPLE.replace("~0", "~1"), EXAMPLE.replace("~1", "~0"), EXAMPLE.replace("~1", "~-1"), EXAMPLE.replace("~1", "~1.0"),
    EXAMPLE.replace("+", "-"), EXAMPLE.replace("|", "/"), "|" * 1000, "+" * 1000, "~" * 1000, "\x00+\n+~",
    "../../etc/passwd", "\x1b[31m", "π" * 50, "__import__('os')", "Genotype(normal=[])",
]  # fmt: skip


@pytest.mark.hostile
def test_anything_else_is_refused(refuse: Refuse) -> None:
    for text in NOT_ARCHITECTURES:
        refuse(table.main, ["query", text])
        arguments = [*SEARCH, "--arch", text, "--experiments", "."]
        refuse(run_command, train.NasBench201TrainOptions, train.main, arguments)


@given(st.text(alphabet="|~+012nosk_ip", max_size=60))
def test_random_text_never_crashes(text: str) -> None:
    with suppress(UserError):
        assert architecture_string(operations_of(text)) == text.strip()


def write_genotype(folder: Path, space: str, genotype: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "genotype.json").write_text(json.dumps({"space": space, "genotype": genotype}))
    return folder / "genotype.json"


def test_an_architecture_may_be_named_by_where_it_was_chosen(tmp_path: Path) -> None:
    others = EXAMPLE.replace("none", "skip_connect"), EXAMPLE.replace("none", "avg_pool_3x3")
    search = write_genotype(tmp_path / "search-darts-201-1", "nasbench201", EXAMPLE)
    assert find_architecture(EXAMPLE, tmp_path) == EXAMPLE
    assert find_architecture(str(search), tmp_path) == EXAMPLE
    assert find_architecture("search-darts-201-1", tmp_path) == EXAMPLE
    for name, other in zip(("log_resume-50-pt", "log_resume-50-magnitude"), others, strict=True):
        write_genotype(search.parent / name, "nasbench201", other)
    assert find_architecture("search-darts-201-1/log_resume-50-magnitude", tmp_path) == others[1]
    with pytest.raises(UserError, match="2 selections; name one of"):
        find_architecture("search-darts-201-1", tmp_path)


@pytest.mark.hostile
@pytest.mark.parametrize("arch", ["", "search-darts-201-7", "x" * 300, "nor_conv_3x3~0", ".."])
def test_what_names_no_architecture_is_refused(arch: str, tmp_path: Path) -> None:
    write_genotype(tmp_path / "search-darts-sota-s5-2", "s5", {"normal": []})
    with pytest.raises(UserError, match="arch"):
        find_architecture(arch, tmp_path / "nasbench201")
    with pytest.raises(UserError, match=r"holds no architecture of NAS-Bench-201"):
        find_architecture("search-darts-sota-s5-2", tmp_path)
