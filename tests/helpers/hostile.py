"""Hostile input: files that do harm where they are unpickled, and archives that lead outside."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from darts_pt.commands.command_line import run_command
from nasbench201 import train_search
from nasbench201.space import NasBench201SearchOptions

SEARCH = ["--dataset", "digits", "--gpu", "cpu", "--fast", "--init_channels", "2", "--cells_per_stage", "1"] + [
    "--epochs", "2", "--ckpt_interval", "1",
]  # fmt: skip
"""Arguments of a search of two batches."""
Refuse = Callable[..., str]
"""Of the fixture `refuse`: a command and its arguments -> the line with which it refuses."""


def search(*more: str) -> None:
    """That search in the present folder."""
    run_command(NasBench201SearchOptions, train_search.main, [*SEARCH, "--experiments", ".", *more])


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder below `folder`; a lock is no content."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if path.name != ".lock"
    }


class Harmful:
    """Its pickle says: call this with that; by default it makes a folder where it is unpickled."""

    def __init__(self, function: Callable[..., Any] = os.mkdir, *arguments: Any) -> None:
        self.call = function, arguments or ("harmed",)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def saved(content: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


PICKLES = {
    **{f"harmful pickle {protocol}": pickle.dumps(Harmful(), protocol) for protocol in (0, 2, 5)},
    "harmful file of torch": saved(Harmful()),
    "harmful legacy file of torch": saved(Harmful(), _use_new_zipfile_serialization=False),
}


def archive_leading_outside(kind: str) -> bytes:
    """An archive with members that want to be written outside of the folder it is unpacked in."""
    stream = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("../../harmed", "x")
            archive.writestr("/tmp/harmed/data.pkl", pickle.dumps(Harmful()))
    else:
        with tarfile.open(fileobj=stream, mode=f"w:{kind}") as archive:  # type: ignore[call-overload]
            for name in ("../harmed", "/tmp/harmed-by-tar", "cifar-10-batches-py/../../harmed"):
                member = tarfile.TarInfo(name)
                member.size = 1
                archive.addfile(member, io.BytesIO(b"x"))
    return stream.getvalue()
