"""The parity check: it passes on the original's records and on none that differs."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from benchmarks import parity
from benchmarks.repetition import TOLERANCE, relative_error
from benchmarks.textbook import TextbookSota
from darts_pt.architect import Architect, bilevel_step
from darts_pt.commands.command_line import run_command
from darts_pt.hyperparameters import WeightOptions
from darts_pt.methods.blank import FixedAlpha
from darts_pt.supernet import Decisions, initial_alpha
from darts_pt.training import sgd
from nasbench201.supernet import NasBench201Supernet
from sota.genotypes import published
from sota.network import ImageNetNetwork
from sota.spaces import cell_types
from sota.supernet import SotaSupernet
from tests.helpers.oracle import mixing_weights


@pytest.fixture(scope="module")
def record(records: Path) -> dict[str, Any]:
    return parity.read(records / "nasbench201_darts.pt")


def code(*arguments: object) -> int:
    """The exit code of the command."""
    try:
        run_command(parity.ParityOptions, parity.main, [str(argument) for argument in arguments])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def code_for(record: Any, path: Path) -> int:
    """The same for a record, which is written to a file."""
    torch.save(record, path)
    return code(path)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]


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
}  # fmt: skip
"""Record -> quantities that must be among what is compared."""


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


def nudged(value: Any) -> Any:
    """A recorded result, off by a hundred-thousandth of its size."""
    if isinstance(value, dict):
        return {key: nudged(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [nudged(item) for item in value]
    if isinstance(value, torch.Tensor):
        return value + 1e-5 * value.double().abs().max().clamp(min=1e-3) if value.is_floating_point() else value
    return value * (1 + 1e-5) if isinstance(value, float) else value


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


def made(method: str, classes: int) -> dict[str, Any]:
    """A record of another size, made with this implementation: what it holds is right, if the original's agrees."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        supernet = NasBench201Supernet(4, 1, classes).double()
        batches = [(torch.randn(6, 3, 8, 8, dtype=torch.float64), torch.randint(classes, (6,))) for _ in range(6)]
    alpha = initial_alpha(supernet.cell_types, torch.Generator().manual_seed(5), dtype=torch.float64)
    architect = (FixedAlpha if method == "blank" else Architect)(supernet, alpha)
    record: dict[str, Any] = {
        "config": {"init_channels": 4, "cells_per_stage": 1, "num_classes": classes, "batch": 6, "size": 8},
        "batches": batches,
        "state_dict": copy.deepcopy(supernet.state_dict()),
        "alpha": alpha["cell"].detach().clone(),
    }
    twin = copy.deepcopy(supernet).train()
    logits = twin(batches[0][0], mixing_weights(supernet.cell_types, alpha, Decisions()))
    loss = F.cross_entropy(logits, batches[0][1])
    gradients = torch.autograd.grad(loss, [alpha["cell"], *twin.parameters()])
    norm = torch.stack([gradient.square().sum() for gradient in gradients[1:]]).sum().sqrt()
    record["train_forward"] = {
        "logits": logits.detach(), "loss": loss.item(), "alpha_grad": gradients[0], "weight_grad_norm": norm.item(),
    }  # fmt: skip
    twin.eval()
    with torch.no_grad():
        record["eval_forward"] = {"logits": twin(batches[0][0], architect.mixing(Decisions()))}
    optimizer = sgd(supernet, WeightOptions(batch_size=64))
    record["bilevel_steps"] = []
    for train, valid in ((0, 1), (2, 3)):
        result = bilevel_step(architect, optimizer, batches[train], batches[valid], Decisions(), 5.0)
        assert result is not None
        step = {"train_batch": train, "valid_batch": valid, "train_loss": result.loss.item()}
        record["bilevel_steps"].append(step | {"alpha_after": alpha["cell"].detach().clone()})
    record["state_dict_after_steps"] = copy.deepcopy(supernet.state_dict())
    return record


@pytest.mark.parametrize(("method", "classes"), [("darts", 7), ("blank", 3)])
def test_records_of_other_sizes_and_methods_are_handled(tmp_path: Path, method: str, classes: int) -> None:
    record = made(method, classes)
    assert code_for(record, tmp_path / "record.pt") == 0
    record["bilevel_steps"][1]["alpha_after"] += 1e-8
    assert code_for(record, tmp_path / "record.pt") == 1


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
    for key in ("perturbation_scores", "tune_steps", "genotype"):
        changed.pop(key, None)  # to be quick
    assert code_for(changed, tmp_path / "more.pt") == 0
    assert "unrolled_gradient: not compared" in capsys.readouterr().out
    del changed["eval_forward"]
    assert code_for(changed, tmp_path / "less.pt") == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1
    assert "it lacks 'eval_forward'" in told


def test_a_record_with_noise_is_refused(
    record: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {"space": "s4", "init_channels": 2, "layers": 3, "num_classes": 10}
    assert code_for({**record, "config": config}, tmp_path / "noise.pt") == 2
    assert "the operation noise" in capsys.readouterr().err


def test_the_network_for_imagenet_is_told_by_its_stems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = ImageNetNetwork(published("darts_pt_s5_0"), 4, 3, 10, auxiliary=True).double()
    images, labels = torch.randn(2, 3, 64, 64, dtype=torch.float64), torch.tensor([1, 2])
    record: dict[str, Any] = {
        "config": {"init_channels": 4, "layers": 3, "num_classes": 10, "auxiliary_weight": 0.4},
        "x": images, "y": labels, "state_dict": copy.deepcopy(network.state_dict()),
    }  # fmt: skip
    record["config"]["genotype"] = "darts_pt_s5_0"
    with torch.no_grad():
        record["eval_logits"] = network.eval()(images)[0]
    logits, auxiliary = network.train()(images)
    loss = F.cross_entropy(logits, labels) + 0.4 * F.cross_entropy(auxiliary, labels)
    loss.backward()
    norm = torch.stack([weight.grad.square().sum() for weight in network.parameters() if weight.grad is not None])
    record |= {"train_logits": logits.detach(), "train_aux_logits": auxiliary.detach(), "train_loss": loss.item()}
    assert code_for(record | {"grad_norm": norm.sum().sqrt().item()}, tmp_path / "imagenet.pt") == 0
    assert len(lines(capsys)) == 5


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({}, "lacks config, state_dict"),
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


def test_a_missing_file_and_no_file_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert code(tmp_path / "nowhere.pt") == 2
    assert "no checkpoint" in capsys.readouterr().err
    assert code("record.pt", "--device", "tpu") == 2
    assert code() == 2
    assert "python -m benchmarks.parity FILE" in capsys.readouterr().err


def test_errors_are_relative_to_the_largest_magnitude() -> None:
    theirs = torch.tensor([0.0, 2.0, -4.0])
    assert relative_error(theirs, theirs) == 0.0
    assert relative_error(theirs + torch.tensor([0.4, 0.0, 0.0]), theirs) == pytest.approx(0.1)
    assert relative_error(torch.zeros(2), theirs) == float("inf")
    assert relative_error(torch.full((3,), float("nan")), theirs) == float("inf")
    assert relative_error({"a": 1.0, "b": 3.0}, {"a": 1.0, "b": 2.0}) == pytest.approx(0.5)
