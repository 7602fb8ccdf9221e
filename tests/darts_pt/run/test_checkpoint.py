"""Checkpoints: exact, verified, and harmless whatever the file."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from darts_pt.run import checkpoint as checkpoints
from darts_pt.run.errors import UserError
from tests.helpers.equality import equal
from tests.helpers.toy import ToySupernet

CONTENT: dict[str, Any] = {
    "epoch": 7,
    "state_dict": {"weight": torch.arange(12.0).view(3, 4), "count": torch.tensor(3)},
    "alpha": [torch.full((2, 3), 0.1)],
    "optimizer": {"state": {0: {"momentum_buffer": torch.ones(3, 4)}}, "param_groups": [{"lr": 0.025, "params": [0]}]},
    "arch_optimizer": {"state": {}, "param_groups": []},
    "scheduler": None,
    "decisions": {"operations": {"cell": {3: 1}}, "edges": {}},
    "generators": {"batches": torch.Generator().manual_seed(4).get_state()},
}


def outcome(path: Path) -> Any:
    """The content of a checkpoint, or the error that the user sees."""
    try:
        return checkpoints.read(path)
    except UserError as error:
        return error


def refused(path: Path, match: str = ".") -> None:
    with pytest.raises(UserError, match=match) as raised:
        checkpoints.read(path)
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return checkpoints.write(CONTENT, tmp_path / checkpoints.name(7))


def test_what_is_saved_is_read(saved: Path) -> None:
    assert saved.name == "checkpoint_7.pth.tar"
    assert equal(checkpoints.read(saved), CONTENT)
    assert os.listdir(saved.parent) == [saved.name]


def test_equal_checkpoints_are_equal_files(tmp_path: Path) -> None:
    first, second = (checkpoints.write(CONTENT, tmp_path / name) for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()


def test_weights_that_are_parts_of_one_tensor_leave_the_same_file(tmp_path: Path) -> None:
    """As a bank's are after the first step; a run that is resumed just before a save has not taken one."""
    whole = torch.arange(24.0)
    parts = {"a": whole[:12].view(3, 4), "b": whole[12:].view(4, 3).mT}
    apart = {name: part.clone() for name, part in parts.items()}
    first, second = (
        checkpoints.write(CONTENT | {"state_dict": state}, tmp_path / str(n) / checkpoints.name(7))
        for n, state in enumerate((parts, apart))
    )
    assert first.read_bytes() == second.read_bytes()
    assert equal(checkpoints.read(first)["state_dict"], parts)


def test_the_original_can_read_ours(saved: Path) -> None:
    """It calls torch.load and takes its keys."""
    loaded = torch.load(saved, weights_only=True)
    assert {"epoch", "state_dict", "alpha", "optimizer", "arch_optimizer", "scheduler"} <= loaded.keys()


def test_a_failed_save_keeps_the_old_checkpoint(saved: Path) -> None:
    with pytest.raises((AttributeError, pickle.PicklingError, TypeError)):
        checkpoints.write({"epoch": lambda: 0}, saved.parent / checkpoints.name(7))
    assert equal(checkpoints.read(saved), CONTENT)
    assert os.listdir(saved.parent) == [saved.name]


def test_finding_checkpoints(tmp_path: Path) -> None:
    for epoch in (2, 10, 4):
        checkpoints.write(CONTENT, tmp_path / checkpoints.name(epoch))
    (tmp_path / "checkpoint_best.pth.tar").touch()
    (tmp_path / "checkpoint_12.pth").touch()
    assert checkpoints.epochs_in(tmp_path) == [2, 4, 10]
    assert checkpoints.find(tmp_path, -1) == tmp_path / checkpoints.name(10)
    assert checkpoints.find(tmp_path, 4) == tmp_path / checkpoints.name(4)
    with pytest.raises(UserError, match=r"resume_epoch: .* of epoch 12; it has those of epochs 2, 4, 10"):
        checkpoints.find(tmp_path, 12)
    for epoch in (-1, 3):
        with pytest.raises(UserError, match="has no checkpoint yet"):
            checkpoints.find(tmp_path / "nowhere", epoch)


# Damage ----------------------------------------------------------------------------------------------------------


def test_a_missing_or_empty_file_is_named(tmp_path: Path) -> None:
    refused(tmp_path / "checkpoint_1.pth.tar", "no checkpoint")
    (tmp_path / "checkpoint_1.pth.tar").touch()
    refused(tmp_path / "checkpoint_1.pth.tar", "it is empty")
    refused(tmp_path, "no checkpoint")


@pytest.mark.hostile
@settings(max_examples=300)
@given(st.data())
def test_a_cut_is_found_and_a_flipped_bit_is_or_has_no_effect(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "flipped.pth.tar"
    stream = io.BytesIO()
    torch.save(CONTENT, stream)
    content = bytearray(stream.getvalue())
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content[: max(1, bit // 8)])
    refused(path)
    path.write_bytes(content)
    found = outcome(path)
    if isinstance(found, UserError):
        assert "\n" not in str(found)
    else:
        assert equal(found, CONTENT), f"bit {bit} changed the content unnoticed"


def test_every_byte_of_a_record_is_guarded(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    with zipfile.ZipFile(saved) as archive:
        record = max(archive.infolist(), key=lambda info: info.file_size)
        begin = content.index(archive.read(record))
    for offset in range(0, record.file_size, 97):
        damaged = content.copy()
        damaged[begin + offset] ^= 0x10
        saved.write_bytes(damaged)
        refused(saved, f"is damaged .*{record.filename}")


@settings(max_examples=200)
@given(st.binary(min_size=1, max_size=400))
def test_any_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.pth.tar"
    path.write_bytes(content)
    refused(path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ([1, 2], "holds a list"),
        (torch.ones(3), "holds a Tensor"),
        ({}, "lacks epoch, state_dict"),
        ({key: value for key, value in CONTENT.items() if key != "arch_optimizer"}, "lacks arch_optimizer"),
        (CONTENT | {"epoch": "seven"}, "its epoch is 'seven'"),
        (CONTENT | {"epoch": True}, "its epoch is True"),
    ],
)
def test_content_of_the_wrong_kind_is_refused(tmp_path: Path, content: Any, complaint: str) -> None:
    torch.save(content, tmp_path / "checkpoint_1.pth.tar")
    refused(tmp_path / "checkpoint_1.pth.tar", complaint)


# Weights ---------------------------------------------------------------------------------------------------------


def test_weights_that_fit_are_loaded() -> None:
    theirs, ours = ToySupernet(), ToySupernet()
    checkpoints.load_weights(ours, theirs.state_dict(), Path("x"))
    assert all(torch.equal(ours.state_dict()[key], tensor) for key, tensor in theirs.state_dict().items())
