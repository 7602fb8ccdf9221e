"""Records of every form that docs/faithfulness.md describes are repeated, whoever made them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.parity import __main__ as parity
from benchmarks.parity.comparing import TOLERANCE, relative_error
from benchmarks.parity.randomness import given_noise, noise_modules
from benchmarks.textbook_record import RecordOptions, main, network_record, supernet_record
from benchmarks.textbook_recorder import Kept, SupernetRecorder
from darts_pt.commands.command_line import run_command
from darts_pt.supernet import Decisions, initial_alpha
from sota.genotypes import genotype, to_plain
from sota.spaces import cell_types
from sota.supernet import SotaSupernet
from tests.helpers.oracle import mixing_weights
from tests.helpers.parity import code_for, lines, nudged


@pytest.mark.parametrize(
    ("space", "method", "classes"),
    [("nasbench201", "sdarts-adv", 7), ("nasbench201", "blank", 3), ("s1", "sdarts-rs", 10)],
)
def test_records_of_other_spaces_sizes_and_methods_are_handled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], space: str, method: Any, classes: int
) -> None:
    """Everything that the format has, by the textbook formulation."""
    record = supernet_record(space, method, every=14, classes=classes)
    del record["config"]  # The weights tell all that is needed.
    assert code_for(record, tmp_path / "record.pt") == 0
    assert "not compared" not in capsys.readouterr().out
    record["bilevel_steps"][1]["alpha_after"] = nudged(record["bilevel_steps"][1]["alpha_after"])
    assert code_for(record, tmp_path / "record.pt") == 1


@pytest.fixture(scope="module")
def searched(records: Path) -> dict[str, Any]:
    """A record of S2 with the steps of a search alone."""
    held = parity.read(records / "sota_s2_sdarts.pt")
    return {key: held[key] for key in ("config", "batches", "state_dict", "alpha", "bilevel_steps")}


def test_a_record_may_hold_a_part(searched: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_for(searched, tmp_path / "steps.pt") == 0
    assert all("bilevel_steps" in line for line in lines(capsys))
    nothing = {key: value for key, value in searched.items() if key != "bilevel_steps"}
    assert code_for(nothing, tmp_path / "nothing.pt") == 2
    assert "holds no results to compare" in capsys.readouterr().err


def test_a_genotype_is_compared_as_text_and_as_fields(searched: dict[str, Any], tmp_path: Path) -> None:
    """Without any decision it is that of alpha."""
    record = {key: value for key, value in searched.items() if key != "bilevel_steps"}
    right = genotype({name: rows.softmax(-1) for name, rows in record["alpha"].items()}, cell_types("s2"))
    wrong = right._replace(normal=right.reduce, reduce=right.normal)
    for recorded in (str, to_plain, list):
        assert code_for({**record, "genotype": recorded(right)}, tmp_path / "genotype.pt") == 0
        assert code_for({**record, "genotype": recorded(wrong)}, tmp_path / "genotype.pt") == 1


def test_later_rounds_see_the_dropped_edge_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So the edges that remain score as in the first round."""
    recorder = SupernetRecorder("s3")
    decided: Kept = {"normal": dict.fromkeys(range(14), 2), "reduce": dict.fromkeys(range(14), 1)}
    scored = {edge: recorder.score(decided, recorder.cell_types[1], (edge, slice(None))) for edge in (5, 6, 7, 8)}
    kept = {edge: scored[edge] for edge in (5, 7, 8)}
    scores = {"valid_batches": [3, 4, 5], "decided": decided, "first_round": {"reduce": {1: scored}}}
    scores["second_round"] = {"reduce": {1: kept}}
    record = recorder.record | {"edge_scores": scores}
    assert code_for(record, tmp_path / "rounds.pt") == 0
    assert "reduce edge scores, node 1, second round: loss" in capsys.readouterr().out
    kept[7] = scored[8]
    assert code_for(record, tmp_path / "rounds.pt") == 1


def test_noise_is_given_by_place_or_in_the_order_of_drawing() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        supernet = SotaSupernet("s4", 2, 3).double()
        images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    alpha = initial_alpha(supernet.cell_types, torch.Generator().manual_seed(5), dtype=torch.float64)
    whole = mixing_weights(supernet.cell_types, alpha, Decisions())
    less = whole.without_operation("normal", 3, 0)
    channels = (2, 4, 8)
    maps = [torch.randn(2, channels[cell], 8 // 2**cell, 8 // 2**cell).double() for cell, *_ in noise_modules(supernet)]

    def passes(noise: Any) -> list[torch.Tensor]:
        with given_noise(supernet, noise), torch.no_grad():
            return [supernet(images, mixing) for mixing in (whole, less, whole)]

    expected = passes([maps[:14], maps[14:28], maps[28:]])
    torch.testing.assert_close(passes([*maps, *maps[:3], *maps[4:], *maps]), expected, rtol=0, atol=0)
    assert not torch.equal(passes([*reversed(maps[:14]), *maps[14:]])[0], expected[0])
    with pytest.raises(ValueError, match="too few"):
        passes([*maps, *maps[:3]])
    with pytest.raises(ValueError, match="noise is"):
        passes(maps[::-1])


def test_drop_path_masks_may_leave_out_the_identities(records: Path, tmp_path: Path) -> None:
    record = parity.read(records / "textbook_drop_path.pt")
    flat = record["drop_path_masks"]
    kept = iter(flat)
    genes = network_record("darts_pt_s5_0", auxiliary=False)  # The same network, to say which genes are identities.
    assert torch.equal(genes["drop_path_masks"], flat)
    for masks in (list(flat), flat[..., None, None, None], flat / 0.7, [[next(kept) for _ in range(len(flat))]]):
        assert code_for(record | {"drop_path_masks": masks}, tmp_path / "masks.pt") == 0
    assert code_for(record | {"drop_path_masks": 1 - flat}, tmp_path / "masks.pt") == 1


@pytest.mark.parametrize(
    ("name", "key", "complaint"),
    [
        ("textbook_drop_path", "drop_path_masks", "drop-path needs both"),
        ("textbook_s4", "noise", "the operation noise, but it gives no noise"),
    ],
)
def test_random_numbers_that_a_record_does_not_give_are_told(
    records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, key: str, complaint: str
) -> None:
    record = parity.read(records / f"{name}.pt")
    del record[key]
    assert code_for(record, tmp_path / "random.pt") == 2
    told = capsys.readouterr().err
    assert complaint in told
    assert told.count("\n") == 1


def test_the_network_for_imagenet_is_told_by_its_stems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With auxiliary head, label smoothing and drop-path."""
    record = network_record("darts_pt_s5_0", imagenet=True, classes=12)
    assert code_for(record, tmp_path / "imagenet.pt") == 0
    assert len(lines(capsys)) == 5


def test_records_are_made_again_by_their_command(records: Path, tmp_path: Path) -> None:
    made = tmp_path / "made.pt"
    run_command(RecordOptions, main, ["darts_pt_s5_0", "--small", "-o", str(made)])
    theirs, ours = parity.read(records / "textbook_drop_path.pt"), parity.read(made)
    assert ours.keys() == theirs.keys()
    assert relative_error(ours["train_logits"], theirs["train_logits"]) < TOLERANCE
