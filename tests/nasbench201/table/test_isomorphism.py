"""Numbers of architectures, and which of them are the same cell."""

from __future__ import annotations

import numpy as np

from nasbench201.table import isomorphism


def test_every_number_names_one_architecture() -> None:
    texts = [isomorphism.architecture_at(index) for index in range(isomorphism.COUNT)]
    assert len(set(texts)) == 15625
    assert [isomorphism.number_of(text) for text in texts[::97]] == list(range(isomorphism.COUNT))[::97]


def test_there_are_6466_unique_cells() -> None:
    representatives = isomorphism.representatives()
    assert len(set(representatives.tolist())) == 6466
    assert (representatives <= np.arange(isomorphism.COUNT)).all()  # the lowest of each class
    assert (representatives[representatives] == representatives).all()


def test_classes_are_those_of_nats_bench() -> None:
    """Its own rule, on every architecture: equal texts there are equal classes here, and the reverse."""
    from nats_bench.genotype_utils import topology_str2structure

    theirs = [
        topology_str2structure(isomorphism.architecture_at(index)).to_unique_str(consider_zero=True)
        for index in range(isomorphism.COUNT)
    ]
    pairs = set(zip(theirs, isomorphism.representatives().tolist(), strict=True))
    assert len(pairs) == len(set(theirs)) == 6466


def test_a_convolution_before_or_after_a_skip_is_the_same() -> None:
    early = isomorphism.number_of("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|")
    late = isomorphism.number_of("|skip_connect~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|")
    other = isomorphism.number_of("|skip_connect~0|+|none~0|nor_conv_1x1~1|+|none~0|none~1|skip_connect~2|")
    assert late in isomorphism.isomorphic(early)
    assert other not in isomorphism.isomorphic(early)
