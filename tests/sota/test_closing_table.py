"""The table with which a selection in S1–S5 ends: its edges beside those of magnitude, as no benchmark table knows them."""

from __future__ import annotations

import json
from pathlib import Path

from sota.genotypes import from_plain, read
from sota.space import SotaSpace
from tests.helpers.sota import search, select


def test_a_selection_ends_with_its_edges_beside_those_of_magnitude(tmp_path: Path) -> None:
    search(tmp_path, "--space", "s4", "--epochs", "1", "--fast")
    searched = tmp_path / "sota" / "digits" / "search-darts-sota-s4-2-fast"
    select(tmp_path, "--resume_expid", searched.name, "--proj_intv", "1")
    (path,) = searched.glob("log_resume-*/genotype.json")
    content = json.loads(path.read_text())
    baseline = content["baseline"]
    assert from_plain(baseline) == read(searched / "genotype.json")
    assert (baseline["by"], "table" in baseline) == ("magnitude", False)
    lines = path.parent.with_suffix(".txt").read_text().splitlines()
    table = [line for line in lines if " cell, " in line]
    edges = [
        {(cell, *edge) for cell, genes in SotaSpace().cells(each["genotype"]).items() for edge in genes}
        for each in (content, baseline)
    ]
    places = {edge[:3] for each in edges for edge in each}
    same = {edge[:3] for edge in edges[0] & edges[1]}
    assert len(table) == len(places)
    assert sum(line.endswith("differs") for line in table) == len(places - same)
