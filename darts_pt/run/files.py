"""Files that are whole or not there, files that are appended to, and a lock that a dead process does not hold."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from darts_pt.run.errors import UserError


def read_json(path: Path) -> Any:
    """What a file of JSON holds.

    Raises:
        OSError, ValueError: it cannot be read, or is no JSON, or is nested deeper than any file of ours.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


@contextmanager
def named(path: Path) -> Iterator[None]:
    """An error of the system inside says which file it was about, where it does not say so itself (a full disk)."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


class WholeFile:
    """A file that is appended to, without a buffer: what was written is with the system, and closing cannot fail.

    Python's buffered files keep what a full disk did not take, and raise again when they are closed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab", buffering=0)

    def write(self, content: bytes) -> None:
        """All of it; OSError, which names the file, where that fails."""
        rest = memoryview(content)
        with named(self.path):
            while rest:
                rest = rest[self._file.write(rest) :]

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return os.fstat(self._file.fileno()).st_size

    def truncate(self, size: int) -> None:
        """Forget what is beyond `size` bytes."""
        self._file.truncate(size)

    def flush(self) -> None:
        """There is no buffer; TensorBoard asks."""

    def sync(self) -> None:
        """Have all of it on the disk: what is written elsewhere after this may rely on it, power loss or not."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """More than once does no harm."""
        self._file.close()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Gives a temporary path in the same folder; what is written there becomes `path` when the block ends well.

    The file is flushed to the disk before it is renamed, and the folder after, so that after a power loss either the
    former or the new content is there, never a part. If the block raises, `path` is as it was and nothing is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        with named(path):
            yield temporary
            temporary.chmod(_usual_mode(path))
            _flush(temporary)
            temporary.replace(path)
            _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write(path: Path, content: bytes | memoryview | str) -> None:
    """Writes a whole file (text as UTF-8): a reader, or a crash, never sees a part of it."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def _usual_mode(path: Path) -> int:
    """The mode `path` has, or that a new file gets; mkstemp's own is readable by its owner alone."""
    with suppress(FileNotFoundError):
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _flush(path: Path) -> None:
    """Asks the system to have a file, or a folder's list of names, on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_at(handle: int, path: Path) -> bool:
    """Whether the open file is the one that has that name now."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


class Lock:
    """An exclusive lock on a file; it ends with the process that holds it, however that ends.

    Raises:
        UserError: another process holds it; the message names `what` and that process.
    """

    def __init__(self, path: Path, what: str) -> None:
        while True:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(self._handle, 32).decode("ascii", "replace").strip() or "unknown"
                self.release()
                raise UserError(
                    f"{what} is in use by another run (process {holder}); wait until it ends, or stop it"
                ) from None
            if _is_at(self._handle, path):
                break
            self.release()  # Its former holder removed the file after it was opened here.
        os.ftruncate(self._handle, 0)
        os.write(self._handle, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Lets others in. The file may be removed before, while the lock is held, but not after."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
