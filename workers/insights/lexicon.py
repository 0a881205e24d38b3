"""Word lists and patterns, read from the data files in `lexicons/`.

A pattern is a row of words: `a|b` is a choice, `a_b` words in a row, `word*` a beginning (`*ed` an ending), `(a|b)?`
may be missing, `..` stands for up to three words between and `...` for up to seven; `<name>` is a list of the file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final, Generic, TypeVar

_NEAR: Final = "(?:[^ ]+ ){0,3}"
_FAR: Final = "(?:[^ ]+ ){0,7}"

Meaning = TypeVar("Meaning")


class LexiconError(ValueError):
    """A data file under lexicons/ breaks its own rules."""


@cache
def load(name: str) -> dict[str, Any]:
    """Return the contents of `lexicons/<name>.toml`."""
    return tomllib.loads(files(__package__).joinpath("lexicons", f"{name}.toml").read_text("utf-8"))


@cache
def word_list(name: str) -> frozenset[str]:
    """Return the words of `lexicons/<name>.txt`: any number a line, `#` starts a comment."""
    text = files(__package__).joinpath("lexicons", f"{name}.txt").read_text("utf-8")
    return frozenset(word for line in text.splitlines() for word in line.partition("#")[0].split())


@dataclass(frozen=True, slots=True)
class Pattern(Generic[Meaning]):
    """A compiled pattern and what it stands for."""

    regex: re.Pattern[str]
    anchors: frozenset[str]
    """One of these words must be there for the pattern to match; empty: it has to be tried."""
    meaning: Meaning


class PatternSet(Generic[Meaning]):
    """Patterns that are tried together: only those of which an anchor word occurs."""

    def __init__(self, patterns: Iterable[Pattern[Meaning]]) -> None:
        self._by_word: dict[str, list[Pattern[Meaning]]] = {}
        self._always: list[Pattern[Meaning]] = []
        for pattern in patterns:
            if not pattern.anchors:
                self._always.append(pattern)
            for word in pattern.anchors:
                self._by_word.setdefault(word, []).append(pattern)

    def hits(self, normal: str) -> bool:
        """Tell whether any pattern matches."""
        return next(self.matches(normal), None) is not None

    def matches(self, normal: str) -> Iterator[tuple[Meaning, re.Match[str]]]:
        """Yield what each matching pattern stands for, each pattern once."""
        tried: set[int] = set()
        for word in dict.fromkeys(normal.split()):
            for pattern in self._by_word.get(word, ()):
                if id(pattern) not in tried:
                    tried.add(id(pattern))
                    if found := pattern.regex.search(normal):
                        yield pattern.meaning, found
        for pattern in self._always:
            if found := pattern.regex.search(normal):
                yield pattern.meaning, found


def compile_pattern(source: str, lists: Mapping[str, list[str]], meaning: Meaning) -> Pattern[Meaning]:
    """Compile one pattern of a data file."""
    parts: list[str] = []
    anchors: frozenset[str] = frozenset()
    elements = source.split()
    while elements and set(elements[-1]) == {"."}:
        elements.pop()  # a trailing gap asks for nothing
    if not elements:
        raise LexiconError(f"empty pattern {source!r}")
    for element in elements:
        if element == "..":
            parts.append(_NEAR)
        elif element == "...":
            parts.append(_FAR)
        elif element.startswith("(") and element.endswith(")?"):
            parts.append(f"(?:{_choice(element[1:-2], lists)[0]} )?")
        else:
            regex, words = _choice(element, lists)
            parts.append(f"{regex} ")
            if words and (not anchors or len(words) < len(anchors)):
                anchors = words
    return Pattern(re.compile(" " + "".join(parts)), anchors, meaning)


def _choice(element: str, lists: Mapping[str, list[str]]) -> tuple[str, frozenset[str]]:
    """Return a choice as a regular expression, and its first words where all of them are whole words."""
    options: list[str] = []
    for option in element.split("|"):
        if option.startswith("<") and option.endswith(">"):
            if option[1:-1] not in lists:
                raise LexiconError(f"no list named {option}")
            options.extend(lists[option[1:-1]])
        else:
            options.append(option.replace("_", " "))
    if not all(options):
        raise LexiconError(f"an empty choice in {element!r}")
    regex = "|".join(re.escape(option).replace(r"\*", "[^ ]*") for option in sorted(options, key=len, reverse=True))
    whole = not any("*" in option for option in options)
    anchors = frozenset(option.split()[0] for option in options) if whole else frozenset[str]()
    return f"(?:{regex})", anchors
