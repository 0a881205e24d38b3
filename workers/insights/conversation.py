"""The call so far, read once: sentences, who speaks, what the parties and the company are called."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final
from uuid import UUID

from workers.insights import wording
from workers.insights.findings import Turn
from workers.insights.lexicon import PatternSet, compile_pattern, load, word_list

if TYPE_CHECKING:
    from datetime import date

    from infra.model import Role

_NAME_WORD: Final = r"[A-Z][\w'’-]+"
_CASED_SELF: Final = re.compile(
    rf"\b(?:[Mm]y name(?: is|'s)|[Tt]his is|I am|I'm|[Yy]ou(?: are|'re) (?:speaking|talking) (?:with|to))"
    rf" (?:also )?({_NAME_WORD}(?: {_NAME_WORD}){{0,2}})"
)
_UNCASED_SELF: Final = re.compile(r" my name is (?:also )?([a-z'-]+)(?: ([a-z'-]+))?")
_ADDRESSED: Final = re.compile(
    rf"\b(?:[Hh]i|[Hh]ello|[Tt]hanks|[Tt]hank you|[Pp]erfect|[Ww]elcome),? ({_NAME_WORD})(?=[,.!?])"
)
_HAIL: Final = re.compile(
    rf"\b(?:[Tt]hank you for|[Tt]hanks for) (?:calling|contacting|choosing|reaching out to) ((?:{_NAME_WORD} ?)+)"
    rf"|\b[Ww]elcome to ((?:{_NAME_WORD} ?)+)|\bfrom ((?:{_NAME_WORD} ?)+)"
)
_UNCASED_HAIL: Final = re.compile(
    r" (?:this is (?=(?:[a-z]+ ){2})|thank(?:s| you) for calling |welcome to )((?:[a-z]+ ){1,5}?)"
    r"(?:my name|how (?:can|may)|(?:[a-z]+ )?speaking|customer (?:service|support)|$)"
)
_NOT_NAMES: Final = word_list("not_names")


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of a turn, in the three forms of `wording`."""

    turn: Turn
    index: int
    """Its place among all sentences of the call, from 0."""
    voice: Role
    """Who seems to say it: the turn's role, unless the call is on one track and the words tell otherwise."""
    tidy: str
    plain: str
    normal: str
    words: tuple[str, ...]
    carried: str
    """`normal` with the end of the same party's unfinished turn before it: patterns may start there."""

    @property
    def segment_id(self) -> UUID:
        return self.turn.segment_id

    @property
    def is_question(self) -> bool:
        return self.tidy.rstrip().endswith("?")


@dataclass(slots=True)
class Conversation:
    """What has been heard, kept by adding; nothing is read twice."""

    called_on: date | None = None
    turns: list[Turn] = field(default_factory=list)
    sentences: list[Sentence] = field(default_factory=list)
    names: dict[Role, str] = field(default_factory=dict)
    company: str | None = None
    people: set[str] = field(default_factory=set)
    """Everything that was given as somebody's name, lower-case words."""
    _roles: set[Role] = field(default_factory=set)
    _addressed: Counter[str] = field(default_factory=Counter)
    _leaning: dict[str, int] = field(default_factory=dict)
    """For each speaker of a one-track call: how much more like an agent than like a customer."""

    def add(self, turn: Turn) -> list[Sentence]:
        """Take the next turn in; return its sentences."""
        carried = self._unfinished(turn)
        self.turns.append(turn)
        self._roles.add(turn.role)
        new: list[Sentence] = []
        for text in wording.sentences(wording.tidy(turn.text)):
            plain = wording.plain(text)
            normal = wording.normal(plain)
            if normal == "  ":
                continue
            sentence = Sentence(
                turn=turn,
                index=len(self.sentences),
                voice=self._voice(turn, normal),
                tidy=text,
                plain=plain,
                normal=normal,
                words=tuple(normal.split()),
                carried=carried + normal[1:] if carried else normal,
            )
            carried = ""
            self.sentences.append(sentence)
            new.append(sentence)
            self._learn_names(sentence)
        return new

    def _unfinished(self, turn: Turn) -> str:
        """Return the last words of the turn before, where the same party was cut off in mid-sentence."""
        if not self.turns or not self.sentences or self.turns[-1].role != turn.role:
            return ""
        last = self.sentences[-1]
        if last.turn is not self.turns[-1] or last.tidy.endswith((".", "?", "!")):
            return ""
        return f" {' '.join(last.words[-6:])} "

    def _voice(self, turn: Turn, normal: str) -> Role:
        """Tell the parties of a one-track call apart: by speaker and words, else by question and answer."""
        if len(self._roles) > 1 or turn.role in {"agent", "supervisor"}:
            return turn.role
        heard = {voice for voice, _ in _voices().matches(normal)}
        if turn.speaker:
            lean = self._leaning.get(turn.speaker, 0) + ("agent" in heard) - ("customer" in heard)
            self._leaning[turn.speaker] = lean
            if len(self._leaning) > 1:
                return "agent" if lean > 0 and lean == max(self._leaning.values()) else "customer"
        if "agent" in heard:
            return "agent"
        if "customer" in heard:
            return "customer"
        last = self.sentences[-1] if self.sentences else None
        if turn.role == "unknown" and last is not None and last.is_question:
            return "customer" if last.voice == "agent" else "agent" if last.voice == "customer" else "unknown"
        return turn.role

    def _learn_names(self, sentence: Sentence) -> None:
        voice = sentence.voice
        own = _own_name(sentence)
        if own:
            self.people.update(own.lower().split())
        if voice in {"agent", "customer"} and own:
            self.names.setdefault(voice, own)
        if voice != "customer" and self.company is None:
            self.company = _company(sentence, set(self.names.values()))
        if voice == "agent" and "customer" not in self.names:
            for name in _ADDRESSED.findall(sentence.tidy):
                if name.lower() not in _NOT_NAMES and name != self.names.get("agent"):
                    self._addressed[name] += 1
                    if self._addressed[name] == 2:
                        self.names["customer"] = name

    def name(self, role: Role) -> str | None:
        """Return what a party called itself, or was called twice."""
        return self.names.get(role)


@cache
def _voices() -> PatternSet[str]:
    return PatternSet(
        compile_pattern(source, {}, voice) for voice, sources in load("voices").items() for source in sources
    )


def _own_name(sentence: Sentence) -> str | None:
    if found := _CASED_SELF.search(sentence.plain):
        words = [word for word in found.group(1).split() if word.lower() not in _NOT_NAMES]
        if words and words == found.group(1).split()[: len(words)]:
            return " ".join(words[:2])
    if sentence.tidy.islower() and (spoken := _UNCASED_SELF.search(sentence.normal)):
        words = []
        for word in spoken.groups():
            if word is None or word in _NOT_NAMES or len(word) < 2:
                break
            words.append(word.capitalize())
        return " ".join(words) or None
    return None


def _company(sentence: Sentence, names: set[str]) -> str | None:
    if found := _HAIL.search(sentence.tidy):
        name = next(group for group in found.groups() if group).strip()
        name = re.sub(r"\s+(?:Customer|Support|Service|My|How|I)\b.*$", "", name)
        if name and name not in names and name.lower() not in _NOT_NAMES:
            return name
    if sentence.tidy.islower() and sentence.index <= 4 and (spoken := _UNCASED_HAIL.search(sentence.normal)):
        name = spoken.group(1).strip()
        if name not in _NOT_NAMES and not name.startswith(("my ", "a ", "the ")):
            return name.title()
    return None
