"""The parity check: it passes on the original's records and on none that differs."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.parity import __main__ as parity
from benchmarks.parity.comparing import TOLERANCE, relative_error
from benchmarks.textbook import TextbookSota
from darts_pt.supernet import Decisions, initial_alpha
from sota.spaces import cell_types
from sota.supernet import SotaSupernet
from tests.helpers.oracle import mixing_weights
from tests.helpers.parity import code, code_for, lines, nudged


@pytest.fixture(scope="module")
def record(records: Path) -> dict[str, Any]:
    return parity.read(records / "nasbench201_darts.pt")


STEPS = [f"bilevel_steps {number}: {what}" for number in (1, 2) for what in ("alpha", "training loss")]
FORWARD = [
    "train-mode logits", "train-mode loss", "gradient by alpha", "norm of the gradient by the weights", "eval-mode logits",
]  # fmt: skip
HELD = {
    "nasbench201_darts": [
        *FORWARD, *STEPS, "state after the steps", "cell operation scores, none decided: accuracy",
        "cell operation scores, after decisions: loss", "tune_steps 2: alpha", "genotype",
    ],
    "sota_s2_sdarts": [*FORWARD, *STEPS, "random perturbation", "adversarial perturbation"],
    "sota_s5_darts": [
        *FORWARD, *STEPS, "normal operation scores, none decided: accuracy", "reduce operation scores, none decided: loss",
        *(f"{cell} edge scores, node {node}: loss" for cell in ("normal", "reduce") for node in range(3)), "genotype",
    ],
    "derived_network": ["train-mode logits", "eval-mode logits"],
    "textbook_s4": [
        *FORWARD, *STEPS, "event 1, normal edge 13: kept", "event 1, normal: tune step 2: alpha",
        "event 7, normal node 5, 3 edges: accuracy", "event 10, reduce node 5: kept",
    ],
    "textbook_drop_path": ["train-mode logits", "loss", "norm of the gradient", "eval-mode logits"],
}  # fmt: skip
"""Record -> quantities that must be among what is compared."""


def test_records_that_the_authors_did_not_make_say_so(records: Path) -> None:
    made = {
        path.stem for path in records.glob("*.pt") if "not the authors' code" in parity.read(path).get("source", "")
    }
    assert made == {name for name in HELD if name.startswith("textbook")}


def test_every_record_that_comes_with_the_code_is_tested(records: Path) -> None:
    assert {path.stem for path in records.glob("*.pt")} == set(HELD)


@pytest.mark.parametrize("name", HELD)
def test_the_arithmetic_is_the_authors(records: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert code(records / f"{name}.pt", "--device", "cpu") == 0
    found = lines(capsys)
    assert all(line.startswith("  ok ") for line in found)
    assert set(HELD[name]) <= {line[18:] for line in found}


def test_the_auxiliary_head_and_the_gradient_of_a_derived_network_are_the_authors(golden: Path) -> None:
    assert code(golden / "eval_network.pt") == 0


def test_every_quantity_of_a_record_that_differs_fails(
    record: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = copy.deepcopy(record)
    for key in ("train_forward", "eval_forward", "state_dict_after_steps"):
        changed[key] = nudged(record[key])
    for key in ("bilevel_steps", "tune_steps"):
        for step in changed[key]:
            for name in ("alpha_after", "train_loss", "mixing_weights"):
                if name in step:
                    step[name] = nudged(step[name])
    for stage in ("none_decided", "after_decisions"):
        changed["perturbation_scores"][stage] = nudged(record["perturbation_scores"][stage])
    if "genotype" in record:
        changed["genotype"] = record["genotype"].replace("nor_conv", "none")
    assert code_for(changed, tmp_path / "changed.pt") == 1
    found = lines(capsys)
    assert len(found) > 15
    assert [line for line in found if not line.startswith("  FAIL")] == []


def test_one_wrong_number_is_enough(record: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = copy.deepcopy(record)
    logits = changed["eval_forward"]["logits"]
    logits.view(-1)[3] += 1e-8 * logits.abs().max()
    for key in ("perturbation_scores", "tune_steps", "state_dict_after_steps", "genotype"):
        changed.pop(key, None)  # the rest, to be quick
    assert code_for(changed, tmp_path / "changed.pt") == 1
    assert [line.split("  ")[-1] for line in lines(capsys) if "FAIL" in line] == ["eval-mode logits"]


def test_a_record_that_cannot_be_read_does_not_stop_the_others(
    records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code(tmp_path / "nowhere.pt", records / "derived_network.pt") == 2
    printed = capsys.readouterr()
    assert "eval-mode logits" in printed.out
    assert "no checkpoint" in printed.err


def test_a_rest_of_rounding_is_no_difference(tmp_path: Path) -> None:
    """Averages over maps of 2 pixels of what was normalised are 0 but for rounding; so are their running means."""
    rest = torch.tensor([1e-18, -3e-19], dtype=torch.float64)
    assert relative_error(-rest, rest) < TOLERANCE
    assert relative_error(rest + 1e-13, rest) > TOLERANCE
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        supernet = SotaSupernet("s5", 2, 3).double()
        textbook = TextbookSota(cell_types("s5"), 2, 3, 10).double()
        images = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    textbook.load_state_dict(supernet.state_dict())
    alpha = initial_alpha(supernet.cell_types, torch.Generator().manual_seed(5), dtype=torch.float64)
    mixing = mixing_weights(supernet.cell_types, alpha, Decisions())
    supernet.train()(images, mixing)
    textbook.train()(images, dict(mixing.values))
    assert relative_error(supernet.state_dict(), textbook.state_dict()) < TOLERANCE


def test_what_cannot_be_compared_is_said(
    record: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = {**record, "unrolled_gradient": torch.zeros(2)}
    changed["train_forward"] = {**record["train_forward"], "weight_grads": torch.zeros(2)}
    for key in ("perturbation_scores", "tune_steps", "genotype"):
        changed.pop(key, None)  # to be quick
    assert code_for(changed, tmp_path / "more.pt") == 0
    printed = capsys.readouterr().out
    assert "unrolled_gradient: not compared" in printed
    assert "train_forward.weight_grads: not compared" in printed
    del changed["bilevel_steps"][0]["train_batch"]
    assert code_for(changed, tmp_path / "less.pt") == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1
    assert "it lacks 'train_batch'" in told


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({}, "lacks state_dict"),
        ({"config": {}, "state_dict": {}}, "cannot be repeated"),
        (
            {"config": {}, "state_dict": {}, "batches": [], "alpha": 1, "train_forward": 1, "bilevel_steps": 1},
            "cannot be repeated",
        ),
        ([1], "holds a list"),
    ],
)
def test_what_is_no_record_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: Any, complaint: str
) -> None:
    assert code_for(content, tmp_path / "other.pt") == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1
    assert complaint in told


def test_a_missing_file_and_another_device(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert code(tmp_path / "nowhere.pt") == 2
    assert "no checkpoint" in capsys.readouterr().err
    assert code("record.pt", "--device", "tpu") == 2


def test_errors_are_relative_to_the_largest_magnitude() -> None:
    theirs = torch.tensor([0.0, 2.0, -4.0])
    assert relative_error(theirs, theirs) == 0.0
    assert relative_error(theirs + torch.tensor([0.4, 0.0, 0.0]), theirs) == pytest.approx(0.1)
    assert relative_error(torch.zeros(2), theirs) == float("inf")
    assert relative_error(torch.full((3,), float("nan")), theirs) == float("inf")
    assert relative_error({"a": 1.0, "b": 3.0}, {"a": 1.0, "b": 2.0}) == pytest.approx(0.5)
