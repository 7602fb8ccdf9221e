"""The parity command, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.parity import __main__ as parity
from darts_pt.commands.command_line import run_command


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
    """The command's lines on quantities."""
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]


def nudged(value: Any) -> Any:
    """A recorded result, off by a hundred-thousandth of its size."""
    if isinstance(value, dict):
        return {key: nudged(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [nudged(item) for item in value]
    if isinstance(value, torch.Tensor):
        return value + 1e-5 * value.double().abs().max().clamp(min=1e-3) if value.is_floating_point() else value
    return value * (1 + 1e-5) if isinstance(value, float) else value
