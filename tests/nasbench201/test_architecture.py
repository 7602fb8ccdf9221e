"""Architecture strings: written, read, and refused in one line."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darts_pt.errors import UserError
from nasbench201.architecture import EXAMPLE, OPERATIONS, architecture_string, operations_of

SIX = st.tuples(*[st.sampled_from(OPERATIONS)] * 6)


@given(SIX)
def test_reading_is_the_inverse_of_writing(operations: tuple[str, ...]) -> None:
    assert operations_of(architecture_string(operations)) == operations


def test_edges_are_in_the_benchmarks_order() -> None:
    names = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3", "none")
    expected = "|none~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|avg_pool_3x3~1|none~2|"
    assert architecture_string(names) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "|none~0|",
        "none~0+none~0|none~1+none~0|none~1|none~2",
        EXAMPLE.replace("~1", "~0", 1),
        EXAMPLE.replace("avg_pool_3x3", "avg_pool_5x5"),
        EXAMPLE + "+|none~0|",
        EXAMPLE.replace("|nor_conv_3x3~0|+", "|nor_conv_3x3~0|none~0|+", 1),
        "|" * 40,
        "\x00+\n+~",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="expected"):
        operations_of(text)


@given(st.text(alphabet="|~+012nosk_ip", max_size=60))
def test_random_text_never_crashes(text: str) -> None:
    with suppress(UserError):
        assert architecture_string(operations_of(text)) == text.strip()
