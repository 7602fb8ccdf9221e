"""The values of --arch: published names, files, experiments."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from darts_pt.run.errors import UserError
from sota.choice import find
from sota.genotypes import Genotype, published, to_plain

BY_ALPHA, FIRST, SECOND = (published(name) for name in ("darts_pt_s2_1", "darts_pt_s2_2", "blank_pt_s2_1"))
SEARCH = "search-darts-sota-s2-2"
SELECTION = "log_resume-50-pt-acc-seed-2"


def write(path: Path, genotype: Genotype) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(to_plain(genotype)))
    return path


@pytest.fixture
def experiments(tmp_path: Path) -> Path:
    """A search on CIFAR-10 with its own genotype and one selection."""
    write(tmp_path / "cifar10" / SEARCH / "genotype.json", BY_ALPHA)
    write(tmp_path / "cifar10" / SEARCH / SELECTION / "genotype.json", FIRST)
    return tmp_path


def test_a_published_name(experiments: Path) -> None:
    choice = find("darts_pt_s5_0", experiments, "cifar10")
    assert (choice.genotype, choice.name) == (published("darts_pt_s5_0"), "darts_pt_s5_0")


def test_a_search_stands_for_its_selection(experiments: Path) -> None:
    choice = find(SEARCH, experiments, "cifar10")
    assert (choice.genotype, choice.name) == (FIRST, SEARCH)
    assert choice.source.endswith(f"{SELECTION}/genotype.json")


def test_a_search_without_selections_stands_for_itself(experiments: Path) -> None:
    (experiments / "cifar10" / SEARCH / SELECTION / "genotype.json").unlink()
    assert find(SEARCH, experiments, "cifar10").genotype == BY_ALPHA


def test_of_several_selections_one_must_be_named(experiments: Path) -> None:
    write(experiments / "cifar10" / SEARCH / "log_resume-50-pt-loss-seed-2" / "genotype.json", SECOND)
    with pytest.raises(UserError, match=f"2 selections; name one of {SEARCH}/{SELECTION}, "):
        find(SEARCH, experiments, "cifar10")
    choice = find(f"{SEARCH}/log_resume-50-pt-loss-seed-2", experiments, "cifar10")
    assert (choice.genotype, choice.name) == (SECOND, f"{SEARCH}+log_resume-50-pt-loss-seed-2")


def test_an_experiment_on_other_data_is_found_too_but_later(experiments: Path) -> None:
    assert find(SEARCH, experiments, "svhn").genotype == FIRST
    write(experiments / "svhn" / SEARCH / "genotype.json", SECOND)
    assert find(SEARCH, experiments, "svhn").genotype == SECOND


def test_a_path_to_a_folder_or_a_file(experiments: Path) -> None:
    folder = experiments / "cifar10" / SEARCH
    assert find(str(folder), experiments / "elsewhere", "cifar10").name == SEARCH
    assert find(str(folder / "genotype.json"), experiments, "cifar10") == (
        BY_ALPHA,
        SEARCH,
        str(folder / "genotype.json"),
    )
    own = write(experiments / "my cell!.json", SECOND)
    assert find(str(own), experiments, "cifar10")[:2] == (SECOND, "my_cell_")


@pytest.mark.parametrize("arch", ["dartspt_s5_0", "nowhere/genotype.json", "", "search-darts-sota-s2-1"])
def test_anything_else_is_refused_in_one_line(experiments: Path, arch: str) -> None:
    with pytest.raises(UserError, match="there is no such published genotype") as error:
        find(arch, experiments, "cifar10")
    assert len(str(error.value).splitlines()) == 1
    if arch.startswith("darts"):
        assert "did you mean darts_pt_s5_0" in str(error.value)
    if arch.startswith("search"):
        assert f"did you mean {SEARCH}" in str(error.value)


def test_an_experiment_without_a_genotype_is_refused(experiments: Path) -> None:
    (experiments / "cifar10" / "search-darts-sota-s5-2").mkdir()
    with pytest.raises(UserError, match=r"has no genotype\.json"):
        find("search-darts-sota-s5-2", experiments, "cifar10")


def test_architectures_of_nasbench201_are_told_where_to_go(tmp_path: Path) -> None:
    experiments, path = tmp_path / "sota", tmp_path / "nasbench201" / "search-darts-201-1" / "genotype.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"space": "nasbench201", "genotype": "|none~0|+…"}))
    with pytest.raises(UserError, match=r"arch: .*: train '\|none~0\|.* with eval.sh"):
        find("search-darts-201-1", experiments, "cifar10")
    with pytest.raises(UserError, match=r"arch: .*: train '\|none~0\|.* with eval.sh"):
        find(str(path), experiments, "cifar10")
    with pytest.raises(UserError, match=r"train it with eval\.sh"):
        find("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", experiments, "cifar10")
