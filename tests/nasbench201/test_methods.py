"""Every search method under every selection, by the commands of NAS-Bench-201, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from darts_pt.commands.scripts import selection_script
from darts_pt.methods import METHODS
from darts_pt.run import checkpoint as checkpoints
from darts_pt.selections import SELECTIONS
from nasbench201.architecture import OPERATIONS, operations_of
from runs.reading import read_run
from tests.helpers.command_line import refused
from tests.helpers.nasbench201 import search, select

FAST = ("--fast", "--cells_per_stage", "1")


def folder_of(root: Path, method: str) -> Path:
    return root / "nasbench201" / f"search-{METHODS[method].script_name}-201-1-digits-fast"


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of experiments that hold a search by every method, of one batch, or of seven for SGAS to decide in."""
    root = tmp_path_factory.mktemp("experiments")
    for method in METHODS:
        epochs = "7" if method == "sgas" else "1"
        search(root, *FAST, "--method", method, "--epochs", epochs, "--ckpt_interval", "1", "--keep", "1")
    return root


PAIRS = {(method, selection) for method in METHODS for selection in ("magnitude", "pt")}
PAIRS |= {("darts", selection) for selection in SELECTIONS} | {("sgas", "oneshot")}


@pytest.mark.parametrize(("method", "selection"), sorted(PAIRS))
def test_a_supernet_of_any_method_goes_under_any_selection(searched: Path, method: str, selection: str) -> None:
    folder = folder_of(searched, method)
    select(searched, "--resume_expid", folder.name, "--selection", selection, "--proj_intv", "1", "--fast")
    (selected,) = folder.glob(f"log_resume-*-{selection}-*seed-1*/genotype.json")
    genotype = json.loads(selected.read_text())
    decided = genotype["decisions"]["operations"]["cell"]
    assert sorted(map(int, decided)) == list(range(6))
    assert [OPERATIONS[decided[str(edge)]] for edge in range(6)] == list(operations_of(genotype["genotype"]))
    assert selected.parent.with_suffix(".txt").is_file()


def test_sgas_with_pt_keeps_the_warmup_and_chooses_anew(searched: Path) -> None:
    folder = folder_of(searched, "sgas")
    select(searched, "--resume_expid", folder.name, "--log_tag", "again", "--crit", "loss")
    (selection,) = folder.glob("log_resume-*-again")
    first = min(checkpoints.epochs_in(selection))
    assert checkpoints.epochs_in(folder) == [first, 7], "--keep leaves what a selection starts from"
    assert f"log_resume-{first}-" in selection.name, "it goes on from the state before the first decision"
    assert not any(checkpoints.read(folder / checkpoints.name(first))["decisions"]["operations"].values())
    lines = [json.loads(line) for line in (selection / "metrics.jsonl").read_text().splitlines()]
    events = [line["values"] for line in lines if line["kind"] == "operation_event"]
    assert events
    assert all(len(event["loss"]) == 5 for event in events), "the criterion orders the edges, PT chooses operations"


def test_sdarts_goes_on_perturbing_in_selection(tmp_path: Path) -> None:
    search(tmp_path, *FAST, "--method", "sdarts-rs", "--epochs", "1", "--epsilon_alpha", "0.2")
    folder = folder_of(tmp_path, "sdarts-rs")
    select(tmp_path, "--resume_expid", folder.name, "--proj_intv", "1", "--fast")
    (selection,) = folder.glob("log_resume-1-pt-*/")
    options = json.loads((selection / "config.json").read_text())["options"]
    assert (options["method"], options["epsilon_alpha"]) == ("sdarts-rs", 0.2)
    last = checkpoints.read(selection / checkpoints.name(max(checkpoints.epochs_in(selection))))
    assert "perturbation" in last["generators"], "the noise was drawn while the supernet was tuned"


def test_undefined_combinations_are_refused_by_name(searched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sgas, darts = folder_of(searched, "sgas").name, folder_of(searched, "darts").name
    said = refused(capsys, select, searched, "--resume_expid", sgas, "--selection", "pt-mag")
    assert "--method sgas with --selection pt-mag" in said
    assert "twice" in said
    said = refused(capsys, select, searched, "--resume_expid", darts, "--method", "sgas")
    assert "darts" in said
    assert "decides edges" in said
    said = refused(capsys, select, searched, "--resume_expid", sgas, "--method", "darts")
    assert "expected --method sgas" in said
    said = refused(capsys, select, searched, "--resume_expid", darts, "--proj_crit_edge", "loss")
    assert "topology events" in said
    said = refused(capsys, search, searched, "--method", "gdas", "--epsilon_alpha", "0.2", "--expid_tag", "x")
    assert "--epsilon_alpha is for --method sdarts-adv and sdarts-rs, not for gdas" in said
    said = refused(capsys, search, searched, "--method", "dart", "--expid_tag", "x")
    assert "did you mean darts" in said
    said = refused(capsys, select, searched, "--resume_expid", darts, "--selection", "ptt")
    assert "--selection" in said
    assert "did you mean pt" in said
    said = refused(capsys, select, searched, "--resume_expid", darts, "--oneshot_epochs", "-1")
    assert "--oneshot_epochs" in said
    assert not list((searched / "nasbench201").glob("*-x")), "nothing was written"


def test_every_method_names_a_script_that_selects() -> None:
    assert selection_script("sgas", "sota") == ["sgas-proj-sota.sh"]
    assert selection_script("gdas", "sota") == ["darts-proj-sota.sh", "--method", "gdas"]
    assert selection_script("darts-2nd", "201") == ["darts-proj-201.sh", "--method", "darts-2nd"]


def test_a_selection_takes_the_method_of_the_search(searched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blank = folder_of(searched, "blank").name
    said = refused(capsys, select, searched, "--resume_expid", blank, "--method", "darts")
    assert "searched by blank; select from it with blank-proj-201.sh" in said
    assert "--change_method" in said
    gdas = folder_of(searched, "gdas").name
    assert "darts-proj-201.sh --method gdas" in refused(
        capsys, select, searched, "--resume_expid", gdas, "--method", "darts"
    )
    select(
        searched, "--resume_expid", blank, "--method", "darts", "--change_method", "--selection", "magnitude", "--fast"
    )
    (folder,) = folder_of(searched, "blank").glob("log_resume-*-magnitude-seed-1-as-darts-fast")
    assert read_run(folder).label == "fix alpha tuned by DARTS (magnitude)"
    said = refused(capsys, select, searched, "--resume_expid", blank, "--method", "blank", "--change_method")
    assert "searched by blank already" in said


def test_a_search_of_another_family_is_told(searched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, select, searched, "--resume_expid", "search-darts-sota-s2-2")
    assert "not a search of nasbench201 but of sota; select with its scripts, such as darts-proj-sota.sh" in said
