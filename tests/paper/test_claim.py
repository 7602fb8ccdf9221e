"""The page on the paper's claim: out of records alone, of runs that have ended alone, and the same at every making."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from darts_pt.run.errors import UserError
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
    options = {"seed": seed, "method": method, "dataset": "cifar10", "epochs": 50, "size": "laptop", "image_size": 16}
    options |= {"init_channels": 8}
    folder = root / "nasbench201" / f"search-{method}-201-{seed}-laptop"
    return Recorded(folder, {"options": options}, epochs_done, {"genotype": ALL_SKIP} if ended else None)


def selected(source: Recorded, selection: str, epoch: int, genotype: str | None) -> Recorded:
    options = {**source.options, "seed": 1, "selection": selection}  # The command's own seed is 1 by default.
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
    assert "DARTS, seed 3 (2 epochs of 50)" in text
    assert "DARTS + PT-Mag, from epoch 4 of search-darts-201-2-laptop (2 epochs of tuning)" in text
    assert row(text, "DARTS + PT − DARTS, by magnitude")[1:3] == ["all equal", "2, 0, 0"]
    gain = worth[GOOD] - worth[ALL_SKIP]
    assert row(text, "DARTS + PT − DARTS, by magnitude")[0] == f"{gain:+.2f}"
    assert row(text, "DARTS + PT-Mag − DARTS, by magnitude")[:3] == ["+0.00", "one seed", "0, 0, 1"]
    assert f"cifar10, magnitude: {worth[GOOD]:.2f} at epoch 1, {worth[ALL_SKIP]:.2f} at epochs 2 to 4" in text
    assert f"cifar10, PT: {worth[GOOD]:.2f} at epoch 4" in text, "the second seed has no PT from epoch 2"
    assert "one standard deviation. Seeds 1, 2." in text
    drawn = {path.name for path in results.glob("*.svg")}
    assert drawn == {"laptop-figure-3.svg", "laptop-figure-4.svg", "laptop-figure-6.svg"}


def others(root: Path) -> Iterator[Recorded]:
    """Runs that are not the study's."""
    for name, value in {"fast": True, "seed": 9, "epochs": 10, "dataset": "digits", "learning_rate": 0.1}.items():
        run = searched(root / name, 4)
        yield replace(run, config={"options": {**run.options, name: value}})
    source = searched(root, 1)
    for number, (name, value) in enumerate({"fast": True, "proj_crit": "loss", "change_method": True}.items()):
        run = selected(source, "pt", 4, ALL_SKIP)
        folder = run.folder.with_name(f"{run.folder.name}-{number}")
        yield replace(run, folder=folder, config={"options": {**run.options, name: value}})


def test_runs_that_the_preset_does_not_plan_are_left_out_and_counted(tmp_path: Path, results: Path) -> None:
    runs = records.read(results / "laptop")
    expected = claim.claim(runs, results).splitlines()
    text = claim.claim([*runs, *others(tmp_path)], results)
    assert "Left out, as trials or of other options or seeds: 8 records." in text
    assert text.splitlines()[1:] == expected[1:]


def test_two_results_of_one_thing_are_an_error(tmp_path: Path) -> None:
    source = searched(tmp_path, 2)
    one = selected(source, "pt", 4, GOOD)
    other = replace(one, folder=one.folder.with_name(f"{one.folder.name}-again"))
    with pytest.raises(UserError, match="are both pt from epoch 4 of darts, seed 2"):
        claim.claim([source, one, other], tmp_path)


def test_records_of_ones_own_get_their_own_page(
    results: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    claim.main(claim.ClaimOptions(records=results / "laptop"))
    assert row((results / "laptop" / "claim.md").read_text(), "DARTS + PT")[-1] == "1 2"
    assert (results / "laptop" / "laptop-figure-4.svg").exists()
    with pytest.raises(UserError, match="expected records"):
        claim.main(claim.ClaimOptions(records=tmp_path))
    (results / "laptop" / "other.json").write_text('{"run": 1}')
    with pytest.raises(UserError, match=r"other\.json is no record of a run"):
        claim.main(claim.ClaimOptions(records=results / "laptop"))


def test_a_page_without_its_marks_is_left_alone(results: Path) -> None:
    with pytest.raises(UserError, match="expected the marks"):
        claim.made("# Title\n<!-- claim: python -m paper.claim -->\n", results)


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
