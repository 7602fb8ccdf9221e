"""A run is known by its folder: what is done is not made again, what was begun goes on, what differs is refused."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

from darts_pt.run.errors import UserError
from darts_pt.space import SPACES
from runs.costs import cost_of
from runs.make import Runner
from runs.run import Run, search, selection, training


def options(space: str, kind: Any, root: Path, **values: Any) -> Any:
    made: Any = SPACES[space].commands[kind].options
    return made(**{"experiments": root, "dataset": "digits", "gpu": "cpu", "fast": True, **values})


def chain(root: Path, space: str = "nasbench201", **searching: Any) -> tuple[Run, Run, Run]:
    """A search of one epoch, a selection from it, a training of what it selects."""
    searched = search(SPACES[space], options(space, "search", root, **{"epochs": 1, **searching}))
    selected = selection(searched, options(space, "selection", root, proj_intv=1, resume_expid=""))
    return searched, selected, training(selected, options(space, "training", root, epochs=1, arch=""))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Experiments that hold the three."""
    root = tmp_path_factory.mktemp("experiments")
    runner = Runner()
    for run in chain(root):
        assert runner.get(run) is run
    assert len(runner.used) == 3
    return root


def test_each_run_is_where_its_command_writes(made: Path) -> None:
    folders = [run.folder for run in chain(made)]
    searched = made / "nasbench201" / "search-darts-201-1-digits-fast"
    assert folders[:2] == [searched, searched / "log_resume-1-pt-acc-seed-1-intv-1-fast"]
    assert folders[2] is not None
    assert folders[2].parent == made / "nasbench201" / "eval"
    assert all(run.is_done and run.is_begun for run in chain(made))


def test_its_cost_is_counted(made: Path) -> None:
    folders = [run.folder for run in chain(made) if run.folder]
    assert all((cost_of(folder).processor_seconds or 0) > 0 for folder in folders)


def test_what_is_not_there_is_listed_in_its_order(tmp_path: Path) -> None:
    for space in ("nasbench201", "s2"):
        lines: list[str] = []
        runner = Runner(planned=lines)
        for run in chain(tmp_path / "none", space):
            assert runner.get(run) is run
            assert runner.get(run) is run, "and only once"
        modules = ["nasbench201.train_search", "nasbench201.projection", "nasbench201.train"]
        modules = modules if space == "nasbench201" else ["sota.train_search", "sota.projection", "sota.train"]
        assert [line.split()[2] for line in lines] == modules
        assert "/log_resume-1-pt-acc-" in lines[2]
    assert Runner(may_run=False).get(chain(tmp_path / "none")[0]) is None
    assert not list(tmp_path.iterdir())


def test_an_interrupted_run_goes_on(made: Path) -> None:
    for run, name in zip(chain(made), ("resume_epoch", "dev_resume_epoch", "resume_epoch"), strict=True):
        assert dataclasses.asdict(run.next_options)[name] == -1
        assert f"--{name} -1" in " ".join(run.command(run.next_options))


def test_a_folder_without_a_checkpoint_is_begun_again(tmp_path: Path) -> None:
    run = chain(tmp_path)[0]
    assert run.folder is not None
    run.folder.mkdir(parents=True)
    assert run.next_options.overwrite


def test_runs_with_other_options_are_not_in_the_way(made: Path) -> None:
    longer = [run.folder for run in chain(made, epochs=2)]
    assert longer[0] == made / "nasbench201" / "search-darts-201-1-digits-fast-epochs-2"
    assert longer[1] is not None
    assert longer[1].parent == longer[0]
    searched = chain(made)[0]
    other = selection(searched, options("nasbench201", "selection", made, proj_intv=1, resume_expid="", batch_size=8))
    assert other.folder == searched.folder / "log_resume-1-pt-acc-seed-1-intv-1-fast-batch_size-8"


def test_a_trial_and_what_it_tries_have_names_of_their_own(made: Path) -> None:
    names = {}
    for fast in (True, False):
        searched = search(SPACES["nasbench201"], options("nasbench201", "search", made, epochs=1, fast=fast))
        selected = selection(searched, options("nasbench201", "selection", made, resume_expid="", fast=False))
        names[fast] = [run.folder.name for run in (searched, selected) if run.folder]
    assert names[True] == [f"{name}-fast" for name in names[False]], "a selection from a trial is one too"


def test_a_run_with_a_tag_and_other_options_is_refused(made: Path) -> None:
    taken = made / "nasbench201" / "search-darts-201-1-digits-fast-mine"
    shutil.copytree(taken.with_name("search-darts-201-1-digits-fast"), taken)
    for runner in (Runner(), Runner(may_run=False), Runner(planned=[])):
        with pytest.raises(UserError, match=r"fast-mine was run with --.*, where this takes .*: move it"):
            runner.get(chain(made, init_channels=4, expid_tag="mine")[0])


@pytest.mark.parametrize(("dataset", "script", "size"), [("cifar10", "eval", 36), ("svhn", "eval-svhn", 16)])
def test_a_training_has_the_size_and_name_of_its_data_set(dataset: Any, script: str, size: int, tmp_path: Path) -> None:
    _, selected, _ = chain(tmp_path, "s2")
    given = dataclasses.replace(options("s2", "training", tmp_path, arch=""), dataset=dataset)
    run = training(selected, given)
    assert run.folder is not None
    assert run.folder.name.startswith(f"{script}-search-darts-sota-s2-2-fast+log_resume-1-pt")
    assert run.resolved.init_channels == size


def test_by_hand_the_script_says_the_size() -> None:
    """`python -m sota.train --dataset cifar100` trains the large network, eval-c100.sh the small one."""
    made: Any = SPACES["s5"].commands["training"].options
    sizes = {
        script: SPACES["s5"].preset(made(arch="x", dataset="cifar100", script=script))["init_channels"]
        for script in ("eval", "eval-c100")
    }
    assert sizes == {"eval": 36, "eval-c100": 16}
