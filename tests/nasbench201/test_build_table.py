"""Building the table of digits: what is trained is kept, and the table holds what was trained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from darts_pt.run.errors import UserError
from nasbench201 import build_table
from nasbench201.build_table import BuildOptions, ResultsFile
from nasbench201.digits_table.protocol import RESULTS
from nasbench201.table import Table, isomorphism, lookup

FEW = (0, 701, 9_000)


@pytest.fixture
def few_classes(monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """A space of three classes of architectures: every number stands for one of them."""
    classes = np.array(FEW)[np.arange(isomorphism.COUNT) % len(FEW)]
    classes[list(FEW)] = FEW
    for module in (isomorphism, lookup):
        monkeypatch.setattr(module, "representatives", lambda: classes)
    return classes


def options(tmp_path: Path, **others: object) -> BuildOptions:
    return BuildOptions(output=tmp_path / "t.npz", results=tmp_path / "p.jsonl", workers=1, seeds=2, **others)  # type: ignore[arg-type]


def test_an_interrupted_build_goes_on_and_ends_in_the_table(
    few_classes: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build_table.main(options(tmp_path, minutes=1e-9))
    assert "stopped" in capsys.readouterr().out
    assert not (tmp_path / "t.npz").exists()
    lines = (tmp_path / "p.jsonl").read_text().splitlines()
    assert len(lines) == 2  # the protocol, and one entry
    with (tmp_path / "p.jsonl").open("a") as file:
        file.write('{"seed": 0, "resu')  # a run that was killed while it wrote
    build_table.main(options(tmp_path))
    table = Table(tmp_path / "t.npz")
    first = json.loads(lines[1])
    for number, values in first["results"].items():
        for quantity, value in list(zip(RESULTS, values, strict=True))[:-1]:
            assert table.values("digits", quantity, seed=str(first["seed"]))[int(number)] == value
    assert table.seeds("digits") == ["0", "1"]
    mean = table.values("digits", "test_accuracy")
    both = [table.values("digits", "test_accuracy", seed=seed) for seed in ("0", "1")]
    assert not np.isnan(mean).any()  # every architecture, by its class
    np.testing.assert_allclose(mean, (both[0] + both[1]) / 2)
    assert mean[0] < 20.0  # all none: chance
    assert mean[701] > 60.0
    build_table.main(options(tmp_path, verify=3))
    said = capsys.readouterr().out.splitlines()
    assert said[-1].startswith("3 entries: ")
    again = [float(line.rsplit("again ", 1)[1].split()[0]) for line in said[-4:-1]]
    entries = [float(line.rsplit("table ", 1)[1].split()[0]) for line in said[-4:-1]]
    assert again == entries  # in float64 another order of adding up is too little to change a decision
    assert "equal 3," in said[-1]


def test_results_of_another_protocol_are_not_mixed_in(tmp_path: Path) -> None:
    ResultsFile(tmp_path / "p.jsonl", {"epochs": 4})
    with pytest.raises(UserError, match="another protocol"):
        ResultsFile(tmp_path / "p.jsonl", {"epochs": 5})
