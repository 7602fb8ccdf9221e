"""A disk that is full wherever a run writes: one line, exit code 2, and the last good checkpoint goes on."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import pytest

from darts_pt.run import checkpoint as checkpoints
from darts_pt.run.tensorboard import TensorBoardWriter
from tests.helpers.command_line import refused
from tests.helpers.hostile import search as search_two_batches
from tests.helpers.interrupted import disk_of

LIMIT = 2**21
"""Bytes that a file may have on the disk of this test: checkpoints fit in."""


def search(root: Path, *more: str) -> Path:
    search_two_batches("--experiments", str(root), *more)
    return root / "nasbench201" / "search-darts-201-1-digits-fast"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return search(tmp_path_factory.mktemp("whole"))


def pad(path: Path) -> int:
    """Fill a file until 20 bytes are left on the disk; its size then."""
    with path.open("ab") as file:
        file.write(b" " * (LIMIT - 20 - path.stat().st_size))
    return path.stat().st_size


@pytest.mark.parametrize("name", ["log.txt", "metrics.jsonl", "timing.jsonl"])
def test_a_full_disk_while_logging_is_one_line_and_the_run_goes_on_later(
    whole: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "nasbench201" / whole.name))
    (folder / checkpoints.name(2)).unlink()
    first = folder / checkpoints.name(1)
    metrics = (folder / "metrics.jsonl").read_bytes()
    size = pad(folder / name)
    if name == "metrics.jsonl":  # a resumed run forgets what came after its checkpoint
        checkpoints.write(checkpoints.read(first) | {"metrics_size": size}, folder / checkpoints.name(1))
    before = first.read_bytes()
    with disk_of(LIMIT), warnings.catch_warnings():
        warnings.simplefilter("error")
        said = refused(capsys, search, tmp_path, "--resume_epoch", "-1")
    assert str(folder / name) in said
    assert "File too large" in said
    assert first.read_bytes() == before
    assert checkpoints.epochs_in(folder) == [1]

    if name == "metrics.jsonl":
        (folder / name).write_bytes(metrics)
        shutil.copy(whole / checkpoints.name(1), first)
    search(tmp_path, "--resume_epoch", "-1")
    for compared in (checkpoints.name(2), "metrics.jsonl", "genotype.json"):
        assert (folder / compared).read_bytes() == (whole / compared).read_bytes()


def test_a_full_disk_at_a_checkpoint_is_one_line(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "nasbench201" / whole.name))
    (folder / checkpoints.name(2)).unlink()
    before = (folder / checkpoints.name(1)).read_bytes()
    with disk_of(len(before) - 100):
        said = refused(capsys, search, tmp_path, "--resume_epoch", "-1")
    assert str(folder / checkpoints.name(2)) in said
    assert (folder / checkpoints.name(1)).read_bytes() == before
    assert not list(folder.glob(".*.tmp"))


def test_a_full_disk_under_tensorboard_is_an_error_of_the_run(tmp_path: Path) -> None:
    board = TensorBoardWriter(tmp_path / "runs")
    (file,) = (tmp_path / "runs").iterdir()
    with disk_of(file.stat().st_size + 30), pytest.raises(OSError, match="File too large") as error:
        board.add({"loss": 0.5, "accuracy": 50.0}, 1)
    assert error.value.filename == str(file)
    board.close()
