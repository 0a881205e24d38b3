"""A language model's answer, read with patience: fences, chatter around the JSON, a cut-off end."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any, Final

import msgspec

from workers.insights.evidence import AnswerError

MAX_CHARS: Final = 200_000
_THINKING: Final = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_MEMBER: Final = re.compile(r'"([A-Za-z_]{1,40})"\s*:\s*')


def parse(text: str, fields: Collection[str]) -> dict[str, Any]:
    """Return the JSON object in an answer that holds one of `fields`; of a broken one, the members that are whole."""
    text = _THINKING.sub(" ", text[:MAX_CHARS])
    for candidate in _objects(text):
        found = _holding(_decoded(candidate), fields)
        if found is not None:
            return found
    whole = _salvaged(text, fields)
    if not whole:
        raise AnswerError("the answer is not the JSON object that was asked for")
    return whole


def _objects(text: str) -> Iterator[str]:
    """Yield each balanced {...} of a text, outermost first."""
    start = text.find("{")
    while start >= 0:
        end = _end_of_value(text, start)
        if end is None:
            return
        yield text[start:end]
        start = text.find("{", end)


def _end_of_value(text: str, start: int) -> int | None:
    """Return where the JSON value that starts at `start` ends; None if it is cut off."""
    depth, quoted, escaped = 0, False, False
    for place in range(start, len(text)):
        char = text[place]
        if escaped:
            escaped = False
        elif quoted:
            escaped = char == "\\"
            if char == '"':
                quoted = False
                if depth == 0:
                    return place + 1
        elif char == '"':
            quoted = True
        elif char in "{[":
            depth += 1
        elif char in "}]":
            if depth == 0:
                return place
            depth -= 1
            if depth == 0:
                return place + 1
        elif char == "," and depth == 0:
            return place
    return None


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return None


def _holding(value: Any, fields: Collection[str]) -> dict[str, Any] | None:
    """Return the object with the wanted fields: the value itself, or the only thing that it wraps."""
    if not isinstance(value, dict):
        return None
    if any(name in value for name in fields):
        return value
    return _holding(next(iter(value.values())), fields) if len(value) == 1 else None


def _salvaged(text: str, fields: Collection[str]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for found in _MEMBER.finditer(text):
        name = found.group(1)
        if name not in fields or name in whole:
            continue
        end = _end_of_value(text, found.end())
        if end is not None:
            value = _decoded(text[found.end() : end])
            if value is not None:
                whole[name] = value
    return whole
