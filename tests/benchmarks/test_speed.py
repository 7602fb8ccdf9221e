"""The speed benchmark: what it compares is the same work, and what it writes can be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import textbook
from benchmarks.measuring import peak_bytes
from benchmarks.speed import Contest, SpeedOptions, main, measure, size_of
from darts_pt.architect import bilevel_step
from darts_pt.kernels.mixed import frozen_statistics
from darts_pt.run.errors import UserError
from darts_pt.supernet import Decisions

QUICK = SpeedOptions(repeats=1, event_batches=1)


def test_rows_are_written_with_the_bilevel_step_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "speed.json"
    main(SpeedOptions(repeats=1, event_batches=1, json=file))
    rows, table = json.loads(file.read_text()), capsys.readouterr().out
    assert rows[0]["name"] == "bilevel step"
    for row in rows:
        assert row["ratio"] == pytest.approx(row["textbook"] / row["ours"])
        assert row["ours"] > 0
        assert row["name"] in table


def test_both_sides_take_the_same_step() -> None:
    contest = Contest(QUICK)
    generator = torch.Generator().manual_seed(0)
    train, valid = (
        (torch.randn(8, 3, 8, 8, generator=generator, dtype=torch.float64), torch.arange(8)) for _ in range(2)
    )
    supernet, network = contest.training.supernet.double(), contest.network.double()
    for rows in [*contest.training.architect.alpha.values(), *contest.alpha.values()]:
        rows.data = rows.data.double()
    ours = bilevel_step(
        contest.training.architect, contest.training.weight_optimizer, train, valid, Decisions(), grad_clip=5.0
    )
    theirs = textbook.bilevel_step(
        network, contest.alpha, contest.alpha_optimizer, contest.weight_optimizer, train, valid, grad_clip=5.0
    )
    torch.testing.assert_close(ours.loss, theirs, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(contest.training.architect.alpha["cell"], contest.alpha["cell"], rtol=1e-9, atol=1e-12)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(
            supernet.state_dict()[name], value, rtol=1e-8, atol=1e-9, msg=lambda m, n=name: n + m
        )


def test_peak_memory_is_that_of_the_largest_moment() -> None:
    def allocate() -> None:
        first = torch.ones(1000, dtype=torch.float64)
        del first
        second = torch.ones(3000, dtype=torch.float64)
        del second

    assert 24_000 <= peak_bytes(allocate, torch.device("cpu")) < 32_000


def test_our_step_takes_no_more_memory_than_the_textbooks() -> None:
    contest = Contest(QUICK)
    assert peak_bytes(contest.our_step, contest.device) <= peak_bytes(contest.textbook_step, contest.device)


@pytest.mark.parametrize("space", ["nasbench201", "s2", "s5"])
def test_scoring_a_removal_takes_no_more_memory_than_the_textbook(space: Any) -> None:
    contest = Contest(SpeedOptions(space=space))
    supernet, (cell_type, edge) = contest.training.supernet, contest.event
    mixing = contest.training.architect.mixing(Decisions()).without_operation(cell_type.name, edge, 0)
    images, _ = next(contest.training.valid_batches())
    with torch.no_grad(), frozen_statistics(supernet):
        supernet(images, mixing)  # What is planned for this pattern of operations is kept.
        ours = peak_bytes(lambda: supernet(images, mixing), contest.device)
    with torch.no_grad():
        theirs = peak_bytes(lambda: contest.network(images, mixing.values), contest.device)
    assert 0 < ours <= theirs


def test_the_digits_size_is_the_preset() -> None:
    for space, expected in (("nasbench201", (8, 1, 32)), ("s5", (4, 3, 64))):
        size = size_of(SpeedOptions(space=space))  # type: ignore[arg-type]
        assert (size.init_channels, size.depth, size.batch_size) == expected


def test_a_folder_that_is_not_there_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder"):
        main(SpeedOptions(json=tmp_path / "absent" / "speed.json"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_is_refused_where_there_is_none() -> None:
    with pytest.raises(UserError, match="cuda"):
        measure(SpeedOptions(device="cuda"))
