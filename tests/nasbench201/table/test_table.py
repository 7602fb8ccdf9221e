"""Look-ups, ranks and regret, and the commands, on small tables and on all 15,625 architectures where they are at hand."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import numpy as np
import pytest

from darts_pt.run.errors import UserError
from nasbench201.architecture import operations_of
from nasbench201.table import __main__ as table
from nasbench201.table import file as table_file
from nasbench201.table import isomorphism
from nasbench201.table.file import write_table
from nasbench201.table.importing import import_file
from nasbench201.table.lookup import DIGITS_TABLE as DIGITS
from nasbench201.table.lookup import Table, find_table

SHARED_CSV = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "nasbench201_accuracy.csv.gz"
ALL_SKIP = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|"
EARLY = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|"
LATE = "|skip_connect~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|"
ZERO = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
TEST = "cifar10/200/test_accuracy/mean"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Four architectures, of which two are isomorphic; the last one's accuracy is unknown at 12 epochs."""
    path = tmp_path / "small.parquet"
    columns = {
        TEST: np.array([50.0, 91.0, 93.0, 10.0]),
        "cifar10/12/test_accuracy/mean": np.array([40.0, 81.0, 83.0, np.nan]),
        "cifar10/200/test_accuracy/0": np.array([49.0, 90.0, 92.0, 10.0]),
        "cifar10/200/test_accuracy/1": np.array([51.0, 92.0, 94.0, 10.0]),
    }
    write_table(path, [ALL_SKIP, EARLY, LATE, ZERO], columns, {"source": "a test"})
    return path


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that the command says when it refuses."""
    with pytest.raises(SystemExit) as end:
        table.main([str(argument) for argument in arguments])
    assert end.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_what_only_the_published_files_know_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert "python -m nasbench201.table import FILE" in refused(
        capsys, "top", "--dataset", "cifar10", "--table", DIGITS
    )
    assert refused(capsys, "query").startswith("error: ARCH is missing: it is required")


def test_ranks_count_isomorphic_architectures_once(small: Path) -> None:
    opened = Table(small)
    best, early, skip = (opened.standing(text, "cifar10") for text in (LATE, EARLY, ALL_SKIP))
    assert (best.rank, best.rank_unique, best.regret, best.percentile) == (1, 1, 0.0, 100.0)
    assert (early.rank, early.rank_unique, early.regret) == (2, 1, 2.0)
    assert (skip.rank, skip.rank_unique, skip.total, skip.total_unique, skip.regret) == (3, 2, 4, 3, 43.0)
    assert opened.standing(ZERO, "cifar10").percentile == 0.0


def test_other_budgets_and_seeds(small: Path) -> None:
    opened = Table(small)
    assert opened.budgets("cifar10") == (12, 200)
    assert opened.standing(EARLY, "cifar10", epochs=12).accuracy == 81.0
    assert opened.look_up(EARLY) == {"cifar10": {"test": 91.0}}
    assert opened.accuracies(ZERO, "cifar10", 12) == {}
    assert opened.seeds("cifar10") == ["0", "1"]
    assert opened.noise("cifar10", "test_accuracy") == pytest.approx(np.sqrt(1.5))  # variances 2, 2, 2, 0


def test_a_table_of_one_row_per_class_answers_for_every_architecture(tmp_path: Path) -> None:
    path = tmp_path / "classes.parquet"
    representative = isomorphism.architecture_at(isomorphism.isomorphic(0)[0])
    first_of_early = isomorphism.architecture_at(
        int(isomorphism.representatives()[isomorphism.code(operations_of(EARLY))])
    )
    write_table(path, [representative, first_of_early], {TEST: np.array([10.0, 90.0])}, {"rows": "isomorphism classes"})
    opened = Table(path)
    assert opened.look_up(LATE) == opened.look_up(EARLY) == {"cifar10": {"test": 90.0}}
    standing = opened.standing(LATE, "cifar10")
    assert (standing.rank, standing.total_unique) == (1, 2)
    assert opened.look_up(ALL_SKIP) == {}


def test_find_table_prefers_the_imported_table_and_knows_none_where_there_is_none(small: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    assert find_table(root, "cifar10") is None
    (root / "nasbench201.parquet").write_bytes(small.read_bytes())
    found = find_table(root, "cifar10")
    assert found is not None
    assert found.look_up(EARLY)["cifar10"]["test"] == 91.0


def test_query_says_accuracy_rank_and_regret(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table.main(["query", EARLY, "--table", str(small)])
    said = capsys.readouterr().out
    assert "test 91.00 %" in said
    assert "rank 2 of 4, among unique ones 1 of 3" in said
    assert "regret 2.00 points" in said
    table.main(["query", "--table", str(small), "--dataset", "CIFAR10", "--epochs", "12", LATE])
    assert "test 83.00 %" in capsys.readouterr().out


def test_top_and_stats(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table.main(["top", "--dataset", "cifar10", "-n", "2", "--table", str(small)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["93.00", "91.00"]
    table.main(["top", "--dataset", "cifar10", "-n", "2", "--unique", "--table", str(small)])
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["93.00", "50.00"]
    table.main(["stats", "--table", str(small)])
    said = capsys.readouterr().out
    assert "cifar10, 200 epochs, test: 4 architectures, 10.00 to 93.00 %" in said
    assert "cifar10, 12 epochs, test: 3 architectures" in said


def test_bad_questions_are_refused_in_one_line(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = ("--table", small)
    assert "unknown operation" in refused(capsys, "query", EARLY.replace("skip_connect~1", "skip~1"), *here)
    assert "cifar10" in refused(capsys, "query", EARLY, "--dataset", "cifar100", *here)
    assert "expected 12, 200" in refused(capsys, "query", EARLY, "--epochs", "90", *here)
    assert "expected 12, 200" in refused(capsys, "query", EARLY, "--dataset", "cifar10", "--epochs", "90", *here)
    assert "lacks the architecture" in refused(capsys, "query", isomorphism.architecture_at(9000), *here)
    assert "no such table" in refused(capsys, "query", EARLY, "--table", tmp_path / "none.parquet")
    assert "unknown command" in refused(capsys, "querry", EARLY)
    assert "above 0" in refused(capsys, "top", "-n", "0", *here)


@pytest.mark.hostile
@pytest.mark.parametrize("damage", ["truncated", "flipped", "foreign", "parquet"])
def test_damaged_and_foreign_tables_are_refused(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    path = tmp_path / "damaged.parquet"
    content = bytearray(small.read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    elif damage == "flipped":  # in the pages, which carry checksums; the rest is the file's own description
        content[40] ^= 0x10
        content[len(content) // 8] ^= 0x10
    elif damage == "foreign":
        content = bytearray(b"arch,accuracy\n")
    path.write_bytes(content)
    if damage == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_arrays([table_file._strings([EARLY])], names=["architecture"]), path)
    assert "no benchmark table, or a damaged one" in refused(capsys, "query", EARLY, "--table", path)


def test_a_flipped_bit_anywhere_in_a_table_is_found(small: Path, tmp_path: Path) -> None:
    """In pages that are never read, in the footer, in the checksum itself: there is no place where one goes unnoticed."""
    content, path = small.read_bytes(), tmp_path / "flipped.parquet"
    for byte in range(len(content)):
        flipped = bytearray(content)
        flipped[byte] ^= 1 << byte % 8
        path.write_bytes(flipped)
        with pytest.raises(UserError) as error:
            Table(path)
        assert "\n" not in str(error.value)


def test_tables_without_a_checksum_over_all_are_still_read(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_file, "FORMAT_VERSION", table_file.UNSEALED_VERSION)
    write_table(small, [ALL_SKIP], {TEST: np.array([50.0])}, {})
    monkeypatch.undo()
    assert Table(small).standing(ALL_SKIP, "cifar10").rank == 1


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """All 15,625 architectures, imported; and the seconds that took."""
    if not SHARED_CSV.is_file():
        pytest.skip(f"the benchmark's accuracies are not at hand: {SHARED_CSV} is not a file")
    path = tmp_path_factory.mktemp("table") / "nasbench201.parquet"
    start = time.process_time()
    import_file(SHARED_CSV, path)
    return path, time.process_time() - start


def test_known_points_of_the_benchmark(published: tuple[Path, float]) -> None:
    opened = Table(published[0])
    skip = opened.standing(ALL_SKIP, "cifar10")
    assert round(skip.accuracy, 2) == 54.30
    assert round(skip.accuracy + skip.regret, 2) == 94.37
    assert (skip.total, skip.total_unique) == (15625, 6466)


def test_every_accuracy_of_the_csv_comes_back(published: tuple[Path, float]) -> None:
    opened = Table(published[0])
    with gzip.open(SHARED_CSV, "rt") as file:
        header = file.readline().strip().split(",")
        rows = [line.strip().split(",") for line in file]
    numbers = [isomorphism.code(operations_of(row[1])) for row in rows]
    for column, dataset, split, epochs in (
        ("cifar10_test_200", "cifar10", "test", 200),
        ("imagenet16_120_valid_12", "imagenet16-120", "valid", 12),
    ):
        expected = np.array([float(row[header.index(column)]) for row in rows])
        assert (opened.values(dataset, f"{split}_accuracy", epochs)[numbers] == expected).all()


def test_import_and_look_up_are_quick(published: tuple[Path, float]) -> None:
    """Targets of the table: 2 s for the import, 1 ms for a look-up; processor time, since others may be busy here."""
    path, import_seconds = published
    assert import_seconds < 2.0
    opened = Table(path)
    opened.look_up(ALL_SKIP)
    opened.standing(ALL_SKIP, "cifar10")
    texts = [isomorphism.architecture_at(number) for number in range(0, isomorphism.COUNT, 157)]
    start = time.process_time()
    for text in texts:
        opened.look_up(text)
        opened.standing(text, "cifar10")
    assert (time.process_time() - start) / len(texts) < 1e-3
