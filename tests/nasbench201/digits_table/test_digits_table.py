"""NAS-Bench-201-Digits, as it is in the repository."""

from __future__ import annotations

import numpy as np
import pytest

from nasbench201.build_table import BuildOptions, main
from nasbench201.digits_table.protocol import PROTOCOL
from nasbench201.table import Table, find_table, isomorphism
from nasbench201.table.lookup import DIGITS_TABLE


@pytest.fixture(scope="module")
def table() -> Table:
    return Table(DIGITS_TABLE)


def test_it_is_small_complete_and_says_how_it_was_made(table: Table) -> None:
    assert DIGITS_TABLE.stat().st_size < 2**19
    assert table.seeds("digits") == ["0", "1", "2"]
    for seed in table.seeds("digits"):
        for quantity in ("test_accuracy", "valid_accuracy", "test_loss", "seconds"):
            assert not np.isnan(table.values("digits", quantity, seed=seed)).any()
    assert table.facts["protocol"] == PROTOCOL
    assert {"versions", "machine", "date"} <= set(table.facts)


def test_architectures_differ_by_more_than_their_seeds(table: Table) -> None:
    mean = table.values("digits", "test_accuracy")[np.unique(isomorphism.representatives())]
    noise = table.noise("digits", "test_accuracy")
    assert noise is not None
    assert noise / 3**0.5 < 0.5 * mean.std()


def test_a_cell_of_none_guesses(table: Table) -> None:
    found = find_table(DIGITS_TABLE.parent, "digits")
    assert found is not None
    ranking = found.ranking(isomorphism.architecture_at(0), "digits")
    assert ranking.accuracy < 12.0
    assert ranking.rank > 15000


def test_entries_come_out_again_by_evaluation_training(capsys: pytest.CaptureFixture[str]) -> None:
    main(BuildOptions(verify=2))
    assert capsys.readouterr().out.splitlines()[-1].startswith("2 entries: equal 2,")
