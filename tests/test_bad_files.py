"""Hostile tables, archives and data sets through the commands: one clear line, exit code 2, and not a byte changed."""

from __future__ import annotations

import bz2
import io
import pickle
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from nasbench201.table import __main__ as table_command
from nasbench201.table.file import write_table
from nasbench201.table.lookup import MEANS_TABLE
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
        assert "table.npz" in refuse(table_command.main, ["stats", "--table", str(path)])


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
        said = refuse(table_command.main, ["import", name, "-o", "out/table.npz"])
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


class Folder(NamedTuple):
    """The message about a folder with these images, and these bytes as dog/x.png, when a search is typed with `more`."""

    said: str
    images: str = ""
    odd: bytes = b""
    more: str = ""

    def write(self, path: Path) -> None:
        path.mkdir()
        for name in self.images.split():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(image())
        if self.odd:
            (path / "dog" / "x.png").write_bytes(self.odd)


def four_each(classes: str) -> str:
    return " ".join(f"{name}/{number}.png" for name in classes.split() for number in range(4))


EIGHT, OTHERS = four_each("cat dog"), "ant bee cow dodo eel fly gnu hen ibis jay"
FOLDERS = [
    Folder("x.png is huge (20000x3000 pixels)", EIGHT, bomb(20_000, 3_000)),
    Folder("x.png cannot be read as an image (Image size (2147483647 pixels)", EIGHT, bomb(2**31 - 1, 1)),
    Folder("x.png is 9x8 pixels, the first image 8x8", EIGHT, image(size=(9, 8))),
    Folder("x.png is 7x8 pixels", EIGHT, image("L", (7, 8))),
    Folder("x.png cannot be read as an image (", EIGHT, bomb(0, 0)),
    Folder("x.png cannot be read as an image (cannot identify", EIGHT, PICKLES["harmful pickle 2"]),
    Folder("data holds no class folders"),
    Folder("data holds no class folders", "1.png"),
    Folder("data holds no class folders", ".cat/1.png .dog/1.png"),
    Folder("data holds only the class folder 'cat'", "cat/1.png cat/2.png"),
    Folder("data/dog holds no images", "cat/1.png cat/2.png dog/notes.txt"),
    Folder("data/cat has only 1 image", "cat/1.png dog/1.png dog/2.png"),
    Folder("has no folder test or val", "train/cat/1.png train/dog/1.png"),
    Folder("data/test holds no class folders", "train/cat/1.png train/dog/1.png test/notes.txt"),
    Folder("data/train lacks the class 'cow'", "train/cat/1.png train/dog/1.png test/cat/1.png test/cow/1.png"),
    Folder("data/test lacks the class 'dog'", "train/cat/1.png train/dog/1.png test/cat/1.png test/elk/1.png"),
    Folder("has a test folder but no train/CLASS/ folders", "test/cat/1.png test/dog/1.png other/1.png"),
    Folder("train half (1 of 3 images) has no image of the class 'dog'", "cat/1.png cat/2.png dog/1.png dog/2.png"),
    Folder("nowhere is not a folder", more="--data nowhere"),
    Folder("~unknown-user/images is not a folder", more="--data ~unknown-user/images"),
    Folder("1.png is not a folder", "1.png", more="--data data/1.png"),
    Folder("cifra10: no benchmark table has it", EIGHT, more="--table_dataset cifra10"),
    Folder("svhn: no benchmark table has it", EIGHT, more="--table_dataset svhn"),
    Folder("cifar10 has 10 classes, these images have 2", EIGHT, more="--table_dataset cifar10"),
    Folder("are ant, bee, cow, …; expected airplane", four_each(OTHERS), more="--table_dataset cifar10"),
]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.said)
def test_folders_that_are_not_data_sets(tmp_path: Path, folder: Folder, refuse: Refuse) -> None:
    folder.write(tmp_path / "data")
    assert folder.said in refuse(search, "--dataset", "folder", "--data", "data", *folder.more.split())


@pytest.mark.parametrize("asked", [(), ("--table_dataset", "cifar10")])
def test_a_table_that_is_cut_short_is_found_before_anything_is_trained(
    tmp_path: Path, asked: tuple[str, ...], refuse: Refuse
) -> None:
    (tmp_path / "nasbench201.npz").write_bytes(MEANS_TABLE.read_bytes()[:-1000])
    Folder("", EIGHT).write(tmp_path / "data")
    said = refuse(search, "--dataset", "folder", "--data", "data", "--data_root", ".", *asked)
    assert "nasbench201.npz is not a benchmark table, is damaged" in said


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
