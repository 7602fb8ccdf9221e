"""Checking that a command refuses."""

from __future__ import annotations

from collections.abc import Callable

import pytest


def refused(capsys: pytest.CaptureFixture[str], command: Callable[..., object], *arguments: object) -> str:
    """The one line that a command says when it refuses, after checking that it is one and that the code is 2."""
    with pytest.raises(SystemExit) as end:
        command(*arguments)
    assert end.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]
