"""How late the words of known utterances came. Pure: what was shown when goes in, seconds come out.

A text is compared with the reference word by word. An utterance counts as final when the last of its words that was
recognised at all, among its last three, stands in a final; as shown when that word stands anywhere. What none of the
three is in was missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.bench.dialogues import Utterance
from tests.bench.score import Score, align, normalise

LAST_WORDS: Final = 3
CONTEXT: Final = 60
"""Words that are looked back upon to find out what a partial shows."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A final, or all that a screen showed, at a moment; seconds from the track's first sample."""

    at_s: float
    text: str


@dataclass(slots=True)
class Transcript:
    """What came of one track, in order."""

    finals: list[Piece] = field(default_factory=list)
    shown: list[Piece] = field(default_factory=list)
    """The whole text so far at each change, finals and what is not final yet."""


@dataclass(frozen=True, slots=True)
class Lateness:
    """What became of the utterances of one or more tracks."""

    score: Score
    utterances: int
    missed: int
    final_s: tuple[float, ...]
    """From the end of an utterance to its final."""
    partial_s: tuple[float, ...]
    """From the end of an utterance to its last word on the screen."""

    def __add__(self, other: Lateness) -> Lateness:
        return Lateness(
            self.score + other.score,
            self.utterances + other.utterances,
            self.missed + other.missed,
            self.final_s + other.final_s,
            self.partial_s + other.partial_s,
        )


NOTHING: Final = Lateness(Score(), 0, 0, (), ())


def lateness(utterances: Sequence[Utterance], heard: Transcript, *, rest: str = "") -> Lateness:
    """Compare one track's utterances, in order, with what came of it.

    `rest`: what stood on the screen at the end and never became final; it counts for the words, not for the time.
    """
    reference: list[str] = []
    ends: list[int] = []
    for utterance in utterances:
        reference += normalise(utterance.text)
        ends.append(len(reference))
    words = [(word, piece.at_s) for piece in heard.finals for word in normalise(piece.text)]
    places = matches(reference, [word for word, _ in words])
    finals, partials, missed = list[float](), list[float](), 0
    for index, utterance in enumerate(utterances):
        first = ends[index - 1] if index else 0
        last = next((at for at in _last_words(first, ends[index]) if places[at] is not None), None)
        if last is None:
            missed += 1
            continue
        word, final_at_s = words[places[last] or 0]
        if not utterance.end_is_known:
            continue
        finals.append(max(0.0, final_at_s - utterance.end_s))
        spoken = sum(each.start_s < final_at_s for each in utterances)
        shown_at_s = _first_shown(
            reference[: ends[max(spoken, index + 1) - 1]], last, word, heard, utterance, final_at_s
        )
        partials.append(max(0.0, shown_at_s - utterance.end_s))
    everything = [word for word, _ in words] + normalise(rest)
    return Lateness(align(reference, everything), len(utterances), missed, tuple(finals), tuple(partials))


def _last_words(first: int, after: int) -> range:
    return range(after - 1, max(first, after - LAST_WORDS) - 1, -1)


def _first_shown(
    reference: Sequence[str], place: int, word: str, heard: Transcript, utterance: Utterance, final_at_s: float
) -> float:
    """Return when the word at a place of the reference first was on the screen."""
    skip = max(0, len(reference) - CONTEXT)
    if place < skip:
        return final_at_s
    for piece in heard.shown:
        if not utterance.end_s - 1.0 <= piece.at_s < final_at_s:
            continue
        tail = normalise(piece.text)[-CONTEXT:]
        at = matches(reference[skip:], tail)[place - skip]
        if at is not None and tail[at] == word:
            return piece.at_s
    return final_at_s


def matches(reference: Sequence[str], heard: Sequence[str]) -> list[int | None]:
    """Return for each word of the reference the index of the word that was heard for it, right or wrong.

    The cheapest alignment (Levenshtein over words); of several equal ones the one with the most right words.
    """
    right = 1 / (4 * (len(reference) + len(heard) + 1))
    costs = [[0.0] * (len(heard) + 1) for _ in range(len(reference) + 1)]
    for column in range(len(heard) + 1):
        costs[0][column] = float(column)
    for line, wanted in enumerate(reference, start=1):
        above, row = costs[line - 1], costs[line]
        row[0] = float(line)
        for column, got in enumerate(heard, start=1):
            swap = above[column - 1] + (-right if wanted == got else 1)
            row[column] = min(swap, above[column] + 1, row[column - 1] + 1)
    places: list[int | None] = [None] * len(reference)
    line, column = len(reference), len(heard)
    while line and column:
        same = reference[line - 1] == heard[column - 1]
        if abs(costs[line][column] - costs[line - 1][column - 1] - (-right if same else 1)) < right / 2:
            line, column = line - 1, column - 1
            places[line] = column
        elif costs[line][column] >= costs[line - 1][column] + 1 - right / 2:
            line -= 1
        else:
            column -= 1
    return places
