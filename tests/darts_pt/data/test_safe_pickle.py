"""Pickles are read without running what is in them."""

from __future__ import annotations

import os
import pickle
import pickletools
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darts_pt.data.safe_pickle import load_pickle
from darts_pt.run.errors import UserError

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4)
    | st.tuples(inner, inner),
    max_leaves=12,
)  # fmt: skip


def written(folder: Path, content: Any, protocol: int = 2) -> Path:
    path = folder / "file.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@settings(max_examples=100)
@given(content=plain, protocol=st.integers(2, 5))
def test_plain_data_is_read_as_it_is(tmp_path_factory: pytest.TempPathFactory, content: Any, protocol: int) -> None:
    assert load_pickle(written(tmp_path_factory.getbasetemp(), content, protocol)) == content


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", ">i4", "bool"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_numbers_are_read(tmp_path: Path, protocol: int, dtype: str, order: Any) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype, order=order)
    found = load_pickle(written(tmp_path, {"data": array, "mean": array[0, 0, 1]}, protocol))
    assert np.array_equal(found["data"], array)
    assert found["data"].dtype == array.dtype
    assert found["mean"] == array[0, 0, 1]
    assert found["data"].flags.writeable


def test_python_2s_pickles_are_read(tmp_path: Path) -> None:
    """The bytes of its strings are those of its arrays: CIFAR's files are such pickles."""
    array = np.arange(6, dtype=np.uint8) + 250
    opcodes = (
        b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
        b"(K\x01(K\x06tcnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U\x06" + array.tobytes() + b"tbU\x06labels](K\x01K\x02eu."
    )
    pickletools.dis(opcodes, out=open(os.devnull, "w"))  # noqa: SIM115
    (tmp_path / "file.pkl").write_bytes(opcodes)
    found = load_pickle(tmp_path / "file.pkl")
    assert np.array_equal(found["data"], array)
    assert found["labels"] == [1, 2]


class Call:
    """Its pickle says: call this with that."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


@pytest.mark.hostile
@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("function", [os.system, eval, exec])
def test_a_malicious_pickle_is_not_executed(tmp_path: Path, protocol: int, function: Any) -> None:
    trace = tmp_path / "executed"
    command = f"touch {trace}" if function is os.system else f"open({str(trace)!r}, 'w')"
    path = written(tmp_path, {"data": Call(function, command)}, protocol)
    with pytest.raises(UserError, match=r"file.pkl cannot be read \(it asks for .* neither plain data nor an array"):
        load_pickle(path)
    assert not trace.exists()
    pickle.loads(path.read_bytes())
    assert trace.exists(), "the pickle of this test must be one that does harm"


@pytest.mark.hostile
@pytest.mark.parametrize(
    "content",
    [
        Call(getattr, 1, "real"),
        Call(np.load, "x"),
        Call(np.frombuffer, b"123"),
        np.array([{"an": "object"}], dtype=object),
        np.array([(1, 2)], dtype="i4,i4"),
        np.array(["text"]),
        np.array(["2020-01-01"], dtype="datetime64[D]"),
        Path("x"),
        print,
    ],
)
def test_anything_but_plain_data_and_numbers_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(UserError, match=r"cannot be read") as raised:
        load_pickle(written(tmp_path, content, 4))
    assert "\n" not in str(raised.value)


@pytest.mark.hostile
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80",
        b"not a pickle",
        pickle.dumps(np.arange(100))[:-20],
        pickle.dumps([1, 2, 3])[:-2],
        b"\x80\x02cnumpy\nndarray\n)R(K\x01(K\x09tcnumpy\ndtype\nU\x02u1\x85RI00\nU\x03abctb.",  # 3 bytes for 9 numbers
        b"\x80\x02]q\x00h\x00a.",  # a list that holds itself
        b"(" * 100_000,
    ],
)
def test_broken_pickles_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.pkl").write_bytes(content)
    with pytest.raises(UserError, match="cannot be read"):
        load_pickle(tmp_path / "file.pkl")


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_are_plain_data_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.pkl"
    path.write_bytes(content)
    try:
        message = str(load_pickle(path))[:0]
    except UserError as error:
        message = str(error)
    assert "\n" not in message


def test_small_files_stay_small(tmp_path: Path) -> None:
    """Lists of the same list twice, forty deep: 2^40 items if each were copied."""
    nested: list[Any] = []
    for _ in range(40):
        nested = [nested, nested]
    path = written(tmp_path, nested)
    begin = time.monotonic()
    found = load_pickle(path)
    assert time.monotonic() - begin < 5
    assert found[0] is found[1]
