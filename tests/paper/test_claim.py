"""The page on the paper's claim: out of records alone, of runs that have ended alone, and the same at every making."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from darts_pt.space import SPACES
from paper import claim, records
from runs.reading import read_run
from runs.recorded import Record, Recorded
from tests.helpers.nasbench201 import search, select
from tests.helpers.written_runs import ENDS, NASBENCH201

ALL_SKIP = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|"
GOOD = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"


def searched(root: Path, seed: int, method: str = "darts", epochs: int = 4, ended: bool = True) -> Recorded:
    """A search whose magnitude is GOOD after the first epoch and ALL_SKIP after the others."""
    edges = {f"{n}:{a}<-{b}": dict.fromkeys(NASBENCH201, 0.2) for n, (a, b) in enumerate(ENDS["nasbench201"])}
    epochs_done = tuple(
        Record("epoch", epoch, {
            "valid_accuracy": 10.0 * epoch, "genotype": GOOD if epoch == 1 else ALL_SKIP, "mixing_weights": {"cell": edges},
        })
        for epoch in range(1, epochs + 1)
    )  # fmt: skip
    options = {"seed": seed, "method": method, "epochs": 4, "size": "laptop", "image_size": 16, "init_channels": 8}
    folder = root / "nasbench201" / f"search-{method}-201-{seed}-laptop"
    return Recorded(folder, {"options": options}, epochs_done, {"genotype": ALL_SKIP} if ended else None)


def selected(source: Recorded, selection: str, epoch: int, genotype: str | None) -> Recorded:
    options = {**source.options, "selection": selection}
    folder = source.folder / f"log_resume-{epoch}-{selection}-seed-{source.seed}"
    tuned = (Record("epoch", 1, {"valid_accuracy": 40.0}), Record("epoch", 2, {"valid_accuracy": 45.0}))
    return Recorded(folder, {"options": options}, tuned, {"genotype": genotype} if genotype else None)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder of results with records of two seeds, of which one is under way, and of the pilot."""
    first, second, third = searched(tmp_path, 1), searched(tmp_path, 2), searched(tmp_path, 3, epochs=2, ended=False)
    runs = [first, second, third, searched(tmp_path, 1, "blank")]
    runs += [selected(source, "pt", 4, GOOD) for source in (first, second)]
    runs += [
        selected(first, "pt", 2, GOOD),
        selected(first, "pt-mag", 4, ALL_SKIP),
        selected(second, "pt-mag", 4, None),
    ]
    for run in runs:
        records.write(run, tmp_path / "results" / "laptop")
    records.write(searched(tmp_path, 0), tmp_path / "results" / "pilot")
    return tmp_path / "results"


def row(text: str, label: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {label} |")]
    return [cell.strip() for cell in line.strip("|").split("|")[1:]]


def test_only_what_has_ended_counts(results: Path) -> None:
    text = claim.claim(records.read(results / "laptop"), results)
    worth = {name: SPACES["nasbench201"].look_up(name, "cifar10")["cifar10 test"] for name in (ALL_SKIP, GOOD)}
    assert row(text, "DARTS, by magnitude")[:2] == ["54.30", f"{worth[ALL_SKIP]:.2f} ± 0.00"]
    assert row(text, "DARTS, by magnitude")[-1] == "1 2"
    assert row(text, "DARTS + PT")[:2] == ["88.11", f"{worth[GOOD]:.2f} ± 0.00"]
    assert row(text, "DARTS + PT-Mag")[-1] == "1"
    assert row(text, r"DARTS + PT (fix alpha)")[-1] == "not run yet"
    assert "search-darts-201-3-laptop (2 epochs)" in text
    assert "search-darts-201-2-laptop and a selection from it (2 epochs)" in text
    gain = worth[GOOD] - worth[ALL_SKIP]
    assert row(text, "DARTS + PT − DARTS, by magnitude")[0] == f"{gain:+.2f}"
    assert row(text, "DARTS + PT-Mag − DARTS, by magnitude")[:3] == ["+0.00", "one seed", "0, 0, 1"]
    assert f"cifar10, magnitude: {worth[GOOD]:.2f} at epoch 1, {worth[ALL_SKIP]:.2f} at epochs 2 to 4" in text
    assert f"cifar10, PT: {worth[GOOD]:.2f} at epochs 2 to 4" in text
    drawn = {path.name for path in results.glob("*.svg")}
    assert drawn == {"laptop-figure-3.svg", "laptop-figure-4.svg", "laptop-figure-6.svg"}


def test_without_a_run_the_page_says_so(tmp_path: Path) -> None:
    text = claim.claim([], tmp_path)
    assert "**Not run yet.**" in text
    assert row(text, "DARTS + PT") == ["88.11", "", "", "", "", "not run yet"]
    assert row(text, "the best there is")[1] == "94.37"
    assert "95 % interval" not in text
    assert not list(tmp_path.iterdir())


def test_only_the_marked_parts_are_made_again(results: Path) -> None:
    marks = "".join(
        f"<!-- {name}: python -m paper.claim -->old<!-- end of {name} -->\nkept {name}\n" for name in claim.PARTS
    )
    text = claim.made(f"# Title\n{marks}", results)
    assert text.startswith("# Title\n")
    assert all(f"kept {name}" in text for name in claim.PARTS)
    assert "old" not in text
    assert claim.made(text, results) == text
    assert "| 16 | 8 |" in text


def test_the_page_is_what_its_records_give(tmp_path: Path) -> None:
    page = claim.PAGE.read_text(encoding="utf-8")
    for part, (folder, make) in claim.PARTS.items():
        ours = page.partition(f"<!-- {part}: python -m paper.claim -->")[2].partition("<!-- end of")[0].strip()
        theirs = make(records.read(claim.PAGE.with_suffix("") / folder), tmp_path / "results").strip()
        assert ours == theirs, "run python -m paper.claim"
    for name in re.findall(r"\]\((results/[^)]+)\)", page):
        assert (claim.PAGE.parent / name).exists(), name


def test_a_record_holds_what_figures_need_and_no_place(tmp_path: Path) -> None:
    search(tmp_path, "--epochs", "2", "--fast")
    select(tmp_path, "--resume_expid", "search-darts-201-1-digits-fast", "--proj_intv", "1", "--fast")
    folder = tmp_path / "nasbench201" / "search-darts-201-1-digits-fast"
    for each in (folder, *folder.glob("log_*/")):
        run = read_run(each)
        path = records.write(run, tmp_path / "kept")
        assert str(tmp_path) not in path.read_text()
    kept: dict[str, Any] = {run.kind: run for run in records.read(tmp_path / "kept")}
    assert kept.keys() == {"search", "selection"}
    for run in kept.values():
        assert run.architecture
        assert (run.seed, run.label, run.space) == (
            1,
            *{"search": ("DARTS",), "selection": ("DARTS + PT",)}[run.kind],
            "nasbench201",
        )
    assert kept["search"].epochs[0].values["mixing_weights"]["cell"].keys() == {
        f"{n}:{a}<-{b}" for n, (a, b) in enumerate(ENDS["nasbench201"])
    }
    assert len(kept["selection"].events) == 6
    assert kept["selection"].snapshot == 2
    assert kept["search"].timing[0]["processor_seconds"] > 0
