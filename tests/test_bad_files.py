"""Hostile tables, archives and data sets through the commands: one clear line, exit code 2, and not a byte changed."""

from __future__ import annotations

import bz2
import io
import pickle
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nasbench201.table import __main__ as table
from nasbench201.table.file import write_table
from tests.helpers.hostile import PICKLES, Harmful, Refuse, archive_leading_outside, saved, search
from tests.helpers.nasbench201 import ARCHITECTURE

pytestmark = pytest.mark.hostile


# Tables ----------------------------------------------------------------------------------------------------------

HEAD = b"arch,cifar10_test_200\n"
ROW = f"{ARCHITECTURE},9\n".encode()


def test_files_that_are_not_tables(tmp_path: Path, refuse: Refuse) -> None:
    path = tmp_path / "table.npz"
    write_table(path, np.array([7]), {"cifar10/200/test_accuracy/mean": np.array([50.0])}, {})
    whole = path.read_bytes()
    twice, earlier = whole[: len(whole) // 2] + whole, b"PAR1" * 3
    for content in (*PICKLES.values(), b"", whole[:-9], twice, earlier, b"PK\3\4" * 30, HEAD):
        path.write_bytes(content)
        assert "table.npz" in refuse(table.main, ["stats", "--table", str(path)])


IMPORTS: list[tuple[str, bytes]] = [
    *(("x.pth", content) for content in PICKLES.values()),
    ("x.pth", b""), ("x.pth", b"not a pickle"), ("x.pth", saved({"state_dict": {}})), ("x.pth", pickle.dumps({"a": 1})),
    ("x.pth", saved({"arch2infos": Harmful()})[:-300]), ("x.pth", archive_leading_outside("zip")),
    ("x.pth", archive_leading_outside("gz")), ("NAS-Bench-201-v1_1-096897.pth", saved({"arch2infos": {}})),
    ("x.pickle.pbz2", PICKLES["harmful pickle 2"]), ("x.pickle.pbz2", bz2.compress(pickle.dumps([1, 2]))),
    ("x.pickle.pbz2", bz2.compress(pickle.dumps(list(range(9999))))[:2000]),
    ("x.csv", b""), ("x.csv", HEAD), ("x.csv", b"a,cifar10_test_200\n1,2\n"), ("x.csv", b"arch,b\n|none~0|,2\n"),
    ("x.csv", HEAD + b"resnet,93\n"), ("x.csv", HEAD + b"\0\0\0,1\n"), ("x.csv", HEAD.decode().encode("utf-16")),
    ("x.csv", HEAD + ROW.replace(b"9", b"high")), ("x.csv", HEAD + ROW + ROW.replace(b",9", b"")),
    ("x.csv", HEAD + ROW * 2), ("x.csv.gz", HEAD), ("x.csv.gz", b"\x1f\x8b\x08\x00\x00\x00"),
]  # fmt: skip


def test_files_that_are_not_benchmarks(tmp_path: Path, refuse: Refuse) -> None:
    for name, content in IMPORTS:
        path = tmp_path / name
        path.write_bytes(content)
        said = refuse(table.main, ["import", name, "-o", "out/table.npz"])
        assert name in said or repr(content.decode("latin1").split("\n")[1].split(",")[0]) in said
        path.unlink()


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
    "x.png is huge (20000x3000 pixels)": bomb(20_000, 3_000),
    "x.png cannot be read as an image (Image size (2147483647 pixels)": bomb(2**31 - 1, 1),
    "x.png is 9x8 pixels, the first image 8x8": image(size=(9, 8)),
    "x.png is 7x8 pixels": image("L", (7, 8)),
    "x.png cannot be read as an image (": bomb(0, 0),
    "x.png cannot be read as an image (cannot identify": PICKLES["harmful pickle 2"],
}
EIGHT = [f"{label}/{number}.png" for label in ("cat", "dog") for number in range(4)]
FOLDERS: list[tuple[str, str]] = [
    ("data holds no class folders", ""),
    ("data holds no class folders", "1.png"),
    ("data holds no class folders", ".cat/1.png .dog/1.png"),
    ("data holds only the class folder 'cat'", "cat/1.png cat/2.png"),
    ("data/dog holds no images", "cat/1.png cat/2.png dog/"),
    ("data/dog holds no images", "cat/1.png cat/2.png dog/notes.txt"),
    ("data/cat has only 1 image", "cat/1.png dog/1.png dog/2.png"),
    ("has no folder test or val", "train/cat/1.png train/dog/1.png"),
    ("data/test holds no class folders", "train/cat/1.png train/dog/1.png test/"),
    ("data/train lacks the class 'cow'", "train/cat/1.png train/dog/1.png test/cat/1.png test/cow/1.png"),
    ("data/test lacks the class 'dog'", "train/cat/1.png train/dog/1.png test/cat/1.png test/elk/1.png"),
    ("has a test folder but no train/CLASS/ folders", "test/cat/1.png test/dog/1.png other/1.png"),
    ("the train half (1 of 3 images) has no image of the class 'dog'", "cat/1.png cat/2.png dog/1.png dog/2.png"),
]


def write_images(folder: Path, members: list[str]) -> None:
    folder.mkdir()
    for member in members:
        path = folder / member
        (path if member.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not member.endswith("/"):
            path.write_bytes(image())


@pytest.mark.parametrize("complaint", IMAGES)
def test_files_that_are_not_images(tmp_path: Path, complaint: str, refuse: Refuse) -> None:
    write_images(tmp_path / "data", EIGHT)
    (tmp_path / "data" / "dog" / "x.png").write_bytes(IMAGES[complaint])
    assert complaint in refuse(search, "--dataset", "folder", "--data", "data")


@pytest.mark.parametrize(("complaint", "members"), FOLDERS)
def test_folders_that_are_not_data_sets(tmp_path: Path, complaint: str, members: str, refuse: Refuse) -> None:
    write_images(tmp_path / "data", members.split())
    assert complaint in refuse(search, "--dataset", "folder", "--data", "data")


@pytest.mark.parametrize("folder", ["nowhere", "~unknown-user/images", "file"])
def test_what_is_not_a_folder(tmp_path: Path, folder: str, refuse: Refuse) -> None:
    (tmp_path / "file").touch()
    assert f"{folder} is not a folder" in refuse(search, "--dataset", "folder", "--data", folder)


DATA: list[tuple[str, str, bytes]] = [
    ("cifar10", "cifar-10-python.tar.gz", archive_leading_outside("gz")),
    ("cifar10", "cifar-10-python.tar.gz", archive_leading_outside("xz")),
    ("cifar100", "cifar-100-python.tar.gz", archive_leading_outside("bz2")),
    ("svhn", "train_32x32.mat", PICKLES["harmful pickle 2"]),
    ("svhn", "train_32x32.mat", b""),
]


@pytest.mark.parametrize(("dataset", "file", "content"), DATA)
def test_files_that_are_not_data_sets(
    tmp_path: Path, dataset: str, file: str, content: bytes, refuse: Refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no network here: an archive whose checksum is wrong would be fetched again."""
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: (_ for _ in ()).throw(OSError("no network")))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / file).write_bytes(content)
    refuse(search, "--dataset", dataset, "--data_root", "data")
    assert not Path("/tmp/harmed-by-tar").exists()
