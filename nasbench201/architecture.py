"""Architectures of NAS-Bench-201 as text: |op~0|+|op~0|op~1|+|op~0|op~1|op~2| names the operation of every edge.

Cheap to import: there is no torch in it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from darts_pt.run.errors import ArgumentError, UserError, did_you_mean
from darts_pt.run.results import find_genotype, read_genotype

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""The candidates of every edge, in the order of alpha's columns (the benchmark's own order of operations)."""

SOURCES = ((0,), (0, 1), (0, 1, 2))
"""Sources of the edges into nodes 1, 2 and 3; in this order they are the six edges of a cell."""

EXAMPLE = "|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"

LONGEST = 200
"""Longest text that an error message repeats, in characters; every architecture is shorter."""

_FORM = re.compile(r"\+".join("".join(rf"\|([^|~+]*)~{source}" for source in sources) + r"\|" for sources in SOURCES))


def architecture_string(operations: Sequence[str]) -> str:
    """The architecture string of six operation names in edge order 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2."""
    names = iter(operations)
    return "+".join("".join(f"|{next(names)}~{source}" for source in sources) + "|" for sources in SOURCES)


def operations_of(text: str) -> tuple[str, ...]:
    """The six operation names of an architecture string, in edge order.

    Raises:
        UserError: it is not an architecture string, or names an unknown operation.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        shown = repr(text) if len(text) <= LONGEST else f"{text[:LONGEST]!r}…"
        raise UserError(f"architecture {shown}: expected the form '{EXAMPLE}'")
    for operation in found.groups():
        if operation not in OPERATIONS:
            close = did_you_mean(operation, OPERATIONS)
            raise UserError(
                f"architecture {text!r}: unknown operation {operation!r}{close}; expected {', '.join(OPERATIONS)}"
            )
    return found.groups()


def find_architecture(arch: str, experiments: Path) -> str:
    """The architecture string that `arch` names: the string itself, a genotype file, or an experiment.

    Args:
        experiments: the folder that holds the experiments of NAS-Bench-201.

    Raises:
        UserError: there is no such architecture, or the file holds one of another space.
    """
    if "|" in arch:
        operations_of(arch)
        return arch
    file = find_genotype(arch, [experiments, Path()])
    if file is None:
        raise ArgumentError(
            "arch",
            f"{arch[:LONGEST]}: there is no such file or experiment in {experiments}; expected one or '{EXAMPLE}'",
        )
    architecture = read_genotype(file.path, "nasbench201")
    if not isinstance(architecture, str):
        raise ArgumentError("arch", f"{file.path} holds no architecture of NAS-Bench-201, such as '{EXAMPLE}'")
    operations_of(architecture)
    return architecture
