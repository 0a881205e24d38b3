"""Tells a recogniser's words from its inventions. Pure functions over text and tokens."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import Final

MAX_COMPRESSION: Final = 2.4
"""A text that zlib shrinks further than this says the same thing over and over (Whisper's own limit)."""

MAX_WORDS_PER_S: Final = 7.0
"""Fast English is about 5 words a second; a second of grace is added for short answers."""

LEAST_CONFIDENCE: Final = 0.4
"""Of 213 finals of real telephone speech, 65 of them shorter than 1.5 s, none had less with either Moonshine; half of
what the small one makes of a vocoder's buzz has."""

SUNG: Final = "♪♫♬"
"""Subtitles put these around songs. Nobody sings to an agent; music and far-away voices make a recogniser do it."""

TWICE_TOLD: Final = 3
"""A text that is mostly one phrase of two words or more so many times has to be sure of itself ..."""
ALWAYS_TOLD: Final = 4
"""... and is refused with so many: 'thank you' over and over is what laughter becomes."""
SURE: Final = 0.7
BABBLED: Final = 6
"""A text that is one word so many times must not be ..."""
UNSURE: Final = 0.5
"""... less sure than this: laughter becomes 'ta ta ta' of Whisper. 'No no no no' is said."""

_HESITATIONS: Final = frozenset({"uh", "um", "er", "erm", "mm", "mmm", "hm", "hmm"})
"""Sounds of somebody who says nothing yet, and what humming is taken for. 'Mm-hmm' and 'uh-huh' are answers."""
_STUTTER: Final = re.compile(r"\b(\w{1,3})(?:-\1){4}", re.IGNORECASE)
_DIGITS: Final = frozenset("oh zero one two three four five six seven eight nine double".split())
_PHANTOM: Final = re.compile(r"you|thank(s| you) for watching[.!]?", re.IGNORECASE)
_AFTER_LATIN: Final = "\u0250"
_SHORTEST_FOR_COMPRESSION: Final = 60
_LONGEST_CYCLE: Final = 12


def compression_ratio(text: str) -> float:
    """Return the length of `text` over its compressed length, in bytes."""
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw)) if raw else 0.0


def loop_length(tokens: Sequence[int], *, repeats: int = 4) -> int:
    """Return the length of the cycle that `tokens` end in, or 0.

    A cycle of n tokens counts once it has come round `repeats` times, and a single token three times as often:
    people do say 'no no no no'.
    """
    for length in range(1, _LONGEST_CYCLE + 1):
        span = length * (repeats * 3 if length == 1 else repeats)
        tail = tokens[-span:]
        if span > len(tokens) or (length > 1 and len(set(tail)) == 1):
            continue
        if all(tail[index] == tail[index - length] for index in range(length, span)):
            return length
    return 0


def phrase_repeats(text: str) -> int:
    """Return how many times in a row a text says one phrase of two words or more, where that is most of it; else 1.

    'No no no no' is one word, and people do say that; nor do numbers and spelled letters count.
    """
    words = re.findall(r"[\w']+", text.lower())
    most = 1
    for length in range(2, min(_LONGEST_CYCLE, len(words) // 2) + 1):
        run = 0
        for index in range(length, len(words)):
            run = run + 1 if words[index] == words[index - length] else 0
            phrase = set(words[index - length + 1 : index + 1])
            if 2 * (run + length) >= len(words) and len(phrase) > 1 and not all(map(_is_spelled, phrase)):
                most = max(most, 1 + run // length)
    return most


def hesitation(text: str) -> bool:
    """Return True where a text is nothing but one sound that is no word, once or over and over."""
    words = set(re.findall(r"[\w'-]+", text.lower()))
    return len(words) == 1 and words <= _HESITATIONS


def babbled(text: str) -> bool:
    """Return True where a text is one word over and over, neither a number nor a letter."""
    words = re.findall(r"[\w']+", text.lower())
    return len(words) >= BABBLED and len(set(words)) == 1 and not _is_spelled(words[0])


def _is_spelled(word: str) -> bool:
    return len(word) == 1 or word.isdigit() or word in _DIGITS


def plausible(text: str, duration_s: float, confidence: float = 1.0) -> bool:
    """Return False for a text that nobody could have said in that time, for a loop, a sound or a phantom.

    Phantoms are what recognisers trained on film subtitles write where nobody speaks. A real 'you' on its own
    comes with a mark behind it. `confidence` is the recogniser's, 0..1.
    """
    if confidence < LEAST_CONFIDENCE:
        return False
    if not any(letter.isalnum() for letter in text) or _PHANTOM.fullmatch(text) or not set(text).isdisjoint(SUNG):
        return False
    if hesitation(text) or _STUTTER.search(text) or (confidence < UNSURE and babbled(text)):
        return False
    if phrase_repeats(text) >= (ALWAYS_TOLD if confidence >= SURE else TWICE_TOLD):
        return False
    if len(text.split()) > MAX_WORDS_PER_S * (duration_s + 1):
        return False
    return len(text) < _SHORTEST_FOR_COMPRESSION or compression_ratio(text) <= MAX_COMPRESSION


def latin(text: str) -> bool:
    """Return True where every letter is a Latin one: what a recogniser of English has to keep to."""
    return all(letter < _AFTER_LATIN for letter in text if letter.isalpha())


def tidy(text: str) -> str:
    """Mend the recogniser's punctuation: a mark said twice, a space before a mark."""
    text = re.sub(r"([,;:!?])[,;:]+", r"\1", text)
    text = re.sub(r"(?<!\.)\.\.(?!\.)", ".", text)
    return re.sub(r"\s+([,.;:!?])", r"\1", text).strip()
