"""Spoken words made fit for reading and for matching.

A turn passes through three forms: what the recogniser wrote; `tidy` (hesitations and stutters taken out, for
people); `plain` (contractions spelled out, for rewriting) and `normal` (lower-case words with one space
between and around them, for patterns).
"""

from __future__ import annotations

import re
from typing import Final

_NOISE: Final = re.compile(r"<unk>|\{[^{}]*\}|\[[^\[\]]*\]", re.IGNORECASE)
_HESITATION: Final = re.compile(
    r"(?:^|(?<=[\s,]))(?:u+h+m*|u+m+|e+r+m*|h+m+|mhm|ah+)\b[,.]?(?!-)\s*|,\s*(?:you know|i mean|like)\s*(?=,)",
    re.IGNORECASE,
)
_STUTTER: Final = re.compile(r"\b([a-z][a-z']*)((?:[,.]? +\1\b)+)(?!')", re.IGNORECASE)
_MEANT_TWICE: Final = frozenset(
    "that had bye no very really yes so yeah please zero oh one two three four five six seven eight nine ten".split()
)
_FALSE_START: Final = re.compile(
    r"\b(and |but |so )?(?:i|we|it|the|a|an|my|your|our|how|why|that|is), "
    r"(?=(?:and )?(?:the|a|an|my|your|our|it|i|i'm|we|you|they|how|why|that)\b)",
    re.IGNORECASE,
)
_APOSTROPHE: Final = str.maketrans("’‘ʼ`", "''''")

_SPELLED_OUT: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), full)
    for pattern, full in (
        (r"\bwon'?t\b(?=\W)", "will not"),
        (r"\b(?:can't|cannot|cant)\b", "can not"),
        (r"\bshan't\b", "shall not"),
        (r"\b(do|does|did|is|are|was|were|has|have|had|would|could|should|must)n'?t\b", r"\1 not"),
        (r"\bi'?m\b", "I am"),
        (r"\b(i|you|we|they)'?ve\b", r"\1 have"),
        (r"\b(i|you|he|she|it|we|they|that|there|who|this)'ll\b", r"\1 will"),
        (r"\b(you|they)'?re\b", r"\1 are"),
        (r"\bwe're\b", "we are"),
        (r"\b(i|you|he|she|we|they)'d\b(?= (?:been|had|lost|already))", r"\1 had"),
        (r"\b(i|you|he|she|it|we|they|that)'d\b", r"\1 would"),
        (r"\blet's\b", "let us"),
        (r"\b(it|that|what|where|there|here|he|she|who|how|when)'s\b(?= (?:been|got|gone|had|come)\b)", r"\1 has"),
        (r"\b(it|that|what|where|there|here|he|she|who|how|when|everything|name)'s\b", r"\1 is"),
        (r"\bthats\b", "that is"),
        (r"\bgonna\b", "going to"),
        (r"\bwanna\b", "want to"),
        (r"\bgotta\b", "got to"),
        (r"\be-mail(s?)\b", r"email\1"),
        (r"\bwi-fi\b", "wifi"),
        (r"\b(?:m'?kay|okay|ok|okey)\b", "okay"),
    )
)
_NOT_A_WORD: Final = re.compile(r"[^a-z0-9$€£%'à-öø-ÿ]+")
_MARKED_NUMBER: Final = re.compile(r"(?<=\d)[,.](?=\d)")
_POSSESSIVE: Final = re.compile(r"'s?(?= |$)|(?<= )'")

_SENTENCE_END: Final = re.compile(r"(?<=[.?!])[\"')]*\s+")
_TITLE: Final = re.compile(r"\b(?:mr|mrs|ms|dr|st|vs)\.$", re.IGNORECASE)
_DANGLING: Final = frozenset(
    "a an the your my our their his her its these those and or but to of for in on at by with from as than i "
    "is are was were be am will would should may might we we'll i'll they please truly select high-quality "
    "adding during".split()
)
_CLAUSE_START: Final = re.compile(
    r"(?<!\bthat)(?<!\bif)(?<!\bwhat)(?<!\band) (?=(?:i would like|i need|i want|i wanted|i lost|i have a|"
    r"i am calling|(?:can|could|would|do) you|is there anything|how (?:can|may) i help|my name is|"
    r"thank you|okay|all right|alright)\b)",
    re.IGNORECASE,
)
_LONG_WORDS: Final = 12


def tidy(text: str) -> str:
    """Return the words without hesitations, stutters and the recogniser's marks."""
    text = _NOISE.sub(" ", text.translate(_APOSTROPHE))
    text = _HESITATION.sub(" ", text)
    text = _FALSE_START.sub(lambda found: found.group(1) or "", _STUTTER.sub(_once, text))
    text = re.sub(r"\s+([,.?!])", r"\1", text)
    text = re.sub(r",(?:\s*,)+", ",", text)
    text = re.sub(r"^[\s,.?!-]+", "", text)
    return " ".join(text.split())


def _once(match: re.Match[str]) -> str:
    word = match.group(1)
    return match.group(0) if word.lower() in _MEANT_TWICE else word


def plain(tidied: str) -> str:
    """Return tidied words with their contractions spelled out, case and punctuation kept."""
    text = tidied + " "
    if "'" in text or _may_lack_apostrophes(text):
        for pattern, full in _SPELLED_OUT:
            text = pattern.sub(full, text)
    else:
        for pattern, full in _SPELLED_OUT[-6:]:
            text = pattern.sub(full, text)
    return text.rstrip()


def _may_lack_apostrophes(text: str) -> bool:
    return text.islower() or "annot" in text or "dont" in text or "cant" in text


def normal(plain_text: str) -> str:
    """Return lower-case words, one space between and around them."""
    text = _MARKED_NUMBER.sub("", plain_text.lower())
    text = _POSSESSIVE.sub(" ", _NOT_A_WORD.sub(" ", text).replace("' ", " "))
    return f" {' '.join(text.split())} "


def sentences(tidied: str) -> list[str]:
    """Split tidied words into sentences; an unpunctuated run is split where a new clause plainly starts."""
    parts: list[str] = []
    for piece in _SENTENCE_END.split(tidied):
        if parts and (_dangles(parts[-1]) or piece[:1].islower()):
            head = parts[-1]
            parts[-1] = f"{head if head.endswith(('.m.', 'Mr.', 'Mrs.', 'Dr.')) else head.rstrip('.')} {piece}"
        elif piece:
            parts.append(piece)
    return [clause for part in parts for clause in _clauses(part)]


def _dangles(part: str) -> bool:
    if not part.endswith("."):
        return False
    last = part.rstrip(".").rsplit(None, 1)[-1:]
    return bool(_TITLE.search(part)) or (bool(last) and last[0].lower() in _DANGLING)


def _clauses(part: str) -> list[str]:
    if part.count(" ") < _LONG_WORDS or re.search(r"[,;:.?!]\s", part):
        return [part]
    return [clause for clause in _CLAUSE_START.split(part) if clause]


def sentence_case(text: str) -> str:
    """Return the text as a sentence: a capital first, 'I' a capital, an end mark."""
    text = re.sub(r"\bi\b(?!\.)", "I", text.strip(" ,;:-"))
    if not text:
        return text
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".?!" else text + "."


def shorten(text: str, limit: int) -> str:
    """Return at most `limit` characters, cut at a word, with an ellipsis where something was cut."""
    if len(text) <= limit:
        return text
    cut = text[: limit - 1]
    if not (cut[-1].isspace() or text[limit - 1].isspace()):
        cut = cut.rsplit(None, 1)[0]
    return cut.rstrip(" ,;:-") + "…"
