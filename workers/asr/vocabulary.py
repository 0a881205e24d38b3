"""Which phrases each running call's recogniser listens for, and how they are written."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final
from uuid import UUID

from infra.model import Call, Word
from infra.store.vocabulary import MOST_PHRASES, Phrase, VocabularyStore
from infra.telemetry import logger
from workers.asr.written.tokens import Edit, Token, apply, realign, tokenise

log = logger(__name__)

REFRESH_S: Final = 2.0
"""A change, and the queue that a call comes to, are known after so long at the latest."""
PART_CHARS: Final = 4
"""A part of a name, as which an agent may be called, takes part by itself from this length on."""
FIRST_S: Final = 0.5
"""A track waits so long at most for its call's phrases before anything of it is recognised."""
FORGET_S: Final = 60.0
"""A call that has not asked for so long is taken for over."""

Vocabulary = tuple[str, ...]
"""Phrases as they are to be written; the same tuple for as long as they are the same."""

_PART: Final = re.compile(r"[A-Z]+[a-z]*|[a-z]+|[^\W_]")
"""What may be heard as a word of its own: Health and Harbor of HealthHarbor."""
_ORDINARY: Final = frozenset(
    """
    access advance advantage all apple april art august auto base basic best bill blue bronze brook bud
    business calendar candy care carol cash chance chase checking chip choice classic cliff cloud complete
    connect contact core credit crystal daisy dale dawn dean dental digital direct discover docs door dot
    drive earl edge energy enterprise essential essentials excel express extra faith family fast fern first
    fleet flex focus frank freedom gale gap gateway ginger go gold grace grant green group guard harry hazel
    health heather help home hope hunter insight iris ivy jack joy june junior key keynote lance lane laurel
    life light lily link live local mail maps mark market mason master max may meet melody mercy messages
    miles mint mobile money motion myrtle next nick norm notes notion now numbers office olive one online opal
    open orange outlook pages pansy pat patience pay peg penny pepper photos pierce plan platinum plus points
    poppy power premium prime pro protect prudence pulse quest rain ray ready reed rewards rich river rob
    robin rocky rod rose ruby rusty sage savings secure select shield shift signal silver simple skip sky
    slack smart snap solo spark square standard starter stew stone stride student sue summer supreme switch
    tad target teams total travel trip tucker ultra unlimited value vault venture violet vision wade ward wave
    way will windows wire word zoom
    """.split()
)
"""Words that are names of people and of products as well."""
_AHEAD: Final = re.compile(r"^[^\w\s]*")
_BEHIND: Final = re.compile(r"[^\w\s]*$")
"""The marks that a phrase begins and ends with."""


class Vocabularies:
    """Keeps the phrases of the calls that run: one look into the store every `REFRESH_S`, whatever their number.

    A call's phrases are those of its tenant and of its queue, at most `MOST_PHRASES`, the queue's own first. While
    the store is away they stay as they were.
    """

    def __init__(self, store: VocabularyStore, *, refresh_s: float = REFRESH_S) -> None:
        self._store = store
        self._refresh_s = refresh_s
        self._asked_s: dict[UUID, float] = {}
        self._tenants: dict[UUID, UUID] = {}
        self._known: dict[UUID, Vocabulary] = {}
        self._news = asyncio.Event()

    def of(self, call: Call) -> Vocabulary:
        """Return what is known now; nothing as long as nobody has looked."""
        if call.id not in self._asked_s:
            self._tenants[call.id] = call.tenant_id
            self._news.set()
        self._asked_s[call.id] = time.monotonic()
        return self._known.get(call.id, ())

    async def look_up(self, call: Call) -> None:
        """Look for a call's phrases before its first recognition: of a track taken over that is a final."""
        if self.of(call):
            return
        try:
            async with asyncio.timeout(FIRST_S):
                await self.refresh()
        except Exception as error:  # noqa: BLE001  (the words go on without)
            log.warning("vocabulary not looked up", error=type(error).__name__)

    async def run(self) -> None:
        """Look for changes for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self.refresh()
            except Exception as error:  # noqa: BLE001  (calls go on with the words that are known)
                log.warning("vocabulary not refreshed", error=type(error).__name__)
            try:
                async with asyncio.timeout(self._refresh_s):
                    await self._news.wait()
            except TimeoutError:
                pass
            if self._asked_s:
                self._news.set()

    async def refresh(self) -> None:
        """Look once."""
        long_ago_s = time.monotonic() - FORGET_S
        for call_id in [call_id for call_id, asked_s in self._asked_s.items() if asked_s < long_ago_s]:
            del self._asked_s[call_id], self._tenants[call_id]
            self._known.pop(call_id, None)
        calls = dict(self._tenants)
        if not calls:
            return
        queues = await self._store.queues_of(list(calls))
        told: dict[tuple[UUID, UUID | None], list[str]] = {}
        for phrase in await self._store.of_tenants(sorted(set(calls.values()))):
            told.setdefault((phrase.tenant_id, phrase.queue_id), []).extend(_as_said(phrase))
        shared: dict[Vocabulary, Vocabulary] = {}
        for call_id, tenant_id in calls.items():
            queue_id = queues.get(call_id)
            own = told.get((tenant_id, queue_id), []) if queue_id is not None else []
            phrases = _distinct([*own, *told.get((tenant_id, None), [])])
            self._known[call_id] = shared.setdefault(phrases, phrases)


def _as_said(phrase: Phrase) -> list[str]:
    parts = phrase.phrase.split() if phrase.is_name else []
    return [phrase.phrase, *(part for part in parts if len(part) >= PART_CHARS)]


def _distinct(phrases: Sequence[str]) -> Vocabulary:
    kept: dict[str, str] = {}
    for phrase in phrases:
        kept.setdefault(phrase.lower(), phrase)
    return tuple(kept.values())[:MOST_PHRASES]


def in_display_form(text: str, words: Sequence[Word], vocabulary: Vocabulary) -> tuple[str, tuple[Word, ...]]:
    """Return a text with the phrases that it holds as their tenant writes them: 'HealthHarbor' for 'health harbor'.

    Blanks, hyphens and capitals do not matter for finding them. A phrase that is an ordinary word, too, stays small
    where it was heard small: 'will' is seldom the agent Will.
    """
    if not vocabulary or not text:
        return text, tuple(words)
    phrases, most_tokens = _by_letters(vocabulary)
    tokens, edits, at = tokenise(text), list[Edit](), 0
    while at < len(tokens):
        after = at + 1
        for end, letters, stop in reversed(list(_runs(tokens, at, most_tokens))):
            if (phrase := phrases.get(letters)) is not None:
                done = edits[-1].end if edits else 0
                edits += _rewritten(text, *_with_marks(text, done, tokens[at].start, stop, phrase), phrase)
                after = end
                break
        at = after
    if not edits:
        return text, tuple(words)
    realigned = realign(text, words, edits) if words else ()
    return apply(text, edits), realigned


def _runs(tokens: Sequence[Token], first: int, most: int) -> Iterator[tuple[int, str, int]]:
    """Yield (token after the last, letters, where they end) of the words from `first` on; once more without its 's."""
    letters = ""
    for index in range(first, min(first + most, len(tokens))):
        token = tokens[index]
        if index > first and not token.near:
            return
        if token.low.endswith("'s"):
            yield index + 1, letters + _letters(token.low[:-2]), token.end - 2
        letters += _letters(token.low)
        yield index + 1, letters, token.end


def _with_marks(text: str, done: int, start: int, end: int, phrase: str) -> tuple[int, int]:
    """Return the place of a phrase with those marks around it that it brings itself: 'Yahoo!' gets no second one.

    What lies before `done` is taken.
    """
    ahead, behind = _AHEAD.findall(phrase)[0], _BEHIND.findall(phrase)[0]
    fits_ahead = (size for size in range(len(ahead), 0, -1) if text[done:start].endswith(ahead[-size:]))
    fits_behind = (size for size in range(len(behind), 0, -1) if text.startswith(behind[:size], end))
    return start - next(fits_ahead, 0), end + next(fits_behind, 0)


def _rewritten(text: str, start: int, end: int, phrase: str) -> list[Edit]:
    """Return the changes that write a phrase over a part of the text: word for word where their numbers agree."""
    heard = list(re.finditer(r"\S+", text[start:end]))
    wanted = phrase.split()
    if len(heard) != len(wanted):
        return [Edit(start, end, phrase)]
    small = phrase[:1].lower() + phrase[1:]
    if text[start:end] == small and small in _ORDINARY:
        return []
    return [
        Edit(start + found.start(), start + found.end(), word)
        for found, word in zip(heard, wanted, strict=True)
        if found[0] != word
    ]


@lru_cache(maxsize=64)
def _by_letters(vocabulary: Vocabulary) -> tuple[Mapping[str, str], int]:
    """Return the phrases by their letters, and how many words one of them may be heard as."""
    phrases = {_letters(phrase): phrase for phrase in reversed(vocabulary)}
    phrases.pop("", None)
    return phrases, max((len(_PART.findall(phrase)) for phrase in phrases.values()), default=0)


def _letters(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum())
