"""A checksum over a whole Parquet file, in the file: Parquet's own guard the pages that are read, and nothing else.

The footer's metadata have a field for the SHA-256 of the file with zeros in that field.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Mapping
from pathlib import Path

KEY = b"nasbench201.sha256"
UNSEALED = b"0" * 64


def seal(path: Path) -> None:
    """Fill the field of a file that was written with :data:`UNSEALED` under :data:`KEY`."""
    content = path.read_bytes()
    start = _field(content, UNSEALED)
    assert start >= 0, "the file was not written with the field"
    path.write_bytes(content[:start] + _digest(content, start) + content[start + len(UNSEALED) :])


def damage(path: Path, metadata: Mapping[bytes, bytes]) -> str | None:
    """What is wrong with a file, given the metadata of its footer, or None."""
    told = metadata.get(KEY)
    if told is None or len(told) != len(UNSEALED):
        return "it has no checksum"
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start = _field(content, told)
        return None if start >= 0 and _digest(content, start) == told else "its checksum does not fit"


def _field(content: bytes | mmap.mmap, value: bytes) -> int:
    """Where the field's value is, which stands behind its key in the footer at the file's end; -1 if it is not there.

    The key and the value are texts of Thrift's compact protocol: a few bytes of type and length between them.
    """
    key = content.rfind(KEY)
    start = content.find(value, key + len(KEY)) if key >= 0 else -1
    return start if start - key - len(KEY) <= 4 else -1


def _digest(content: bytes | mmap.mmap, start: int) -> bytes:
    sha = hashlib.sha256(memoryview(content)[:start])
    sha.update(UNSEALED)
    sha.update(memoryview(content)[start + len(UNSEALED) :])
    return sha.hexdigest().encode()
