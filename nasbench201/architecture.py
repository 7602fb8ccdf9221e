"""Architectures of NAS-Bench-201 as text: |op~0|+|op~0|op~1|+|op~0|op~1|op~2| names the operation of every edge.

Cheap to import: nothing here needs torch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from darts_pt.run.errors import UserError, did_you_mean
from darts_pt.run.results import find_genotype, read_genotype

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""The candidates of every edge, in the order of alpha's columns (the benchmark's own order of operations)."""

SOURCES = ((0,), (0, 1), (0, 1, 2))
"""For nodes 1, 2 and 3: the nodes their edges come from. Read in order they give the six edges of a cell."""

EXAMPLE = "|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"

LONGEST = 200
"""Characters; no architecture has as many."""


def architecture_string(operations: Sequence[str]) -> str:
    """The text of six operation names in edge order 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2."""
    names = iter(operations)
    return "+".join("".join(f"|{next(names)}~{source}" for source in sources) + "|" for sources in SOURCES)


def operations_of(text: str) -> tuple[str, ...]:
    """The six operation names of an architecture string, in edge order.

    Raises:
        UserError: it is no architecture string, or names an operation that there is not.
    """
    expected = f"expected the form '{EXAMPLE}'"
    nodes = text.strip().split("+")
    if len(text) > LONGEST:
        raise UserError(f"architecture {text[:LONGEST]!r}… is too long: {expected}")
    if len(nodes) != len(SOURCES):
        raise UserError(f"architecture {text!r} has {len(nodes)} nodes: {expected}")
    operations: list[str] = []
    for number, (node, sources) in enumerate(zip(nodes, SOURCES, strict=True), start=1):
        edges = re.fullmatch(r"\|(.*)\|", node)
        parts = [part.rsplit("~", 1) for part in edges.group(1).split("|")] if edges else []
        if [part[1:] for part in parts] != [[str(source)] for source in sources]:
            wanted = "".join(f"|op~{source}" for source in sources) + "|"
            raise UserError(f"architecture {text!r}: node {number} is {node!r}, not '{wanted}': {expected}")
        for operation, _ in parts:
            if operation not in OPERATIONS:
                close = did_you_mean(operation, OPERATIONS)
                raise UserError(
                    f"architecture {text!r}: unknown operation {operation!r}{close}; expected {', '.join(OPERATIONS)}"
                )
            operations.append(operation)
    return tuple(operations)


def chosen_architecture(arch: str, experiments: Path) -> str:
    """The architecture string that `--arch` names: itself, or what a genotype file or an experiment holds.

    Args:
        experiments: the folder that holds the experiments of NAS-Bench-201.

    Raises:
        UserError: it is none of these, or the file holds no architecture of NAS-Bench-201.
    """
    if "|" in arch:
        operations_of(arch)
        return arch
    chosen = find_genotype(arch, [experiments, Path()])
    if chosen is None:
        raise UserError(
            f"--arch {arch[:LONGEST]}: no file, and no experiment in {experiments}; expected one or '{EXAMPLE}'"
        )
    architecture = read_genotype(chosen.path, "nasbench201")
    if not isinstance(architecture, str):
        raise UserError(f"--arch: {chosen.path} holds no architecture of NAS-Bench-201, such as '{EXAMPLE}'")
    operations_of(architecture)
    return architecture
