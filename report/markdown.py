"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from report.paired import Difference, holm


def table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers_from: int | None = None) -> str:
    """Header and rows as lines; the columns from `numbers_from` on are aligned to the right."""
    left = len(header) if numbers_from is None else numbers_from
    rule = ["---"] * left + ["---:"] * (len(header) - left)
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, rule, *rows))


def difference_table(title: Sequence[str], compared: Mapping[tuple[str, ...], Difference | None]) -> str:
    """Paired differences in points, with their tests corrected for the number of rows; empty if there are none.

    Args:
        title: the header of the columns that name a row.
        compared: the cells that name a row -> its difference; None is left out.
    """
    known = {names: found for names, found in compared.items() if found}
    rows = [
        [
            *names,
            f"{found.mean:+.2f}",
            found.span or "one seed",
            found.signs,
            "–" if p is None else f"{p:.3f}" if p >= 0.001 else "< 0.001",
        ]
        for (names, found), p in zip(known.items(), holm([each.p for each in known.values()]), strict=True)
    ]
    header = [*title, "points", "95 % interval", "better, worse, equal", "p (Holm)"]
    return table(header, rows, len(title)) if rows else ""
