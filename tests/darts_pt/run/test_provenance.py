"""The facts of a run that are written down so that it can be repeated."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch

from darts_pt.run import provenance


def test_a_run_is_described_as_plain_data() -> None:
    described = provenance.describe_run(torch.device("cpu"))
    assert described["device"] == "cpu"
    assert described["versions"]["darts-pt"]
    assert described["versions"]["numpy"]
    assert described["host"]["cpus"] >= 1
    assert provenance.describe_device(None) is None


def test_the_commit_and_changes_to_it_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    monkeypatch.setattr(provenance, "PROJECT_ROOT", tmp_path.resolve())
    assert provenance.git_state() is None, "no checkout"
    git("init")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-m", "first")
    state = provenance.git_state()
    assert state is not None
    assert len(state["commit"]) == 40
    assert state["dirty"] is False
    (tmp_path / "file").write_text("2")
    state = provenance.git_state()
    assert state is not None
    assert state["dirty"] is True
    monkeypatch.setattr(provenance, "PROJECT_ROOT", tmp_path.resolve() / "inside")
    assert provenance.git_state() is None, "another project's checkout"


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert provenance.git_state() is None


def test_a_copy_of_the_code_replaces_an_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "old.py").write_text("")
    provenance.copy_code(tmp_path / "scripts")
    assert not (tmp_path / "scripts" / "old.py").exists()
    ours = Path("darts_pt", "supernet.py")
    assert (tmp_path / "scripts" / ours).read_bytes() == (provenance.PROJECT_ROOT / ours).read_bytes()
    assert not list((tmp_path / "scripts").rglob("*.pyc"))
