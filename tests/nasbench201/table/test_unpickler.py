"""NumPy's numbers are read from pickles; nothing that a pickle asks for is called."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasbench201.table.unpickler import stand_in
from tests.helpers.hostile import Harmful


class Reader(pickle.Unpickler):
    find_class = staticmethod(stand_in)  # type: ignore[assignment]


def read(content: Any, protocol: int) -> Any:
    return Reader(io.BytesIO(pickle.dumps(content, protocol)), encoding="latin1").load()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", ">i4", "bool"])
def test_numbers_are_read_and_arrays_are_passed_over(protocol: int, dtype: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    found = read({"flop": array[1, 2], "array": array, "after": b"", "name": "x"}, protocol)
    assert found["flop"] == array[1, 2]
    assert type(found["flop"]) in (int, float, bool)
    assert (found["after"], found["name"]) == (b"", "x")


@pytest.mark.hostile
@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "content",
    [
        Harmful(), Harmful(getattr, 1, "real"), np.array([{"an": "object"}], dtype=object),
        np.array([(1, 2)], dtype="i4,i4"), np.datetime64("2020-01-01"), print,
    ],
)  # fmt: skip
def test_anything_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any, protocol: int) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pickle.UnpicklingError, match=r"it (asks for|holds values of)"):
        read({"value": content}, protocol)
    assert not list(tmp_path.iterdir())
