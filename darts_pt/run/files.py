"""Files that are complete or absent, files that are appended to, and a lock that its process releases when it ends."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from darts_pt.run.errors import UserError


def read_json(path: Path) -> Any:
    """Parse a JSON file.

    Raises:
        OSError, ValueError: it cannot be read, is not JSON, or is nested too deeply.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


@contextmanager
def path_in_errors(path: Path) -> Iterator[None]:
    """Add the path to an OSError without a file name, such as that of a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


class UnbufferedFile:
    """A file that is appended to without a buffer, so that closing it cannot fail.

    A buffered file keeps what a full disk did not take, and raises again when it is closed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab", buffering=0)

    def write(self, content: bytes) -> None:
        """Write all of it; an OSError names the file."""
        rest = memoryview(content)
        with path_in_errors(self.path):
            while rest:
                rest = rest[self._file.write(rest) :]

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return os.fstat(self._file.fileno()).st_size

    def truncate(self, size: int) -> None:
        """Remove everything after `size` bytes."""
        self._file.truncate(size)

    def flush(self) -> None:
        """Do nothing: there is no buffer. TensorBoard calls it."""

    def sync(self) -> None:
        """Wait until everything is on the disk, so that later writes to other files can rely on it after a power loss."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """May be called more than once."""
        self._file.close()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; at the end of the block its file becomes `path`.

    The file is flushed to the disk before it is renamed, and the folder afterwards, so that after a power loss the old or
    the new content is there, never a part. If the block raises, `path` stays as it was and the temporary file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        with path_in_errors(path):
            yield temporary
            temporary.chmod(_usual_mode(path))
            _flush(temporary)
            temporary.replace(path)
            _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write(path: Path, content: bytes | memoryview | str) -> None:
    """Write a file (text as UTF-8) so that it is never incomplete, not even after a crash."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def _usual_mode(path: Path) -> int:
    """The mode of `path` or of a new file; mkstemp's file is readable only by its owner."""
    with suppress(FileNotFoundError):
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _flush(path: Path) -> None:
    """Flush a file, or a folder's list of names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_at(handle: int, path: Path) -> bool:
    """Whether the open file is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


class Lock:
    """An exclusive lock on a file; the system releases it when its process ends, in whatever way.

    Raises:
        UserError: another process holds it; the message names `what`, that process and its machine.
    """

    def __init__(self, path: Path, what: str) -> None:
        while True:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(self._handle, 300).decode("ascii", "replace").strip() or "unknown"
                self.release()
                raise UserError(
                    f"{what} is in use by another run (process {holder}); wait until it ends, or stop it"
                ) from None
            if _is_at(self._handle, path):
                break
            self.release()  # Its former holder removed the file after it was opened here.
        os.ftruncate(self._handle, 0)
        os.write(self._handle, f"{os.getpid()} on {platform.node()}\n".encode())

    def release(self) -> None:
        """Release the lock. The file may be removed while the lock is held, but not afterwards."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
