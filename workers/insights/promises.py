"""Promises and requests in a sentence: who is to do what after the call."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

from workers.insights import retelling, wording
from workers.insights.conversation import Sentence
from workers.insights.lexicon import PatternSet, compile_pattern, load, word_list

TEXT_LIMIT: Final = 200
_MAX_WORDS: Final = 24


@dataclass(frozen=True, slots=True)
class Promise:
    """Something to be done."""

    text: str
    """Readable, with a capital first."""
    owner: Literal["agent", "customer"]
    by_speaker: bool
    """True when the owner is the very person on the call (whose name may be known)."""
    priority: Literal["low", "medium", "high"]
    when: str
    """The sentence in normal form, if it names a time; else empty."""
    is_request: bool
    words: frozenset[str]
    """The words that carry its meaning."""


@dataclass(frozen=True, slots=True)
class _Form:
    """One way to say it: a regular expression over plain words, and how to retell what it caught."""

    regex: re.Pattern[str]
    voices: frozenset[str]
    owner: Literal["agent", "customer"]
    by_speaker: bool
    is_request: bool
    past: bool = False


_SOFT: Final = r"(?:(?:also|just|then|now|definitely|certainly|gladly|personally|please|go ahead and|be able to|make sure (?:to|that I|that we)|try to|make sure we|be sure to|be|quickly|immediately|first|still|actually|kindly|maybe|again),? )*"
_AGENT: Final = frozenset({"agent", "unknown", "supervisor"})
_CUSTOMER: Final = frozenset({"customer", "unknown"})
_EVERYBODY: Final = _AGENT | _CUSTOMER


@cache
def _forms() -> tuple[_Form, ...]:
    data = load("actions")
    verbs = {
        name: _alternatives(data[name]) for name in ("verbs", "done", "customer_verbs", "asked", "told", "third_party")
    }
    going = rf"(?:I|we) (?:will|shall|am going to|are going to|will be) {_SOFT}"
    act = rf"({verbs['verbs']}(?:ing)?\b.*)"
    rows: tuple[tuple[str, frozenset[str], Literal["agent", "customer"], bool, bool, bool], ...] = (
        (rf"\b{going}{act}", _AGENT, "agent", True, False, False),
        (rf"\b(?:let me|let us) {_SOFT}((?:send|email|mail|get you|schedule|book|arrange|set up|set you up|order|pencil|put you in|put in|open a|create|escalate)\b.*)",
         _AGENT, "agent", True, False, False),
        (rf"\b(?:I|we) (?:have|had) (?:already |just |gone ahead and |also |now )*((?:{verbs['done']})\b.*)", _AGENT, "agent", True, False, True),
        (r"\b(?:I|we) have ((?:an?|your) (?:[\w.:]+ ){0,5}appointment .*)", _AGENT, "agent", True, False, True),
        (rf"\b(you (?:will|should|can expect to)(?: also| soon| then| shortly)? (?:be able to )?(?:receive|get|hear|be (?:receiving|getting|contacted|refunded|credited|called))\b.*)",
         _AGENT, "agent", False, False, True),
        (rf"\b((?:an?|our|the|your|my|one of our) (?:[\w-]+ ){{0,6}}(?:{verbs['third_party']})s?(?: of ours)? (?:will|is going to|are going to) (?!need|depend|help|remain|work|protect|explain|guide)(?:also |then |be |soon |automatically )*"
         r"(?:come|call|contact|visit|email|send|ship|shipped|sent|mailed|emailed|delivered|credited|refunded|issued|processed|reach|follow|get|arrive|arriving|repair|fix|investigate|review|notified|dispatched|replaced|give you|be in touch|in touch|visiting|calling|contacting)\b.*)",
         _AGENT, "agent", False, False, True),
        (r"\b((?:they|someone|somebody|he|she) will (?:also |then |be )?(?:give you|call|contact|email|send|get back|reach|follow up|be in touch|calling|contacting)\b.*)",
         _AGENT, "agent", False, False, True),
        (r"\b((?:an?|the|your) (?:[\w'-]+ ){1,5}(?:has|have) been (?:ordered|scheduled|booked|shipped|sent|mailed|dispatched|escalated|initiated|arranged|requested|submitted)\b.*)",
         _AGENT, "agent", False, False, True),
        (r"\b((?:it|your order) is on (?:the|its) way\b.*)", _AGENT, "agent", False, False, True),
        (rf"\b(?:can|could|would|will) (?:you|somebody|someone|they|a manager|your manager)(?: please| just| maybe| possibly| kindly)* ((?:{verbs['asked']})\b.*)",
         _CUSTOMER, "agent", False, True, False),
        (r"\b(?:can|could|would|will) (?:somebody|someone|a manager|your manager|the manager)(?: please)? (call\b.*|contact\b.*|come\b.*|get back\b.*)", _CUSTOMER, "agent", False, True, False),
        (rf"(?:^|\b(?:so|and|but) )please (?:just )?((?:{verbs['asked']})\b.*)", _CUSTOMER, "agent", False, True, False),
        (r"\bI (?:would like|want|need) (?:you to |someone to |somebody to )((?:call|email|send|contact|get back)\b.*)", _CUSTOMER, "agent", False, True, False),
        (r"\bI (?:would like|want|need) (a (?:call back|callback|return call)\b.*)", _CUSTOMER, "agent", False, True, False),
        (rf"\b(?:I|we) (?:will|shall|am going to|might have to|may have to|will have to|just need to|need to)(?: also| just| probably| definitely| then| try to| go ahead and| have to)* ((?:{verbs['customer_verbs']})\b.*)",
         frozenset({"customer"}), "customer", True, False, False),
        (rf"\b(?:please|make sure (?:to|you)|be sure to|do not forget to|you will (?:need|have) to|you need to|you should) (?:also |just |then )?((?:{verbs['told']})\b.*)",
         _AGENT, "customer", True, False, False),
    )  # fmt: skip
    return tuple(
        _Form(re.compile(regex, re.IGNORECASE), voices, owner, by_speaker, is_request, past)
        for regex, voices, owner, by_speaker, is_request, past in rows
    )


def _alternatives(words: str) -> str:
    """Return words of a list as one regular expression, the longest first, with their -ing forms."""
    options = sorted((word.replace("_", " ") for word in words.split()), key=len, reverse=True)
    return f"(?:{'|'.join(options)})"


@cache
def _in_call() -> re.Pattern[str]:
    return re.compile(rf"^(?:be )?{_alternatives(load('actions')['in_call'])}\b", re.IGNORECASE)


@cache
def _urgency() -> PatternSet[str]:
    data = load("actions")
    return PatternSet([compile_pattern(data["urgent"], {}, "high"), compile_pattern(data["loose"], {}, "low")])


_TIME: Final = re.compile(
    r" (?:today|tonight|tomorrow|morning|afternoon|evening|monday|tuesday|wednesday|thursday|friday|saturday|sunday|days?|"
    r"weeks?|hours?|months?|january|february|march|april|june|july|august|september|october|november|december|the \d+\w\w|may \d+\w*|"
    r"end of (?:the )?day) "
)
_CLOCK: Final = re.compile(r"\d ?[ap]\.?m\b|\d:\d\d|\bo'clock\b|\b[ap] m\b", re.IGNORECASE)
_EMPTY: Final = re.compile(
    r"\b(?:do not hesitate|feel free|if you (?:have|need|ever|would like|want|require)|any (?:other |further |additional )?(?:questions|concerns|assistance)|"
    r"further assistance|would you like|should I|shall I|do you want|let me know if)\b",
    re.IGNORECASE,
)
_PLACES_TO_CUT: Final = re.compile(
    r",? (?:so that|so you|but|because|since|while|who will guide|okay|alright|is there anything|thank you|and then I|does that|how does|what do you|and we can|and I can|or you can|which I|that I can|does it)\b.*$",
    re.IGNORECASE,
)


_NEXT: Final = re.compile(
    r",? (?:and|but) (?=(?:I|we) (?:will|have|am going to|might have to) |let (?:me|us) |you will (?:receive|get) )",
    re.IGNORECASE,
)


def find(sentence: Sentence) -> list[Promise]:
    """Return what a sentence promises or asks for after the call; mostly nothing."""
    plain = sentence.plain
    if _EMPTY.search(plain) and not re.search(r"\b(?:will|please) give (?:me|us) a call\b", plain):
        return []
    if not any(word in _triggers() for word in sentence.words):
        return []
    found = (_first(part, sentence) for part in _NEXT.split(plain))
    return [promise for promise in found if promise is not None]


@cache
def _triggers() -> frozenset[str]:
    return frozenset(
        {
            "will",
            "shall",
            "going",
            "let",
            "have",
            "can",
            "could",
            "would",
            "please",
            "want",
            "need",
            "sure",
            "forget",
            "way",
            "had",
            "might",
            "may",
            "has",
            "should",
        }
    )


def _first(part: str, sentence: Sentence) -> Promise | None:
    for form in _forms():
        if sentence.voice not in form.voices or (sentence.is_question and not form.is_request):
            continue
        found = form.regex.search(part)
        if found and not _in_call().match(found.group(1)) and not _AT_ONCE.search(part):
            promise = _promise(form, part[: found.start(1)], found.group(1), sentence)
            if promise is not None:
                return promise
    return None


_AT_ONCE: Final = re.compile(
    r"\b(?:in (?:just )?a (?:moment|second|minute)|right now|one moment|bear with me|on (?:the|your) screen)\b",
    re.IGNORECASE,
)


def _promise(form: _Form, before: str, caught: str, sentence: Sentence) -> Promise | None:
    said = _PLACES_TO_CUT.sub("", caught).strip(" ,.;:?!")
    words = said.split()
    if len(words) > _MAX_WORDS:
        said = " ".join(words[:_MAX_WORDS]) + "…"
    told = retelling.by_customer(said) if form.is_request or sentence.voice == "customer" else retelling.by_agent(said)
    if form.is_request:
        told = re.sub(r"\bthem\b", "the customer", told, count=1)
        told = re.sub(r"\btheir\b", "the customer's", told, count=1) if "the customer" not in told else told
    if form.owner == "customer" and sentence.voice != "customer":
        told = re.sub(r"\bthe customer's\b", "their", retelling.by_agent(said))
        told = re.sub(r" (?:with the customer|for the customer)\b", "", told)
        told = re.sub(r"\b(?:us|them) a call\b", "the company a call", told)
    meaning = _meaning(told)
    if len(meaning) < 1 or (len(words) < 2 and not form.is_request):
        return None
    near = wording.normal(" ".join([*before.split()[-8:], said]))
    urgency = {level for level, _ in _urgency().matches(near)}
    return Promise(
        text=wording.shorten(wording.sentence_case(told).rstrip("."), TEXT_LIMIT),
        owner=form.owner,
        by_speaker=form.by_speaker,
        priority="high" if "high" in urgency else "low" if "low" in urgency else "medium",
        when=near if _TIME.search(near) else "",
        is_request=form.is_request,
        words=meaning,
    )


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
    shared = one.words & other.words
    if "schedule" in shared and one.owner == "agent":
        return True  # a call ends in one appointment, however often it is named
    shorter = min(len(one.words), len(other.words))
    return one.words == other.words if shorter < 2 else len(shared) >= 0.5 * shorter


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
