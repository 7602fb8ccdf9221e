"""`python -m runs` finds the space that the arguments mean; eval.sh and blank-proj-201.sh rely on it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from darts_pt.space import SPACES
from runs.__main__ import main, space_of, usual_training, value_of

TEXT = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"


@pytest.fixture
def experiments(tmp_path: Path) -> Path:
    for folder in ("nasbench201/mine", "sota/svhn/theirs"):
        (tmp_path / folder).mkdir(parents=True)
        config = {"options": {"dataset": folder.split("/")[1] if "sota" in folder else "digits", "data": None}}
        (tmp_path / folder / "config.json").write_text(json.dumps(config))
    return tmp_path


@pytest.mark.parametrize(
    ("default", "arguments", "family"),
    [
        ("s5", ["--arch", "darts_pt_s5_0"], "sota"),
        ("s5", ["--arch", TEXT], "nasbench201"),
        ("s5", [f"--arch={TEXT}"], "nasbench201"),
        ("s5", ["--arch", "mine"], "nasbench201"),
        ("s5", ["--arch", "theirs"], "sota"),
        ("s5", ["--arch", "x" * 5000], "sota"),
        ("s5", [], "sota"),
        ("nasbench201", ["--resume_expid", "search-blank-201-1"], "nasbench201"),
        ("nasbench201", ["--resume-expid", "search-blank-sota-s3-2"], "sota"),
        ("nasbench201", ["--resume_expid", "theirs"], "sota"),
        ("nasbench201", ["--space=s3", "--resume-expid=x"], "sota"),
        ("nasbench201", ["--search_space", "s3", "--resume_expid", "x"], "sota"),
    ],
)
def test_the_space_is_that_of_what_is_named(default: str, arguments: list[str], family: str, experiments: Path) -> None:
    found = space_of(SPACES[default], [*arguments, "--experiments", str(experiments)])
    assert found.family == family


def test_a_training_is_on_the_data_of_the_experiment(experiments: Path) -> None:
    where = ["--experiments", str(experiments)]
    assert usual_training(SPACES["nasbench201"], ["--arch", "mine", *where]) == ["--dataset", "digits"]
    words = ["--cutout", "--auxiliary", "--dataset", "svhn"]
    assert usual_training(SPACES["s5"], ["--arch", "theirs", *where]) == words
    assert usual_training(SPACES["s5"], ["--arch", "theirs", "--dataset", "cifar10", *where]) == words[:2]
    assert usual_training(SPACES["s5"], ["--arch", "darts_pt_s5_0", *where]) == words[:2]


def test_the_last_of_several_values_counts() -> None:
    assert value_of("arch", ["--arch", "a", "--arch=b", "--data-root", "c"]) == "b"
    assert value_of("data_root", ["--arch", "a", "--data-root", "c"]) == "c"
    assert value_of("arch", ["--arch"]) == ""


@pytest.mark.parametrize("arguments", [[], ["train", "s5"], ["training", "s9"]])
def test_what_is_no_command_is_told_what_is(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("usage: python -m runs {search,selection,training} {nasbench201,s1,s2,")
