"""The commands as a user types them, in this process, on digits at a size that costs seconds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from darts_pt.run import checkpoint as checkpoints
from tests.helpers.command_line import refused
from tests.helpers.nasbench201 import ARCHITECTURE, evaluate, search, select


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of experiments that hold one search of two epochs, seed 3."""
    root = tmp_path_factory.mktemp("experiments")
    search(root, "--seed", "3", "--epochs", "2", "--ckpt_interval", "1")
    return root


@pytest.fixture
def root(searched: Path, tmp_path: Path) -> Path:
    """A copy of it to write into."""
    return Path(shutil.copytree(searched, tmp_path / "experiments"))


NAME = "search-darts-201-3-digits"


def test_a_search_leaves_what_the_readme_says(searched: Path) -> None:
    folder = searched / "nasbench201" / NAME
    names = {path.name for path in folder.iterdir()}
    assert {"log.txt", "metrics.jsonl", "config.json", "genotype.json", "runs", "scripts"} <= names
    assert checkpoints.epochs_in(folder) == [1, 2]
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    epochs = [line["values"] for line in lines if line["kind"] == "epoch"]
    assert len(epochs) == 2
    assert {"train_accuracy", "valid_accuracy", "genotype", "mixing_weights"} <= set(epochs[0])
    assert json.loads((folder / "genotype.json").read_text())["genotype"] == epochs[-1]["genotype"]


def test_one_seed_gives_identical_checkpoints(searched: Path, tmp_path: Path) -> None:
    search(tmp_path, "--seed", "3", "--epochs", "2", "--ckpt_interval", "1")
    for epoch in (1, 2):
        name = checkpoints.name(epoch)
        first, second = searched / "nasbench201" / NAME / name, tmp_path / "nasbench201" / NAME / name
        assert first.read_bytes() == second.read_bytes()


def test_a_resumed_search_ends_as_if_it_had_not_stopped(root: Path) -> None:
    folder = root / "nasbench201" / NAME
    expected = (folder / "checkpoint_2.pth.tar").read_bytes(), (folder / "metrics.jsonl").read_bytes()
    (folder / "checkpoint_2.pth.tar").unlink()
    search(root, "--seed", "3", "--epochs", "2", "--ckpt_interval", "1", "--resume_epoch", "-1")
    assert ((folder / "checkpoint_2.pth.tar").read_bytes(), (folder / "metrics.jsonl").read_bytes()) == expected


def test_loss_is_another_criterion_with_files_of_its_own(root: Path) -> None:
    common = ("--resume_expid", NAME, "--proj_intv", "1", "--fast")
    select(root, *common)
    select(root, *common, "--crit", "loss")
    names = sorted(path.parent.name for path in (root / "nasbench201" / NAME).glob("log_resume-*/genotype.json"))
    assert names == ["log_resume-2-pt-acc-seed-1-intv-1-fast", "log_resume-2-pt-loss-seed-1-intv-1-fast"]


def test_a_selection_resumed_at_an_event_ends_the_same(root: Path) -> None:
    arguments = ("--resume_expid", NAME, "--proj_intv", "1", "--fast")
    select(root, *arguments)
    (folder,) = (root / "nasbench201" / NAME).glob("log_resume-*/")
    expected = {name: (folder / name).read_bytes() for name in ("genotype.json", "metrics.jsonl")}
    for epoch in (3, 4, 5):
        (folder / checkpoints.name(epoch)).unlink(missing_ok=True)
    (folder / "genotype.json").unlink()
    select(root, *arguments, "--dev_resume_epoch", "2", "--dev_resume_log", folder.name)
    assert {name: (folder / name).read_bytes() for name in expected} == expected


def test_blank_keeps_alpha(tmp_path: Path) -> None:
    search(tmp_path, "--method", "blank", "--epochs", "2", "--ckpt_interval", "1", "--fast")
    folder = tmp_path / "nasbench201" / "search-blank-201-1-digits-fast"
    first, last = (checkpoints.read(folder / checkpoints.name(epoch))["alpha"][0] for epoch in (1, 2))
    assert torch.equal(first, last)
    select(tmp_path, "--resume_expid", folder.name, "--proj_intv", "1", "--fast")
    (end,) = folder.glob("log_resume-*/checkpoint_5.pth.tar")
    assert torch.equal(checkpoints.read(end)["alpha"][0], first)


def test_the_originals_checkpoint_can_be_selected_from(golden: Path, tmp_path: Path) -> None:
    """It has no configuration: sizes follow from its weights, the rest from the options."""
    from nasbench201.supernet import NasBench201Supernet, sizes_of

    source = golden / "original_checkpoints" / "nasbench201_checkpoint_100.pth.tar"
    expected = torch.load(golden / "original_checkpoints" / "nasbench201_checkpoint_100.expected.pt", weights_only=True)
    checkpoint = checkpoints.read(source)
    supernet = NasBench201Supernet(*sizes_of(checkpoint["state_dict"]))
    supernet.load_state_dict(checkpoint["state_dict"])
    from darts_pt.supernet import Decisions
    from tests.helpers.oracle import mixing_weights

    mixing = mixing_weights(supernet.cell_types, {"cell": checkpoint["alpha"][0]}, Decisions())
    with torch.no_grad():
        logits = supernet.eval()(expected["input"], mixing)
    torch.testing.assert_close(logits, expected["eval_logits"], rtol=1e-4, atol=1e-4)
    assert supernet.genotype(mixing) == expected["genotype"]

    folder = tmp_path / "nasbench201" / "search-darts-201-0"
    folder.mkdir(parents=True)
    shutil.copy(source, folder / "checkpoint_100.pth.tar")
    select(
        tmp_path, "--resume_expid", folder.name, "--resume_epoch", "100", "--dataset", "digits",
        "--selection", "magnitude", "--batch_size", "64", "--fast",
    )  # fmt: skip
    (path,) = folder.glob("log_resume-100-*/genotype.json")
    assert json.loads(path.read_text())["genotype"] == expected["genotype"]


def test_a_trained_architecture_leaves_a_summary(tmp_path: Path) -> None:
    evaluate(tmp_path, "--arch", ARCHITECTURE, "--epochs", "2", "--ckpt_interval", "1")
    (path,) = (tmp_path / "nasbench201" / "eval").glob("*/summary.json")
    summary = json.loads(path.read_text())
    assert summary["architecture"] == ARCHITECTURE
    assert 0 <= summary["test_accuracy"] <= summary["best_test_accuracy"] <= 100
    (path.parent / "checkpoint_2.pth.tar").unlink()
    evaluate(tmp_path, "--arch", ARCHITECTURE, "--epochs", "2", "--ckpt_interval", "1", "--resume_epoch", "1")
    again = json.loads(path.read_text())
    assert {**again, "seconds": 0} == {**summary, "seconds": 0}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--resume_expid", "search-drats-201-3-digits"), "did you mean"),
        (("--resume_expid", NAME, "--resume_epoch", "7"), "epochs 1, 2"),
        (("--resume_expid", NAME, "--dataset", "cifar10"), "was searched with digits"),
        (("--resume_expid", NAME, "--dev_resume_epoch", "0"), "no config.json|has no checkpoint yet"),
        (("--resume_expid", NAME, "--dev_resume_log", "x"), "--dev_resume_epoch"),
        (("--resume_expid", NAME, "--proj_intv", "0"), "above 0"),
        (("--resume_expid", NAME, "--batch_size", "5000"), "at most 598"),
        (("--resume_expid", NAME, "--init_channels", "8"), "another size"),
    ],
)
def test_selections_that_cannot_be_are_refused_and_leave_nothing(
    searched: Path, capsys: pytest.CaptureFixture[str], arguments: Sequence[str], says: str
) -> None:
    before = sorted(searched.rglob("*"))
    message = refused(capsys, select, searched, *arguments)
    assert any(part in message for part in says.split("|")), message
    assert sorted(searched.rglob("*")) == before


def test_an_existing_experiment_is_kept(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (root / "nasbench201" / NAME / "log.txt").read_bytes()
    assert "--overwrite" in refused(capsys, search, root, "--seed", "3", "--epochs", "1")
    assert (root / "nasbench201" / NAME / "log.txt").read_bytes() == before
    search(root, "--seed", "3", "--epochs", "1", "--overwrite")
    assert checkpoints.epochs_in(root / "nasbench201" / NAME) == [1]


def test_a_resumed_search_must_go_on_with_its_options(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, search, root, "--seed", "3", "--epochs", "5", "--resume_epoch", "1")
    assert "--epochs is 5" in message
