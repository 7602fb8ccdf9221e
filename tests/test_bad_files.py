"""Hostile tables, archives and data sets through the commands: one clear line, exit code 2, not a byte changed."""

from __future__ import annotations

import io
import pickle
import random
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from darts_pt.commands.command_line import run_command
from nasbench201 import train_search
from nasbench201.space import NasBench201SearchOptions
from nasbench201.table import __main__ as table
from nasbench201.table.file import write_table
from tests.helpers.hostile import SEARCH, Harmful, cut, refused_unchanged, saved
from tests.helpers.nasbench201 import ARCHITECTURE

pytestmark = pytest.mark.hostile


# Tables ----------------------------------------------------------------------------------------------------------


TABLES: dict[str, Callable[[bytes], bytes]] = {
    **{f"cut at {share}": cut(share) for share in (0, 0.01, 0.5, 0.9, 0.999)},
    "text": lambda _: b"arch,cifar10_test_200\n",
    "only its magic": lambda _: b"PK\3\4" * 30,
    "a table of an earlier version": lambda _: b"PAR1" * 3,
    "a pickle": lambda _: pickle.dumps(Harmful()),
    "doubled": lambda whole: whole[: len(whole) // 2] + whole,
}


@pytest.mark.parametrize("name", TABLES)
def test_files_that_are_no_tables(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "table.npz"
    write_table(path, np.array([7]), {"cifar10/200/test_accuracy/mean": np.array([50.0])}, {})
    path.write_bytes(TABLES[name](path.read_bytes()))
    assert "table.npz" in refused_unchanged(capsys, tmp_path, table.main, ["stats", "--table", str(path)])


def archive_of(kind: str) -> bytes:
    """An archive with a member that wants to be written outside of the folder it is unpacked in."""
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


IMPORTS: dict[str, tuple[str, bytes]] = {
    **{f"harmful pickle {protocol}": ("x.pth", pickle.dumps(Harmful(), protocol)) for protocol in range(6)},
    "harmful file of torch": ("x.pth", saved(Harmful())),
    "harmful legacy file of torch": ("x.pth", saved(Harmful(), _use_new_zipfile_serialization=False)),
    "harmful file of NATS-Bench": ("x.pickle.pbz2", pickle.dumps(Harmful())),
    "an archive that leads outside": ("x.pth", archive_of("zip")),
    "a tar archive": ("x.pth", archive_of("gz")),
    "another checkpoint": ("x.pth", saved({"state_dict": {}})),
    "a file that is not what its name says": ("NAS-Bench-201-v1_1-096897.pth", saved({"arch2infos": {}})),
    "empty": ("x.pth", b""),
    "an empty CSV": ("x.csv", b""),
    "a CSV of nothing": ("x.csv", b"arch,cifar10_test_200\n"),
    "a CSV without arch": ("x.csv", b"a,cifar10_test_200\n1,2\n"),
    "a CSV without results": ("x.csv", b"arch\n|none~0|\n"),
    "a CSV with text for numbers": ("x.csv", f"arch,cifar10_test_200\n{ARCHITECTURE},high\n".encode()),
    "a CSV with no architectures": ("x.csv", b"arch,cifar10_test_200\nresnet,93\n"),
    "a CSV in UTF-16": ("x.csv", "arch,cifar10_test_200\n".encode("utf-16")),
    "a CSV with null bytes": ("x.csv", b"arch,cifar10_test_200\n\0\0\0,1\n"),
    "a CSV with a short row": ("x.csv", f"arch,cifar10_test_200\n{ARCHITECTURE}\n".encode()),
    "a CSV with a row twice": ("x.csv", b"arch,cifar10_test_200\n" + f"{ARCHITECTURE},9\n".encode() * 2),
    "a CSV that is not packed": ("x.csv.gz", b"arch,cifar10_test_200\n"),
    "a cut packed CSV": ("x.csv.gz", b"\x1f\x8b\x08\x00\x00\x00"),
}


@pytest.mark.parametrize("name", IMPORTS)
def test_files_that_are_no_benchmarks(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file, content = IMPORTS[name]
    (tmp_path / file).write_bytes(content)
    refused_unchanged(capsys, tmp_path, table.main, ["import", file, "-o", "table.npz"])


# Data sets -------------------------------------------------------------------------------------------------------


def image(mode: str = "RGB", size: tuple[int, int] = (8, 8), suffix: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size, 1).save(stream, suffix)
    return stream.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that says it is huge."""
    small = bytearray(image())
    small[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    small[29:33] = zlib.crc32(bytes(small[12:29])).to_bytes(4, "big")
    return bytes(small)


IMAGES: dict[str, bytes] = {
    "empty": b"",
    "text": b"no image",
    "noise": random.Random(1).randbytes(500),
    "huge": bomb(100_000, 100_000),
    "wide": bomb(2**31 - 1, 1),
    "of no size": bomb(0, 0),
    "of another size": image(size=(9, 8)),
    "a grey one of another size": image("L", (7, 8)),
    "a pickle": pickle.dumps(Harmful()),
    **{f"a cut {suffix}": image(suffix=suffix)[:-9] for suffix in ("BMP", "JPEG", "TIFF", "WEBP")},
    **{f"a PNG cut at {share}": cut(share)(image()) for share in (0.2, 0.5, 0.7)},
}


def folder_search(here: Path, *more: str) -> None:
    arguments = [
        "--dataset",
        "folder",
        "--data",
        str(here / "data"),
        *SEARCH[2:],
        "--experiments",
        str(here / "experiments"),
    ]
    run_command(NasBench201SearchOptions, train_search.main, [*arguments, *more])


@pytest.mark.parametrize("name", IMAGES)
def test_images_that_are_none(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for label in ("cat", "dog"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(4):
            (tmp_path / "data" / label / f"{number}.png").write_bytes(image())
    path = tmp_path / "data" / "dog" / "x.png"
    path.write_bytes(IMAGES[name])
    assert "x.png" in refused_unchanged(capsys, tmp_path, folder_search, tmp_path)


FOLDERS: dict[str, list[str]] = {
    "nothing": [],
    "no folders": ["1.png"],
    "one class": ["cat/1.png", "cat/2.png"],
    "an empty class": ["cat/1.png", "cat/2.png", "dog/"],
    "a class without images": ["cat/1.png", "cat/2.png", "dog/notes.txt"],
    "hidden classes": [".cat/1.png", ".dog/1.png"],
    "one image": ["cat/1.png", "dog/1.png", "dog/2.png"],
    "no test": ["train/cat/1.png", "train/dog/1.png"],
    "an empty test": ["train/cat/1.png", "train/dog/1.png", "test/"],
    "other classes to test": ["train/cat/1.png", "train/dog/1.png", "test/cat/1.png", "test/cow/1.png"],
    "test without train": ["test/cat/1.png", "test/dog/1.png"],
    "too few for a batch": ["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"],
}


@pytest.mark.parametrize("name", FOLDERS)
def test_folders_that_are_no_data_sets(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").mkdir()
    for member in FOLDERS[name]:
        path = tmp_path / "data" / member
        (path if member.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not member.endswith("/"):
            path.write_bytes(image())
    refused_unchanged(capsys, tmp_path, folder_search, tmp_path)


DATA: dict[str, tuple[str, str, bytes]] = {
    **{
        f"{kind} archive that leads outside": ("cifar10", "cifar-10-python.tar.gz", archive_of(kind))
        for kind in ("gz", "bz2", "xz")
    },
    "an archive of CIFAR-100 that leads outside": ("cifar100", "cifar-100-python.tar.gz", archive_of("gz")),
    "a MATLAB file that is a pickle": ("svhn", "train_32x32.mat", pickle.dumps(Harmful())),
    "an empty MATLAB file": ("svhn", "train_32x32.mat", b""),
    "noise for a MATLAB file": ("svhn", "train_32x32.mat", random.Random(2).randbytes(3000)),
}


@pytest.mark.parametrize("name", DATA)
def test_data_sets_that_are_none(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no network here: an archive whose checksum is wrong would be fetched again."""
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: (_ for _ in ()).throw(OSError("no network")))
    dataset, file, content = DATA[name]
    (tmp_path / "root" / "data").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "root")
    (tmp_path / "root" / "data" / file).write_bytes(content)
    places = ["--experiments", str(tmp_path / "e"), "--data_root", str(tmp_path / "root" / "data")]
    arguments = ["--dataset", dataset, *SEARCH[2:], *places]
    refused_unchanged(capsys, tmp_path, run_command, NasBench201SearchOptions, train_search.main, arguments)
    assert not Path("/tmp/harmed-by-tar").exists()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("batch", ["data_batch_1", "test_batch", "batches.meta"])
def test_pickled_data_sets_that_do_harm(
    tmp_path: Path, protocol: int, batch: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    plain = pickle.dumps({"data": np.zeros((4, 3072), np.uint8), "labels": [0, 1, 2, 3]}, 2)
    for name in (*(f"data_batch_{part}" for part in range(1, 6)), "test_batch"):
        (folder / name).write_bytes(plain)
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [str(digit) for digit in range(10)]}, 2))
    (folder / batch).write_bytes(pickle.dumps(Harmful(), protocol))
    arguments = ["--dataset", "cifar10", *SEARCH[2:], "--experiments", str(tmp_path), "--data_root", str(tmp_path)]
    refused_unchanged(capsys, tmp_path, run_command, NasBench201SearchOptions, train_search.main, arguments)


def test_the_harm_of_these_files_is_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(Harmful()))
    assert (tmp_path / "harmed").is_dir()
