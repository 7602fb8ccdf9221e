"""Look-ups, ranks and regret, and the commands, on small tables and on the one that comes with the code."""

from __future__ import annotations

import csv
import gzip
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darts_pt.run.errors import UserError
from nasbench201.table import Table, find_table
from nasbench201.table import __main__ as table
from nasbench201.table.file import write_table
from nasbench201.table.importing import import_file
from nasbench201.table.isomorphism import COUNT, architecture_at, isomorphic, number_of, representatives
from nasbench201.table.lookup import DIGITS_TABLE, MEANS_TABLE
from tests.helpers.command_line import refused

SHARED_CSV = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "nasbench201_accuracy.csv.gz"
ALL_SKIP = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|"
EARLY = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|"
LATE = "|skip_connect~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|"
ZERO = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
TEST = "cifar10/200/test_accuracy/mean"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Four architectures, of which two are isomorphic; the last one's accuracy is unknown at 12 epochs."""
    path = tmp_path / "small.npz"
    columns = {
        TEST: np.array([50.0, 91.0, 93.0, 10.0]),
        "cifar10/12/test_accuracy/mean": np.array([40.0, 81.0, 83.0, np.nan]),
        "cifar10/200/test_accuracy/0": np.array([49.0, 90.0, 92.0, 10.0]),
        "cifar10/200/test_accuracy/1": np.array([51.0, 92.0, 94.0, 10.0]),
    }
    write_table(path, numbers(ALL_SKIP, EARLY, LATE, ZERO), columns, {"source": "a test"})
    return path


def numbers(*architectures: str) -> np.ndarray:
    return np.array([number_of(architecture) for architecture in architectures])


def test_ranks_count_isomorphic_architectures_once(small: Path) -> None:
    opened = Table(small)
    best, early, skip = (opened.ranking(text, "cifar10") for text in (LATE, EARLY, ALL_SKIP))
    assert (best.rank, best.rank_unique, best.regret, best.percentile) == (1, 1, 0.0, 100.0)
    assert (early.rank, early.rank_unique, early.regret) == (2, 1, 2.0)
    assert (skip.rank, skip.rank_unique, skip.total, skip.total_unique, skip.regret) == (3, 2, 4, 3, 43.0)
    assert opened.ranking(ZERO, "cifar10").percentile == 0.0


def test_other_budgets_and_seeds(small: Path) -> None:
    opened = Table(small)
    assert opened.budgets("cifar10") == (12, 200)
    assert opened.ranking(EARLY, "cifar10", epochs=12).accuracy == 81.0
    assert opened.look_up(EARLY) == {"cifar10": {"test": 91.0}}
    assert opened.accuracies(ZERO, "cifar10", 12) == {}
    assert opened.seeds("cifar10") == ["0", "1"]
    assert opened.noise("cifar10", "test_accuracy") == pytest.approx(np.sqrt(1.5))  # variances 2, 2, 2, 0


def test_a_table_of_one_row_per_class_answers_for_every_architecture(tmp_path: Path) -> None:
    path = tmp_path / "classes.npz"
    rows = np.array([isomorphic(0)[0], representatives()[number_of(EARLY)]])
    write_table(path, rows, {TEST: np.array([10.0, 90.0])}, {"rows": "isomorphism classes"})
    opened = Table(path)
    assert opened.look_up(LATE) == opened.look_up(EARLY) == {"cifar10": {"test": 90.0}}
    ranking = opened.ranking(LATE, "cifar10")
    assert (ranking.rank, ranking.total_unique) == (1, 2)
    assert opened.look_up(ALL_SKIP) == {}


def test_an_imported_table_comes_before_the_one_of_the_code(small: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    (root / "nasbench201.npz").write_bytes(small.read_bytes())
    found = find_table(root, "cifar10")
    assert found is not None
    assert found.look_up(EARLY)["cifar10"]["test"] == 91.0
    other = find_table(root, "cifar100")  # not in the imported table
    assert other is not None
    assert other.path == MEANS_TABLE
    assert find_table(root, "svhn") is None


def test_a_table_of_an_earlier_version_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "nasbench201.parquet").write_bytes(b"PAR1")
    found = find_table(tmp_path, "cifar10")
    assert found is not None
    assert found.path == MEANS_TABLE
    assert "nasbench201.parquet was made by an earlier version" in caplog.text


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
    def answer(*arguments: str, path: Path = small) -> str:
        return refused(capsys, table.main, [*arguments, "--table", str(path)])

    assert "unknown operation" in answer("query", EARLY.replace("skip_connect~1", "skip~1"))
    assert "no data set 'cifar100'" in answer("query", EARLY, "--dataset", "cifar100")
    assert "expected 12, 200" in answer("query", EARLY, "--epochs", "90")
    assert "expected 12, 200" in answer("query", EARLY, "--dataset", "cifar10", "--epochs", "90")
    assert "lacks the architecture" in answer("query", architecture_at(9000))
    assert "no such table" in answer("query", EARLY, path=tmp_path / "none.npz")
    assert "unknown command" in answer("querry", EARLY)
    assert "above 0" in answer("top", "-n", "0")
    assert "import FILE" in answer("top", "--dataset", "cifar10", path=DIGITS_TABLE)
    assert refused(capsys, table.main, ["query"]).startswith("error: ARCH is missing: it is required")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "table.npz"
    write_table(path, numbers(ALL_SKIP, EARLY), {TEST: np.array([50.0, 91.0])}, {})
    assert Table(path).ranking(EARLY, "cifar10").rank == 1
    return path.read_bytes()


@pytest.mark.hostile
@given(data=st.data())
def test_a_flipped_bit_or_a_cut_anywhere_in_a_table_is_found(
    whole: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Also in zip's own lists, and in the checksum itself."""
    place = data.draw(st.integers(0, len(whole) - 1))
    flipped = whole[:place] + bytes([whole[place] ^ 1 << data.draw(st.integers(0, 7))]) + whole[place + 1 :]
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    path.write_bytes(data.draw(st.sampled_from([flipped, whole[:place]])))
    with pytest.raises(UserError, match="not a benchmark table, is damaged"):
        Table(path)


# The table of the code -------------------------------------------------------------------------------------------


def test_known_points_of_the_benchmark(tmp_path: Path) -> None:
    """From a clone with nothing in data/: accuracies that the paper (all skips) and the benchmark (the best) print."""
    opened = find_table(tmp_path)
    assert opened is not None
    skip = opened.ranking(ALL_SKIP, "cifar10")
    assert round(skip.accuracy, 2) == 54.30
    assert (skip.total, skip.total_unique) == (15625, 6466)
    best = {dataset: float(opened.values(dataset, "test_accuracy").max().round(2)) for dataset in opened.datasets}
    assert best == {"cifar10": 94.37, "cifar100": 73.51, "imagenet16-120": 47.31}


def test_it_is_small_and_says_what_it_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    assert MEANS_TABLE.stat().st_size < 2**19
    opened = Table(MEANS_TABLE)
    for dataset in opened.datasets:
        assert opened.budgets(dataset) == (12, 200)
        for name in ("200/test", "12/test", "12/valid"):
            epochs, split = name.split("/")
            assert not np.isnan(opened.values(dataset, f"{split}_accuracy", int(epochs))).any()
        assert np.isnan(opened.values(dataset, "valid_accuracy", 200)).all()
    table.main(["stats"])
    assert "import a published file" in capsys.readouterr().out
    said = refused(capsys, table.main, ["top", "--dataset", "cifar10-valid"])
    assert "no data set 'cifar10-valid'" in said
    assert "import FILE" in said


COLUMNS = {
    f"{dataset}_{split}_{epochs}": (dataset.replace("_", "-"), split, epochs)
    for dataset in ("cifar10", "cifar100", "imagenet16_120")
    for split, epochs in (("test", 200), ("test", 12), ("valid", 12))
}


@pytest.mark.skipif(not SHARED_CSV.is_file(), reason="the CSV that the table was made from is not at hand")
def test_every_accuracy_is_that_of_the_csv() -> None:
    opened = Table(MEANS_TABLE)
    with gzip.open(SHARED_CSV, "rt") as file:
        rows = list(csv.DictReader(file))
    places = numbers(*(row["arch"] for row in rows))
    for column, (dataset, split, epochs) in COLUMNS.items():
        expected = np.array([float(row[column]) for row in rows])
        assert (opened.values(dataset, f"{split}_accuracy", epochs)[places] == expected).all()


def test_import_and_look_up_are_quick(tmp_path: Path) -> None:
    """Targets of the table: 2 s for the import, 1 ms for a look-up; processor time, since others may be busy here."""
    known = Table(MEANS_TABLE)
    values = {
        name: known.values(dataset, f"{split}_accuracy", epochs) for name, (dataset, split, epochs) in COLUMNS.items()
    }
    with (tmp_path / "all.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["arch", *values])
        writer.writerows(zip(map(architecture_at, range(COUNT)), *values.values(), strict=True))
    start = time.process_time()
    import_file(tmp_path / "all.csv", tmp_path / "table.npz")
    assert time.process_time() - start < 2.0
    opened = Table(tmp_path / "table.npz")
    for name, (dataset, split, epochs) in COLUMNS.items():
        assert (opened.values(dataset, f"{split}_accuracy", epochs) == values[name]).all()
    opened.look_up(ALL_SKIP)
    opened.ranking(ALL_SKIP, "cifar10")
    texts = [architecture_at(number) for number in range(0, COUNT, 157)]
    start = time.process_time()
    for text in texts:
        opened.look_up(text)
        opened.ranking(text, "cifar10")
    assert (time.process_time() - start) / len(texts) < 1e-3
