"""The page of architectures: what is made of it is what the command would make now."""

from __future__ import annotations

import re

import pytest

from paper import architectures
from sota.genotypes import published_names

WRITTEN = architectures.PAGE.read_text(encoding="utf-8").partition(architectures.MARK)[2].splitlines()


def test_every_published_architecture_has_one_row() -> None:
    named = [found.group(1) for line in WRITTEN if (found := re.match(r"\| `(\w+)` \|", line))]
    assert sorted(named) == sorted(published_names())


@pytest.mark.parametrize("name", ["darts_pt_s5_1", "blank_pt_s2_2", "darts_pt_s3_c100_1", "blank_pt_s1_svhn_2"])
def test_rows_are_those_of_the_networks(name: str) -> None:
    assert architectures.row(name) in WRITTEN, "run python -m paper.architectures"


def test_the_rest_is_what_the_command_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the networks' sizes, which would take half a minute."""

    def without_sizes(line: str) -> str:
        return re.sub(r"\| [\d.]+ \| \d+ (?=\|)", "| * ", line) if "_pt_s" in line else line

    monkeypatch.setattr(architectures, "_size", lambda *arguments, **more: "1.00 | 1")
    made = [without_sizes(line) for line in architectures.page()]
    assert "\n".join(made).strip() == "\n".join(map(without_sizes, WRITTEN)).strip(), (
        "run python -m paper.architectures"
    )


def test_what_the_page_shows_is_drawn() -> None:
    there = {path.stem for path in architectures.DRAWINGS.glob("*.svg")}
    assert there == set(architectures.DRAWN)


def test_errors_are_the_papers() -> None:
    assert architectures.paper_error("darts_pt_s5_3") == "2.61 ± 0.08 (best 2.48)"
    assert architectures.paper_error("blank_pt_s2_1") == "2.59"
    assert architectures.paper_error("darts_pt_s3_c100_2") == "22.03"
    assert architectures.paper_error("blank_pt_s1_svhn_1") == "2.39"
