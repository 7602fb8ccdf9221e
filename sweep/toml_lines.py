"""On which line of a TOML file a key or a value stands, so that a message can name it; tomllib does not tell."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

_KEY = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_PATH = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_PATH})\s*\]\]?")
_ASSIGNMENT = re.compile(rf"\s*({_PATH})\s*=")
_STRING = re.compile(r'"""(?:\\.|[^\\])*?"""' + r"|'''.*?'''" + r'|"(?:\\.|[^"\\\n])*"' + r"|'[^'\n]*'", re.DOTALL)
_BARE = re.compile(r"[A-Za-z0-9_.+-]+")
_COMMENT = re.compile(r"#[^\n]*")

Path = tuple[str | int, ...]
"""Where something is: keys, and the numbers of the tables of an array of tables."""


class Lines:
    """The lines of a file that tomllib has accepted.

    Keys inside inline tables are not told apart; what is asked for there is answered by the line of the table.
    """

    def __init__(self, text: str) -> None:
        self._keys: dict[Path, int] = {}
        self._values: dict[Path, list[tuple[str, int]]] = {}
        self._last = text.count("\n") + 1
        counts: dict[Path, int] = {}
        table: Path = ()
        position = 0
        while position < len(text):
            header, assignment = _HEADER.match(text, position), _ASSIGNMENT.match(text, position)
            if header:
                table = _split(header.group(2))
                if header.group(1) == "[[":
                    counts[table] = counts.get(table, -1) + 1
                    table = (*table, counts[table])
                self._keys[table] = _line(text, header.start(1))
                position = header.end()
            elif assignment:
                path = (*table, *_split(assignment.group(1)))
                self._keys[path] = _line(text, assignment.start(1))
                literals = list(_literals(text, assignment.end()))
                position = literals[-1][1] if literals else assignment.end()
                self._values[path] = [(token, _line(text, start)) for token, _, start in literals if token]
            else:
                comment = _COMMENT.match(text, position)
                position = comment.end() if comment else position + 1

    def of(self, path: Sequence[str | int], value: Any = None) -> int:
        """The line of a key; of `value` in what it holds, where that can be told. A key that is not there: its table's."""
        for length in range(len(path), 0, -1):
            key = tuple(path[:length])
            if key in self._keys:
                if length == len(path) and value is not None:
                    wanted = value if isinstance(value, str) else str(value)
                    found = [line for token, line in self._values.get(key, []) if token == wanted]
                    if found:
                        return found[0]
                return self._keys[key]
        return 1

    def repeated(self, path: Sequence[str | int], value: Any) -> int:
        """The line on which `value` stands for the second time in what a key holds."""
        found = [line for token, line in self._values.get(tuple(path), []) if token == str(value)]
        return found[1] if len(found) > 1 else self.of(path)

    def __contains__(self, path: Sequence[str | int]) -> bool:
        return tuple(path) in self._keys


def _literals(text: str, position: int) -> Iterator[tuple[str, int, int]]:
    """The strings and bare words of a value: (content, end, start); a last one without content says where it ends."""
    depth = 0
    while position < len(text) and not (text[position] == "\n" and depth == 0):
        string, comment, bare = (pattern.match(text, position) for pattern in (_STRING, _COMMENT, _BARE))
        if string:
            yield string.group().strip("\"'"), string.end(), position
            position = string.end()
        elif comment:
            position = comment.end()
        elif bare:
            yield bare.group(), bare.end(), position
            position = bare.end()
        else:
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(text[position], 0)
            position += 1
    yield "", position, position


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _split(path: str) -> tuple[str, ...]:
    return tuple(key.strip("\"'") for key in re.findall(_KEY, path))
