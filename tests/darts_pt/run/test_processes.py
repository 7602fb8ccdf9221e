"""Two processes do what one does: trained networks to rounding, selections to the last bit."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch

from tests.helpers.equality import equal
from tests.helpers.two_ranks import alone, by_two


class Outcomes(NamedTuple):
    """Scenario -> what came out, in one process and on each of two."""

    one: dict[str, Any]
    first: dict[str, Any]
    second: dict[str, Any]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    return Outcomes(alone(tmp_path_factory.mktemp("one")), *by_two(tmp_path_factory.mktemp("two")))


def close(found: Any, expected: Any) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("scenario", ["evaluation", "accumulated", "unused"])
def test_two_processes_train_as_one_with_the_whole_batch(outcomes: Outcomes, scenario: str) -> None:
    """Float64, batch norm and its running statistics included, with drop-path, noise, augmentation and a last batch that
    cannot be shared evenly."""
    one, first, second = (of[scenario] for of in outcomes)
    # Losses on the test set are added up in float32, whatever the network computes in.
    assert first["summary"].pop("test_loss") == pytest.approx(one["summary"].pop("test_loss"), rel=1e-6)
    close(first["summary"], one["summary"])
    close(first["weights"], one["weights"])
    for kind in ("weights", "generators"):
        for name, tensor in first[kind].items():
            assert torch.equal(tensor, second[kind][name]), name
    for name, tensor in one["generators"].items():
        assert torch.equal(tensor, first["generators"][name]), name


def test_a_signal_to_one_stops_all_at_one_step_and_they_go_on_from_there(outcomes: Outcomes) -> None:
    one, first, second = (of["stopped"] for of in outcomes)
    assert one[0] == first[0] == second[0] == [1, 2, 1]
    for name, tensor in outcomes.first["evaluation"]["weights"].items():
        assert torch.equal(tensor, first[1]["weights"][name]), name


def test_synchronised_batch_norm_is_batch_norm_over_all_images(outcomes: Outcomes) -> None:
    (output, by_input, by_weights, state, evaluated), first, second = (of["batch_norm"] for of in outcomes)
    close(first, [output, by_input, by_weights, state, evaluated])
    assert len(second[0]) == 0
    close(second[2:], [by_weights, state, evaluated])


@pytest.mark.parametrize("scenario", ["selection", "other_selections", "noise", "complaints"])
def test_two_processes_select_as_one(outcomes: Outcomes, scenario: str) -> None:
    """To the bit: decisions, scores, metrics, weights and random streams."""
    one, first, second = (of[scenario] for of in outcomes)
    assert equal(first, one)
    if scenario == "selection":
        assert len(one["metrics"]) > 1000
        assert second.pop("metrics") is None, "the second leaves no file"
        del one["metrics"]
    assert equal(second, one)
