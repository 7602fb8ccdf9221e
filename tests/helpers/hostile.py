"""What the tests of hostile input share: files that do harm where they are unpickled, and the check of a refusal."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.command_line import refused

SEARCH = ["--dataset", "digits", "--gpu", "cpu", "--fast", "--init_channels", "2", "--cells_per_stage", "1"] + [
    "--epochs", "2", "--ckpt_interval", "1",
]  # fmt: skip
"""Arguments of a search of two batches."""


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder below `folder`; a lock is no content."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if path.name != ".lock"
    }


def refused_unchanged(
    capsys: pytest.CaptureFixture[str], here: Path, command: Callable[..., object], *arguments: object
) -> str:
    """The line with which a command refuses; nothing below `here` has changed."""
    before = contents(here)
    said = refused(capsys, command, *arguments)
    assert said.startswith("error: ")
    assert len(said) < 1000
    assert "Traceback" not in said
    assert contents(here) == before
    return said


def cut(share: float) -> Callable[[bytes], bytes]:
    return lambda whole: whole[: int(share * len(whole))]


class Harmful:
    """Makes a file where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("harmed",)


def saved(content: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()
