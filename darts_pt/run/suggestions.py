"""Wording that error messages share: what was perhaps meant, and what there is."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping


def did_you_mean(word: str, known: Collection[str], shown: Mapping[str, str] | None = None) -> str:
    """Half a sentence for an error message: ', did you mean …?', or nothing where nothing is close.

    Args:
        shown: how what is known is written in the message, if otherwise.
    """
    close = [(shown or {}).get(one, one) for one in difflib.get_close_matches(word, list(known), n=3, cutoff=0.6)]
    return f", did you mean {' or '.join(close)}?" if close else ""


def listed(words: Collection[str], most: int = 12) -> str:
    """The words as an enumeration for an error message, cut after `most`."""
    shown = ", ".join(list(words)[:most])
    return f"{shown} … ({len(words)} in all)" if len(words) > most else shown
