"""Genotypes: how they are read off weights, their texts and files, and the published ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from darts_pt.commands.command_line import run_command
from darts_pt.run.errors import UserError
from sota import visualize
from sota.genotypes import (
    CHOICES,
    CONCAT,
    PUBLISHED,
    Genotype,
    from_plain,
    genotype,
    parse,
    published,
    published_names,
    read,
    to_plain,
)
from sota.spaces import cell_types
from tests.helpers.hostile import Refuse


@st.composite
def genotypes(draw: st.DrawFn) -> Genotype:
    """Any genotype that S1–S5 allow."""
    cells = []
    for _ in range(2):
        genes: list[tuple[str, int]] = []
        for target in range(2, 6):
            sources = draw(st.lists(st.integers(0, target - 1), min_size=2, max_size=2, unique=True))
            genes += [(draw(st.sampled_from(CHOICES)), source) for source in sources]
        cells.append(tuple(genes))
    return Genotype(cells[0], CONCAT, cells[1], CONCAT)


def plain() -> dict[str, list[object]]:
    """A good genotype to spoil."""
    return to_plain(published("darts_pt_s5_0"))


@given(genotypes())
def test_text_and_plain_data_give_the_genotype_back(original: Genotype) -> None:
    assert parse(str(original)) == original
    assert from_plain(json.loads(json.dumps(to_plain(original)))) == original


def test_the_text_of_the_original_is_understood() -> None:
    expected = published("darts_pt_s3_1")
    normal, reduce = list(expected.normal), list(expected.reduce)
    text = f"Genotype(normal={normal}, normal_concat=range(2, 6), reduce={reduce}, reduce_concat=range(2, 6))"
    assert parse(text) == parse(f" {text}\n") == expected


def test_published_genotypes_agree_with_the_originals_record(golden: Path) -> None:
    record = json.loads((golden / "genotypes.json").read_text())
    assert published_names() == tuple(record)
    assert len(record) == 56
    for name, fields in record.items():
        assert to_plain(published(name)) == {key: fields[key] for key in Genotype._fields}
        counts = json.loads(PUBLISHED.read_text())[name]["million_parameters"]
        assert counts["C=36 L=20"]["value"] == fields["params_millions"]["c36_l20_10classes"]
        small = fields["params_millions"]["c16_l8"]
        assert counts["C=16 L=8"] == {"classes": small["num_classes"], "value": small["value"]}


def test_an_unknown_name_is_met_with_those_that_are_close() -> None:
    with pytest.raises(UserError, match=r"did you mean .*darts_pt_s5_0") as error:
        published("dartspt_s5_0")
    assert len(str(error.value).splitlines()) == 1


TEXT = str(published("darts_pt_s5_0"))
NOT_GENOTYPES = [
    "", "\udcff", TEXT[: len(TEXT) // 2], TEXT[:-1], TEXT.replace("Genotype", "Architecture"),
    TEXT.replace("normal=", "reduce=", 1), TEXT.replace(", 0)", ", 0.5)", 1),
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|",
    "__import__('os').mkdir('harmed')", TEXT.replace("'sep_conv_3x3'", "__import__('os').mkdir('harmed')", 1),
    *(f"Genotype({arguments})" for arguments in (
        "", "1, 2, 3, 4, 5", "1, normal=2", "**{}", "*[]", "normal=range(10**9)", "normal=range(0.5)", "normal={[]: 1}",
        "normal=[x for x in ()], normal_concat=[], reduce=[], reduce_concat=[]", "[" * 20_000,
        "normal=" + "-" * 50_000 + "1", "normal=1" + "+1" * 50_000, "normal=" + "1+" * 100_000 + "1",
    )),
    "{", "{}", "[]", "[1, 2, 3]", "[" * 100_000, '{"normal": []}', '{"normal": NaN}', '{"normal": [["sep_conv_3x3", 0]',
    '{"normal": null, "normal_concat": null, "reduce": null, "reduce_concat": null}',
]  # fmt: skip


@pytest.mark.hostile
def test_a_file_without_a_genotype_is_refused_by_its_name(tmp_path: Path, refuse: Refuse) -> None:
    for content in NOT_GENOTYPES:
        (tmp_path / "genotype.txt").write_text(content, errors="surrogateescape")
        arguments = ["genotype.txt", "-o", "cells.svg", "--experiments", "none"]
        assert "genotype.txt" in refuse(run_command, visualize.VisualizeOptions, visualize.main, arguments)


@given(st.text() | st.text().map(lambda text: f"Genotype({text})"))
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    with pytest.raises(UserError):
        parse(text)


GOOD = "sep_conv_3x3"
IMPOSSIBLE = [
    (0, ["sep_konv_3x3", 0], "unknown operation .*did you mean sep_conv_3x3"), (0, ["none", 0], "unknown operation 'none'"),
    (0, [GOOD, 2], "impossible edge, from node 2 to node 2"), (7, [GOOD, 5], "node 5 can read nodes 0 to 4"),
    *((3, [GOOD, source], "impossible edge") for source in (-1, 1.0, True)),
    (slice(2), [[GOOD, 0]] * 2, "both edges of node 2 come from node"), (1, GOOD, "gene 1 is 'sep_conv_3x3', expected"),
    (1, [[GOOD], 0], "gene 1 is"), (slice(1), [], "found 7 genes, expected 8"), (slice(0), [[GOOD, 0]], "found 9 genes"),
]  # fmt: skip
"""Genes, what stands there, and what is said."""


@pytest.mark.hostile
@pytest.mark.parametrize(("genes", "there", "message"), IMPOSSIBLE)
@pytest.mark.parametrize("name", ["normal", "reduce"])
def test_an_impossible_cell_is_refused(genes: Any, there: object, message: str, name: str) -> None:
    spoiled = plain()
    spoiled[name][genes] = there
    with pytest.raises(UserError, match=f"{name} cell: .*{message}"):
        from_plain(spoiled)


@pytest.mark.hostile
@pytest.mark.parametrize("concat", [[], [2, 3, 4], [2, 3, 4, 4], [1, 2, 3, 4], [2, 3, 4, 5, 6], "2345", None, 4])
def test_a_wrong_concatenation_is_refused(concat: object) -> None:
    with pytest.raises(UserError, match=r"reduce_concat is .*expected the four nodes"):
        from_plain({**plain(), "reduce_concat": concat})


def test_missing_fields_are_named() -> None:
    spoiled = plain()
    del spoiled["reduce"]
    with pytest.raises(UserError, match="lacks reduce"):
        from_plain(spoiled)
    with pytest.raises(UserError, match="found a list"):
        from_plain([1])


def test_files_may_be_json_or_text(tmp_path: Path) -> None:
    expected = published("blank_pt_s2_1")
    (tmp_path / "genotype.json").write_text(json.dumps(to_plain(expected) | {"decisions": {}}))
    (tmp_path / "genotype.txt").write_text(f"{expected}\n")
    assert read(tmp_path / "genotype.json") == read(tmp_path / "genotype.txt") == expected


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path / "absent.json")


def test_per_node_the_two_edges_with_the_largest_weights_are_read_off() -> None:
    types = cell_types("s3")
    values = {cell.name: torch.full((14, 3), 0.1) for cell in types}
    # Node 3 has edges 2, 3, 4; none (index 0) does not count, however large.
    values["normal"][2] = torch.tensor([0.9, 0.02, 0.03])
    values["normal"][3] = torch.tensor([0.0, 0.1, 0.4])
    values["normal"][4] = torch.tensor([0.0, 0.5, 0.3])
    assert genotype(values, types).normal[2:4] == (("skip_connect", 2), ("sep_conv_3x3", 1))
    # On ties the earlier edge and the first operation.
    assert genotype(values, types).reduce[2:4] == (("skip_connect", 0), ("skip_connect", 1))


def test_the_candidates_of_every_edge_are_those_of_the_record(records: Path) -> None:
    record = json.loads((records / "spaces.json").read_text())
    for name, cells in record.items():
        for cell in cell_types(name):
            recorded = cells[cell.name]
            expected = [recorded["every_edge"]] * 14 if isinstance(recorded, dict) else recorded
            assert [list(operations) for operations in cell.operations] == expected
