"""Atomic writes and locks."""

from __future__ import annotations

import os
import platform
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from darts_pt.run import files
from darts_pt.run.errors import UserError
from darts_pt.run.files import Lock, atomic_path, atomic_write

ME = f"{os.getpid()} on {platform.node()}"


def test_text_and_bytes_are_written_whole(tmp_path: Path) -> None:
    atomic_write(tmp_path / "new folder" / "text", "größer als – ∞")
    assert (tmp_path / "new folder" / "text").read_text(encoding="utf-8") == "größer als – ∞"
    atomic_write(tmp_path / "bytes", b"\x00\xff")
    assert (tmp_path / "bytes").read_bytes() == b"\x00\xff"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["bytes", "new folder", "text"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    atomic_write(tmp_path / "file", "old")

    def fail() -> None:
        with atomic_path(tmp_path / "file") as temporary:
            temporary.write_text("new, but n")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (tmp_path / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_readers_see_the_old_content_until_the_write_is_complete(tmp_path: Path) -> None:
    atomic_write(tmp_path / "file", "old")
    with atomic_path(tmp_path / "file") as temporary:
        assert temporary.parent == tmp_path, "renaming is atomic within one file system only"
        temporary.write_text("new")
        assert (tmp_path / "file").read_text() == "old"
    assert (tmp_path / "file").read_text() == "new"


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    atomic_write(tmp_path / "file", "old")
    code = (
        "import os, sys; from pathlib import Path; from darts_pt.run.files import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path / "file")], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert (tmp_path / "file").read_text() == "old"


def test_permissions_are_the_usual_ones(tmp_path: Path) -> None:
    (tmp_path / "usual").write_text("")
    atomic_write(tmp_path / "new", "")
    (tmp_path / "private").write_text("")
    (tmp_path / "private").chmod(0o600)
    atomic_write(tmp_path / "private", "more")

    def mode(name: str) -> int:
        return stat.S_IMODE((tmp_path / name).stat().st_mode)

    assert mode("new") == mode("usual")
    assert mode("private") == 0o600


def test_a_lock_keeps_others_out_and_names_its_holder(tmp_path: Path) -> None:
    with Lock(tmp_path / "lock", "the experiment x"):
        with pytest.raises(UserError, match=rf"the experiment x is in use by another run \(process {ME}\)"):
            Lock(tmp_path / "lock", "the experiment x")
    with Lock(tmp_path / "lock", "the experiment x"):
        pass


def test_releasing_twice_is_harmless(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "lock", "it")
    lock.release()
    lock.release()
    with Lock(tmp_path / "lock", "it"):
        lock.release()
        with pytest.raises(UserError):
            Lock(tmp_path / "lock", "it")


def test_a_dead_process_holds_no_lock(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from darts_pt.run.files import Lock\n"
        "lock = Lock(Path(sys.argv[1]), 'it'); print('locked', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "lock")], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        with pytest.raises(UserError, match=f"process {process.pid}"):
            Lock(tmp_path / "lock", "it")
        process.kill()
    with Lock(tmp_path / "lock", "it"):
        assert (tmp_path / "lock").read_text() == f"{ME}\n"


def test_a_lock_is_on_the_file_that_has_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that its holder removed between our opening and our locking it is no lock: others lock a new one."""
    path, flock, rivals = tmp_path / "lock", files.fcntl.flock, []

    def removed_before(handle: int, how: int) -> None:
        monkeypatch.setattr(files.fcntl, "flock", flock)
        path.unlink()
        rivals.append(Lock(path, "it"))
        flock(handle, how)

    monkeypatch.setattr(files.fcntl, "flock", removed_before)
    with pytest.raises(UserError, match="in use"):
        Lock(path, "it")
    rivals[0].release()
    with Lock(path, "it"):
        pass
