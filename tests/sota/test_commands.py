"""The commands of S1–S5 as a user types them, in this process, on digits at a size that costs seconds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from darts_pt.architect import Architect
from darts_pt.commands.command_line import parse, run_command
from darts_pt.run import checkpoint as checkpoints
from darts_pt.supernet import Decisions, initial_alpha
from sota import visualize
from sota.genotypes import from_plain, published, read
from sota.genotypes import parse as parse_genotype
from sota.options import SotaSearchOptions, SotaSelectionOptions
from sota.space import SotaSpace
from sota.supernet import SotaSupernet, sizes_of
from tests.helpers.command_line import refused
from tests.helpers.sota import evaluate, search, select

NAME = "search-darts-sota-s4-2-fast"


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of experiments that hold one search of two epochs in S4, whose operation noise is random."""
    root = tmp_path_factory.mktemp("experiments")
    search(root, "--space", "s4", "--epochs", "2", "--ckpt_interval", "1", "--fast")
    return root


@pytest.fixture(scope="module")
def selected(searched: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a selection."""
    root = Path(shutil.copytree(searched, tmp_path_factory.mktemp("selected") / "experiments"))
    select(root, "--resume_expid", NAME, "--resume_epoch", "-1")
    return root


@pytest.fixture
def root(selected: Path, tmp_path: Path) -> Path:
    """A copy of it to write into."""
    return Path(shutil.copytree(selected, tmp_path / "experiments"))


# Search ----------------------------------------------------------------------------------------------------------


def test_a_search_leaves_what_the_readme_says(searched: Path) -> None:
    folder = searched / "sota" / "digits" / NAME
    names = {path.name for path in folder.iterdir()}
    assert {"log.txt", "metrics.jsonl", "config.json", "genotype.json", "cells.svg", "cells.png", "runs"} <= names
    assert checkpoints.epochs_in(folder) == [1, 2]
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    epochs = [line["values"] for line in lines if line["kind"] == "epoch"]
    assert len(epochs) == 2
    assert {"train_accuracy", "valid_accuracy", "test_accuracy", "genotype"} <= set(epochs[0])
    assert str(read(folder / "genotype.json")) == epochs[-1]["genotype"]


def test_one_seed_gives_identical_checkpoints_and_a_resumed_search_ends_the_same(
    searched: Path, tmp_path: Path
) -> None:
    arguments = ("--space", "s4", "--epochs", "2", "--ckpt_interval", "1", "--fast")
    search(tmp_path, *arguments)
    first, second = (root / "sota" / "digits" / NAME for root in (searched, tmp_path))
    expected = [(first / checkpoints.name(epoch)).read_bytes() for epoch in (1, 2)]
    assert [(second / checkpoints.name(epoch)).read_bytes() for epoch in (1, 2)] == expected
    (second / checkpoints.name(2)).unlink()
    search(tmp_path, *arguments, "--resume_epoch", "1")
    assert (second / checkpoints.name(2)).read_bytes() == expected[1]


def test_the_defaults_are_the_papers() -> None:
    options = parse(SotaSearchOptions, [], "")
    assert (options.space, options.seed, options.dataset) == ("s5", 2, "cifar10")
    preset = SotaSpace().preset(options)
    assert preset == {
        "epochs": 50, "batch_size": 64, "train_portion": 0.5, "init_channels": 16, "layers": 8, "ckpt_interval": 10,
    }  # fmt: skip
    assert SotaSpace("s5").search_folder(options).parts[-3:] == ("sota", "cifar10", "search-darts-sota-s5-2")


# Selection -------------------------------------------------------------------------------------------------------


def selection_folder(root: Path) -> Path:
    (folder,) = (root / "sota" / "digits" / NAME).glob("log_resume-*/")
    return folder


def test_a_selection_decides_every_edge_and_every_node_of_both_cells(selected: Path) -> None:
    folder = selection_folder(selected)
    assert folder.name == "log_resume-2-pt-acc-seed-2-intv-1-fast"
    content = json.loads((folder / "genotype.json").read_text())
    genotype = from_plain(content)
    assert content["genotype"] == str(genotype)
    for cell, genes in (("normal", genotype.normal), ("reduce", genotype.reduce)):
        operations = content["decisions"]["operations"][cell]
        assert sorted(map(int, operations)) == list(range(14))
        kept = content["decisions"]["edges"][cell]
        assert sorted(map(int, kept)) == [3, 4, 5]
        # The genotype holds the decided operations of the kept edges, nothing else.
        edges = [0, 1] + [edge for node in (3, 4, 5) for edge in kept[str(node)]]
        sources = [0, 1, 0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 3, 4]
        expected = [(("noise", "sep_conv_3x3")[operations[str(edge)]], sources[edge]) for edge in edges]
        assert list(genes) == expected
    assert (folder / "cells.svg").is_file()
    assert folder.with_suffix(".txt").is_file()


def test_all_scores_are_in_the_log_and_in_the_metrics(selected: Path) -> None:
    folder = selection_folder(selected)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    operation_events = [line["values"] for line in lines if line["kind"] == "operation_event"]
    topology_events = [line["values"] for line in lines if line["kind"] == "topology_event"]
    assert len(operation_events) == 28
    assert len(topology_events) == 6
    assert all(len(event["accuracy"]) == len(event["loss"]) == 2 for event in operation_events)
    assert sorted(len(event["rounds"]) for event in topology_events) == [1, 1, 2, 2, 3, 3]
    log = folder.with_suffix(".txt").read_text()
    assert log.count("supernet without …") == 28 + 12


def test_a_selection_ends_with_its_edges_beside_those_of_magnitude(searched: Path, selected: Path) -> None:
    content = json.loads((selection_folder(selected) / "genotype.json").read_text())
    baseline = content["baseline"]
    assert from_plain(baseline) == read(searched / "sota" / "digits" / NAME / "genotype.json")
    assert (baseline["by"], "table" in baseline) == ("magnitude", False)
    lines = selection_folder(selected).with_suffix(".txt").read_text().splitlines()
    table = [line for line in lines if " cell, " in line]
    edges = [
        {(cell, *edge) for cell, genes in SotaSpace().cells(each["genotype"]).items() for edge in genes}
        for each in (content, baseline)
    ]
    places = {edge[:3] for each in edges for edge in each}
    same = {edge[:3] for edge in edges[0] & edges[1]}
    assert len(table) == len(places)
    assert sum(line.endswith("differs") for line in table) == len(places - same)


def test_a_selection_stopped_between_two_events_and_resumed_ends_the_same(root: Path) -> None:
    folder = selection_folder(root)
    expected = {name: (folder / name).read_bytes() for name in ("genotype.json", "metrics.jsonl")}
    for epoch in checkpoints.epochs_in(folder):
        if epoch > 13:
            (folder / checkpoints.name(epoch)).unlink()
    (folder / "genotype.json").unlink()
    resume = ("--dev_resume_epoch", "13", "--dev_resume_log", folder.name)
    select(root, "--resume_expid", NAME, "--resume_epoch", "-1", *resume)
    assert {name: (folder / name).read_bytes() for name in expected} == expected


def test_magnitude_leaves_a_valid_genotype_too(searched: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(searched, tmp_path / "experiments"))
    select(root, "--resume_expid", NAME, "--resume_epoch", "-1", "--selection", "magnitude")
    assert len(read(selection_folder(root) / "genotype.json").normal) == 8


def test_each_criterion_has_its_option_and_its_default() -> None:
    def criteria(*arguments: str) -> tuple[list[str], list[str]]:
        options = parse(SotaSelectionOptions, ["--resume_expid", "x", *arguments], "")
        operations, edges = SotaSpace().criteria(options)
        return [operations["normal"], operations["reduce"]], [edges["normal"], edges["reduce"]]

    assert criteria() == (["acc", "acc"], ["acc", "acc"])
    assert criteria("--crit", "loss") == (["loss", "loss"], ["loss", "loss"])
    assert criteria("--proj_crit_reduce", "loss") == (["acc", "loss"], ["acc", "loss"])
    assert criteria("--proj_crit_edge", "loss") == (["acc", "acc"], ["loss", "loss"])


def test_selections_that_differ_have_names_that_differ() -> None:
    names = [
        parse(SotaSelectionOptions, ["--resume_expid", "x", *arguments], "").criterion_names()
        for arguments in (
            [],
            ["--crit", "loss"],
            ["--proj_crit_normal", "loss"],
            ["--proj_crit_reduce", "loss"],
            ["--proj_crit_edge", "loss"],
            ["--crit", "loss", "--proj_crit_edge", "acc"],
        )
    ]
    assert len({tuple(name) for name in names}) == len(names)


def test_a_supernet_of_another_space_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, select, root, "--resume_expid", NAME, "--space", "s3")
    assert "--space s3" in message
    assert "s4" in message
    # The original's experiments have no configuration; their weights tell.
    (root / "sota" / "digits" / NAME / "config.json").unlink()
    arguments = ("--resume_expid", NAME, "--dataset", "digits", "--resume_epoch", "-1", "--space", "s3")
    assert "holds a supernet of s4" in refused(capsys, select, root, *arguments)


def test_an_experiment_that_is_not_there_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, select, root, "--resume_expid", "search-darts-sota-s4-3", "--dataset", "digits")
    assert f"did you mean {NAME}" in message
    assert "epochs 1, 2" in refused(capsys, select, root, "--resume_expid", NAME, "--resume_epoch", "7")


# The original's checkpoints --------------------------------------------------------------------------------------


def test_a_checkpoint_of_the_original_loads_and_can_be_selected_from(golden: Path, tmp_path: Path) -> None:
    original = golden / "original_checkpoints" / "sota_s2_checkpoint_50.pth.tar"
    expected = torch.load(original.with_name("sota_s2_checkpoint_50.expected.pt"), weights_only=True)
    checkpoint = checkpoints.read(original)
    sizes = sizes_of(checkpoint["state_dict"])
    assert sizes == {"space": "s2", "init_channels": 16, "layers": 8}
    supernet = SotaSupernet(**sizes).eval()
    supernet.load_state_dict(checkpoint["state_dict"])
    alpha = initial_alpha(supernet.cell_types, torch.Generator())
    for cell, saved in zip(supernet.cell_types, checkpoint["alpha"], strict=True):
        alpha[cell.name].data.copy_(saved)
    mixing = Architect(supernet, alpha).mixing(Decisions())
    with torch.no_grad():
        logits = supernet(expected["input"], mixing)
    torch.testing.assert_close(logits, expected["eval_logits"], rtol=1e-4, atol=1e-5)
    assert supernet.genotype(mixing) == parse_genotype(expected["genotype"])

    folder = tmp_path / "sota" / "digits" / "search-darts-sota-s2-2"
    folder.mkdir(parents=True)
    shutil.copyfile(original, folder / "checkpoint_50.pth.tar")
    select(tmp_path, "--resume_expid", folder.name, "--selection", "magnitude")
    (path,) = folder.glob("log_resume-50-*/genotype.json")
    ours, theirs = read(path), parse_genotype(expected["genotype"])
    for genes, others in ((ours.normal, theirs.normal), (ours.reduce, theirs.reduce)):
        for node in range(4):
            assert set(genes[2 * node : 2 * node + 2]) == set(others[2 * node : 2 * node + 2])


# Evaluation training ---------------------------------------------------------------------------------------------


def test_a_training_writes_its_folder_and_summary_and_resumes_exactly(root: Path) -> None:
    arguments = ("--arch", NAME, "--cutout", "--auxiliary", "--epochs", "2", "--ckpt_interval", "1")
    evaluate(root, *arguments)
    folder = root / "sota" / "digits" / "eval" / f"eval-{NAME}-2-cutout-16-1.0-auxiliary-0.4"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["genotype"] == str(read(selection_folder(root) / "genotype.json"))
    assert "comes from a trial" in summary["note"]
    assert {"test_accuracy", "best_test_accuracy", "parameters", "multiply_adds", "seconds"} <= set(summary)
    last, metrics = folder / checkpoints.name(2), (folder / "metrics.jsonl").read_bytes()
    expected = torch.load(last, weights_only=True)
    last.unlink()
    evaluate(root, *arguments, "--resume_epoch", "1")
    assert (folder / "metrics.jsonl").read_bytes() == metrics
    resumed = torch.load(last, weights_only=True)
    for part in ("state_dict", "generators"):
        assert resumed[part].keys() == expected[part].keys()
        assert all(torch.equal(resumed[part][name], tensor) for name, tensor in expected[part].items()), part
    assert {"batches", "augmentation", "drop_path", "noise"} <= set(expected["generators"])


def test_training_takes_published_names_and_bf16(tmp_path: Path) -> None:
    evaluate(tmp_path, "--arch", "darts_pt_s5_0", "--epochs", "1", "--fast", "--precision", "bf16")
    assert (tmp_path / "sota" / "digits" / "eval" / "eval-darts_pt_s5_0-2-fast" / "summary.json").is_file()


def test_a_last_batch_of_one_image_is_no_trouble(tmp_path: Path) -> None:
    """1,197 digits are thirteen batches of 92 and one image."""
    evaluate(tmp_path, "--arch", "darts_pt_s1_1", "--epochs", "1", "--batch_size", "92", "--auxiliary")


def test_training_refuses_what_is_no_architecture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean darts_pt_s5_0" in refused(capsys, evaluate, tmp_path, "--arch", "darts_pt_s50")
    (tmp_path / "genotype.json").write_text(json.dumps({"normal": []}))
    assert "lacks normal_concat" in refused(capsys, evaluate, tmp_path, "--arch", str(tmp_path / "genotype.json"))
    assert not (tmp_path / "sota").exists()


# Drawings ------------------------------------------------------------------------------------------------------


def test_a_published_genotype_is_drawn(tmp_path: Path) -> None:
    run_command(visualize.VisualizeOptions, visualize.main, ["darts_pt_s1_1", "-o", str(tmp_path / "out.svg")])
    text = (tmp_path / "out.svg").read_text()
    assert text.startswith("<?xml")
    assert str(published("darts_pt_s1_1"))[:40] in text
