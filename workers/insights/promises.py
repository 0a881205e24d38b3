"""Promises and requests in a sentence: who is to do what after the call."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

from workers.insights import retelling, wording
from workers.insights.conversation import Sentence
from workers.insights.lexicon import load, word_list

Owner = Literal["agent", "customer"]
Priority = Literal["low", "medium", "high"]

TEXT_LIMIT: Final = 200
_MAX_WORDS: Final = 24
_WORDS_BEFORE: Final = 8
"""A day named so shortly before a promise belongs to it: 'tomorrow I will call you'."""


@dataclass(frozen=True, slots=True)
class Promise:
    """Something to be done."""

    text: str
    """Readable, with a capital first."""
    owner: Owner
    by_speaker: bool
    """True when the owner is the very person on the call (whose name may be known)."""
    priority: Priority
    when: str
    """The words around it in normal form, if they name a time; else empty."""
    is_request: bool
    words: frozenset[str]
    """What it means: the stems of its telling words."""


@dataclass(frozen=True, slots=True)
class _Form:
    """One way to say it."""

    regex: re.Pattern[str]
    voices: frozenset[str]
    owner: Owner
    by_speaker: bool
    is_request: bool


_VOICES: Final = {
    "agent": frozenset({"agent", "unknown", "supervisor"}),
    "customer": frozenset({"customer", "unknown"}),
}
_TIME: Final = re.compile(
    r" (?:to(?:day|night|morrow)|morning|afternoon|evening|"
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)day|(?:day|week|hour|month)s?|"
    r"(?:jan|febr)uary|march|april|june|july|august|(?:septem|octo|novem|decem)ber|the \d+\w\w|may \d+\w*) "
)
_CLOCK: Final = re.compile(r"\d ?[ap]\.?m\b|\d:\d\d|\bo'clock\b|\b[ap] m\b", re.IGNORECASE)
_CALL_US: Final = re.compile(r"\b(?:will|please) give (?:me|us) a call\b", re.IGNORECASE)
_NEXT: Final = re.compile(
    r",? (?:and|but) (?=(?:I|we) (?:will|have|am going to|might have to) |let (?:me|us) |you will (?:receive|get) )",
    re.IGNORECASE,
)
_TRIGGERS: Final = frozenset(
    "will shall going let have has had can could would please want need sure forget way might may should".split()
)


def _any_of(words: str) -> str:
    """Return the words of a list as one choice, the longest first."""
    return "|".join(sorted((re.escape(word.replace("_", " ")) for word in words.split()), key=len, reverse=True))


@cache
def _forms() -> tuple[_Form, ...]:
    data = load("actions")
    choices = {name: f"(?:{_any_of(words)})" for name, words in data["words"].items()}
    choices["soon"] = f"(?:{choices['soon']},? )*"
    return tuple(
        _Form(
            re.compile(re.sub(r"<(\w+)>", lambda name: choices[name.group(1)], form["said"]), re.IGNORECASE),
            _VOICES[form["by"]],
            form["owner"],
            form.get("self", False),
            form.get("request", False),
        )
        for form in data["forms"]
    )


@cache
def _limit(name: str) -> re.Pattern[str]:
    choice = "|".join(load("actions")["limits"][name])
    return re.compile(rf",? (?:{choice})\b.*$" if name == "ends" else rf"\b(?:{choice})\b", re.IGNORECASE)


@cache
def _in_call() -> re.Pattern[str]:
    return re.compile(rf"^(?:be )?(?:{_any_of(load('actions')['words']['in_call'])})\b", re.IGNORECASE)


@cache
def _level(name: str) -> re.Pattern[str]:
    return re.compile(rf" (?:{_any_of(load('actions')['words'][name])}) ")


def find(sentence: Sentence) -> list[Promise]:
    """Return what a sentence promises or asks for after the call; mostly nothing."""
    if _TRIGGERS.isdisjoint(sentence.words):
        return []
    if _limit("empty").search(sentence.plain) and not _CALL_US.search(sentence.plain):
        return []
    found = (_first(part, sentence) for part in _NEXT.split(sentence.plain))
    return [promise for promise in found if promise is not None]


def _first(part: str, sentence: Sentence) -> Promise | None:
    if _limit("at_once").search(part):
        return None
    for form in _forms():
        if sentence.voice not in form.voices or (sentence.is_question and not form.is_request):
            continue
        found = form.regex.search(part)
        if found and not _in_call().match(found.group(1)):
            promise = _promise(form, part[: found.start(1)], found.group(1), sentence)
            if promise is not None:
                return promise
    return None


def _promise(form: _Form, before: str, caught: str, sentence: Sentence) -> Promise | None:
    said = _limit("ends").sub("", caught).strip(" ,.;:?!")
    words = said.split()
    if len(words) > _MAX_WORDS:
        said = " ".join(words[:_MAX_WORDS]) + "…"
    told = _told(form, said, sentence)
    meaning = _meaning(told)
    if not meaning or (len(words) < 2 and not form.is_request):
        return None
    near = wording.normal(" ".join([*before.split()[-_WORDS_BEFORE:], said]))
    priority: Priority = (
        "high" if _level("urgent").search(near) else "low" if _level("loose").search(near) else "medium"
    )
    return Promise(
        text=wording.shorten(wording.sentence_case(told).rstrip("."), TEXT_LIMIT),
        owner=form.owner,
        by_speaker=form.by_speaker,
        priority=priority,
        when=near if _TIME.search(near) else "",
        is_request=form.is_request,
        words=meaning,
    )


def _told(form: _Form, said: str, sentence: Sentence) -> str:
    """Return the promise as somebody else would note it."""
    if form.is_request:
        told = re.sub(r"\bthem\b", "the customer", retelling.by_customer(said), count=1)
        return told if "the customer" in told else re.sub(r"\btheir\b", "the customer's", told, count=1)
    if form.owner == "customer" and sentence.voice != "customer":
        told = re.sub(r"\bthe customer's\b", "their", retelling.by_agent(said))
        told = re.sub(r" (?:with|for) the customer\b", "", told)
        return re.sub(r"\b(?:us|them) a call\b", "the company a call", told)
    return retelling.by_customer(said) if sentence.voice == "customer" else retelling.by_agent(said)


_DEEDS: Final = {
    "send": "send mail email ship order sent text receive get resend dispatch print",
    "call": "call ring phone contact reach hear notify know back",
    "schedule": "schedule book arrange pencil appointment technician slot",
    "credit": "credit refund reimburse compensate",
    "report": "report ticket escalate raise forward file investigate investigation",
}
_DEED_OF: Final = {word: deed for deed, words in _DEEDS.items() for word in words.split()}
_ENDING: Final = re.compile(r"(?<=\w{3})(?:ing|ed|es|s|e)$")
_PARTIES: Final = frozenset({"customer", "agent", "company", "they", "their"})


def _meaning(text: str) -> frozenset[str]:
    """Return the words of a text that say what is to be done, in their stems; deeds of one kind are one word."""
    stop = word_list("stopwords")
    meaning: set[str] = set()
    for word in wording.normal(text).split():
        stem = _ENDING.sub("", word)
        deed = _DEED_OF.get(word) or _DEED_OF.get(stem) or _DEED_OF.get(f"{stem}e")
        if deed:
            meaning.add(deed)
        elif word not in stop and word not in _PARTIES:
            meaning.add(stem)
    return frozenset(meaning)


def alike(one: Promise, other: Promise) -> bool:
    """Tell whether two promises of one owner are the same one, said twice."""
    if one.owner != other.owner:
        return False
    deeds, other_deeds = one.words & _DEEDS.keys(), other.words & _DEEDS.keys()
    if "schedule" in deeds & other_deeds and one.owner == "agent":
        return True  # a call ends in one appointment, however often it is named
    if deeds and other_deeds and not deeds & other_deeds:
        return False
    matter, other_matter = one.words - deeds, other.words - other_deeds
    shorter = min(len(matter), len(other_matter))
    return len(matter & other_matter) >= 0.5 * shorter if shorter else one.words == other.words


def more_precise(new: Promise, old: Promise) -> bool:
    """Tell whether a repeated promise says more than it did before: a time of day, or a day at all."""
    if bool(_CLOCK.search(new.text)) != bool(_CLOCK.search(old.text)):
        return bool(_CLOCK.search(new.text))
    return bool(new.when) and not old.when


def overlap(one: str, other: str) -> float:
    """Return how much of their meaning two texts share, 0..1."""
    first, second = _meaning(one), _meaning(other)
    return len(first & second) / min(len(first), len(second)) if first and second else 0.0


def meets(promise: Promise, request: Promise) -> bool:
    """Tell whether a promise answers a request: it names the same kind of deed."""
    return promise.owner == request.owner and bool(promise.words & request.words & _DEEDS.keys())
