"""Errors for users, the checks that raise them, and shared wording of their messages."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping


class UserError(Exception):
    """An error that the user can fix; the message says in one line what was wrong, what was expected and what to do.

    Commands print it and exit with code 2 (:func:`darts_pt.commands.command_line.run_command`).
    """


class ArgumentError(UserError, ValueError):
    """An argument is out of range or contradicts another. Commands show the option of that name.

    Attributes:
        name: of the argument.
        problem: what was expected and what was found.
    """

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(name, problem)
        self.name = name
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.name}: {self.problem}"


class Stopped(Exception):
    """The system or the user asked the run to stop, and it has saved itself; commands exit with 128 + the signal."""

    def __init__(self, signal_number: int, message: str) -> None:
        super().__init__(message)
        self.signal_number = signal_number


def first_line(error: Exception) -> str:
    """The first line of an error of torch or of a user's code, for a message of one line; its class if it has no text."""
    return str(error).strip().partition("\n")[0][:300] or type(error).__name__


def positive(name: str, value: float | None) -> None:
    """Raises ArgumentError unless the argument `name` is above 0 and finite; None is an argument left open."""
    if value is not None and not (value > 0 and math.isfinite(value)):
        raise ArgumentError(name, f"expected a number above 0, got {value}")


def in_range(name: str, value: float | None, low: float, high: float) -> None:
    """Raises ArgumentError unless low <= value <= high; None is an argument left open."""
    if value is not None and not low <= value <= high:
        raise ArgumentError(name, f"expected a number from {low} to {high}, got {value}")


def one_of(name: str, value: str, expected: Collection[str]) -> None:
    """Raises ArgumentError, with what is close to it, unless `value` is in `expected`."""
    if value not in expected:
        raise ArgumentError(name, f"unknown {value!r}{did_you_mean(value, expected)}; expected {listed(expected)}")


def did_you_mean(word: str, known: Collection[str], shown: Mapping[str, str] | None = None) -> str:
    """', did you mean …?' for an error message, or nothing if no known word is close.

    Args:
        shown: known word -> how the message writes it, if different.
    """
    close = [(shown or {}).get(one, one) for one in difflib.get_close_matches(word, list(known), n=3, cutoff=0.6)]
    return f", did you mean {' or '.join(close)}?" if close else ""


def listed(words: Collection[str], most: int = 12) -> str:
    """The words separated by commas, at most `most` of them."""
    shown = ", ".join(list(words)[:most])
    return f"{shown} … ({len(words)} in all)" if len(words) > most else shown
