"""Hostile tables, archives and data sets through the commands: one clear line, exit code 2, and not a byte changed."""

from __future__ import annotations

import io
import random
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nasbench201.table import __main__ as table
from nasbench201.table.file import write_table
from tests.helpers.hostile import PICKLES, Refuse, archive_leading_outside, saved, search
from tests.helpers.nasbench201 import ARCHITECTURE

pytestmark = pytest.mark.hostile


# Tables ----------------------------------------------------------------------------------------------------------

TABLES: dict[str, bytes | Callable[[bytes], bytes]] = {
    **PICKLES,
    "empty": b"",
    "cut": lambda whole: whole[:-9],
    "doubled": lambda whole: whole[: len(whole) // 2] + whole,
    "text": b"arch,cifar10_test_200\n",
    "only its magic": b"PK\3\4" * 30,
    "a table of an earlier version": b"PAR1" * 3,
}


@pytest.mark.parametrize("name", TABLES)
def test_files_that_are_not_tables(tmp_path: Path, name: str, refuse: Refuse) -> None:
    path, damage = tmp_path / "table.npz", TABLES[name]
    write_table(path, np.array([7]), {"cifar10/200/test_accuracy/mean": np.array([50.0])}, {})
    path.write_bytes(damage if isinstance(damage, bytes) else damage(path.read_bytes()))
    assert "table.npz" in refuse(table.main, ["stats", "--table", str(path)])


HEAD = b"arch,cifar10_test_200\n"
ROW = f"{ARCHITECTURE},9\n".encode()
IMPORTS: dict[str, tuple[str, bytes]] = {
    **{name: ("x.pth", content) for name, content in PICKLES.items()},
    "harmful file of NATS-Bench": ("x.pickle.pbz2", PICKLES["harmful pickle 2"]),
    "an archive that leads outside": ("x.pth", archive_leading_outside("zip")),
    "a tar archive": ("x.pth", archive_leading_outside("gz")),
    "another checkpoint": ("x.pth", saved({"state_dict": {}})),
    "a file that is not what its name says": ("NAS-Bench-201-v1_1-096897.pth", saved({"arch2infos": {}})),
    "empty": ("x.pth", b""),
    "an empty CSV": ("x.csv", b""),
    "a CSV of nothing": ("x.csv", HEAD),
    "a CSV without arch": ("x.csv", b"a,cifar10_test_200\n1,2\n"),
    "a CSV without results": ("x.csv", b"arch\n|none~0|\n"),
    "a CSV with text for numbers": ("x.csv", HEAD + ROW.replace(b"9", b"high")),
    "a CSV with no architectures": ("x.csv", HEAD + b"resnet,93\n"),
    "a CSV in UTF-16": ("x.csv", HEAD.decode().encode("utf-16")),
    "a CSV with null bytes": ("x.csv", HEAD + b"\0\0\0,1\n"),
    "a CSV with a short row": ("x.csv", HEAD + ROW.replace(b",9", b"")),
    "a CSV with a row twice": ("x.csv", HEAD + ROW * 2),
    "a CSV that is not packed": ("x.csv.gz", HEAD),
    "a cut packed CSV": ("x.csv.gz", b"\x1f\x8b\x08\x00\x00\x00"),
}


@pytest.mark.parametrize("name", IMPORTS)
def test_files_that_are_not_benchmarks(tmp_path: Path, name: str, refuse: Refuse) -> None:
    file, content = IMPORTS[name]
    (tmp_path / file).write_bytes(content)
    refuse(table.main, ["import", file, "-o", "table.npz"])


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
    "a pickle": PICKLES["harmful pickle 2"],
    **{f"a cut {suffix}": image(suffix=suffix)[:-9] for suffix in ("BMP", "JPEG", "TIFF", "WEBP")},
    "half a PNG": image()[:40],
}
EIGHT = [f"{label}/{number}.png" for label in ("cat", "dog") for number in range(4)]
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


def write_images(folder: Path, members: list[str]) -> None:
    folder.mkdir()
    for member in members:
        path = folder / member
        (path if member.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not member.endswith("/"):
            path.write_bytes(image())


@pytest.mark.parametrize("name", IMAGES)
def test_files_that_are_not_images(tmp_path: Path, name: str, refuse: Refuse) -> None:
    write_images(tmp_path / "data", EIGHT)
    (tmp_path / "data" / "dog" / "x.png").write_bytes(IMAGES[name])
    assert "x.png" in refuse(search, "--dataset", "folder", "--data", "data")


@pytest.mark.parametrize("name", FOLDERS)
def test_folders_that_are_not_data_sets(tmp_path: Path, name: str, refuse: Refuse) -> None:
    write_images(tmp_path / "data", FOLDERS[name])
    refuse(search, "--dataset", "folder", "--data", "data")


BATCHES = {f"data_batch_{part}" for part in range(1, 6)} | {"test_batch", "batches.meta"}
DATA: dict[str, tuple[str, dict[str, bytes]]] = {
    **{
        f"{kind} archive that leads outside": ("cifar10", {"cifar-10-python.tar.gz": archive_leading_outside(kind)})
        for kind in ("gz", "bz2", "xz")
    },
    "an archive of CIFAR-100": ("cifar100", {"cifar-100-python.tar.gz": archive_leading_outside("gz")}),
    "a MATLAB file that is a pickle": ("svhn", {"train_32x32.mat": PICKLES["harmful pickle 2"]}),
    "an empty MATLAB file": ("svhn", {"train_32x32.mat": b""}),
    "noise for a MATLAB file": ("svhn", {"train_32x32.mat": random.Random(2).randbytes(3000)}),
    **{
        f"a harmful pickle of protocol {name[-1]} in CIFAR-10": (
            "cifar10", {f"cifar-10-batches-py/{batch}": content for batch in BATCHES}
        )
        for name, content in PICKLES.items() if "pickle" in name
    },
}  # fmt: skip


@pytest.mark.parametrize("name", DATA)
def test_files_that_are_not_data_sets(
    tmp_path: Path, name: str, refuse: Refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no network here: an archive whose checksum is wrong would be fetched again."""
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: (_ for _ in ()).throw(OSError("no network")))
    dataset, files = DATA[name]
    for file, content in files.items():
        path = tmp_path / "data" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    refuse(search, "--dataset", dataset, "--data_root", "data")
    assert not Path("/tmp/harmed-by-tar").exists()
