"""What a party said, told by somebody else: 'I lost my card' becomes 'they lost their card'."""

from __future__ import annotations

import re
from typing import Final

_OPENING: Final = re.compile(
    r"^(?:(?:oh|well|yes|yeah|yep|no|sure|okay|alright|all right|so|and|but|hi|hello|hey|hi there|right|now|actually|"
    r"basically|great|perfect|excellent|wonderful|absolutely|of course|certainly|thank you|thanks|anyway|also|wow|good "
    r"(?:morning|afternoon|evening|day)|sorry|then|terrific|excellent|because|like|[A-Z][\w'-]+(?=,))"
    r"(?: (?:so much|very much|again|there|then))?(?:,? [A-Z][\w'-]+(?=[,.]))?[,.!]*\s+)+",
    re.IGNORECASE,
)
_INTRODUCTION: Final = re.compile(
    r"^(?:(?:hi|hello|hey)[, ]+)?(?:[A-Z]?[\w'-]+, )?(?:my name is|this is|I am)(?: also)? "
    r"(?:[A-Z][\w'-]+(?: [A-Z][\w'-]+)?|(?<=my name is )\w+(?: (?!i\b|and\b|im\b)\w+)?)"
    r"(?: from [A-Z]\w+(?: [A-Z]\w+)?)?[,.]?\s+(?:and\s+|here\s+)?",
)
_SPOKEN_NAME: Final = re.compile(r"^(?:(?:hi|hello|hey) )?(?:\w+ )?my name is (?:also )?[\w'-]+ ?", re.IGNORECASE)

_CUSTOMER: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), told)
    for pattern, told in (
        (r"\b(?:you guys|all of you|you all)\b", "the company"),
        (r"\bthank you\b", "thanks"),
        (r"\bI am\b", "they are"),
        (r"\bI was\b", "they were"),
        (r"\bam I\b", "are they"),
        (r"\bwas I\b", "were they"),
        (r"\bmyself\b", "themselves"),
        (r"\bmine\b", "theirs"),
        (r"\b(?:I|we)\b(?!\.)", "they"),
        (r"\b(?:me|us)\b", "them"),
        (r"\b(?:my|our)\b", "their"),
        (r"\bours\b", "theirs"),
        (r"\byours\b", "the company's"),
        (r"\byour\b", "the company's"),
        (r"\byou have\b", "the company has"),
        (r"\byou are\b", "the company is"),
        (r"\byou were\b", "the company was"),
        (r"\byou do\b", "the company does"),
        (r"\byou\b", "the company"),
    )
)
_BARE: Final = (
    "(?:need|want|choose|come|go|see|get|like|decide|know|think|receive|prefer|require|use|do|make|call|bring|provide|find|"
    "hear|feel|pay|try|keep|look|give|wish|notice|encounter|experience|run|travel|stay|leave|return)"
)
_AGENT: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), told)
    for pattern, told in (
        (r"\b(?:I|we) (have|will|can|would|could)\b", r"they \1"),
        (r"\bI am\b", "they are"),
        (r"\bI was\b", "they were"),
        (r"\b(?:I|we)\b(?!\.)", "they"),
        (r"\b(?:me|us)\b", "them"),
        (r"\b(?:my|our)\b", "their"),
        (r"\byourself\b", "themselves"),
        (r"\byours\b", "the customer's"),
        (r"\byour\b", "the customer's"),
        (r"\byou are\b", "the customer is"),
        (r"\byou were\b", "the customer was"),
        (r"\byou have\b", "the customer has"),
        (rf"\byou (?=(?:also |just |ever |really )?{_BARE}\b)", "they "),
        (r"\byou\b", "the customer"),
    )
)
_SECOND_CUSTOMER: Final = re.compile(r"(\bthe customer\b.*?)\bthe customer's\b", re.IGNORECASE | re.DOTALL)


def strip_opening(plain: str) -> str:
    """Return a sentence without its greeting, its 'well, okay so' and the speaker's own name."""
    text = plain.strip()
    for _ in range(3):
        before = text
        text = _OPENING.sub("", text)
        text = _INTRODUCTION.sub("", text)
        if text.islower():
            text = _SPOKEN_NAME.sub("", text)
        if text == before:
            break
    return text or plain.strip()


def by_customer(plain: str) -> str:
    """Return the customer's words in the third person."""
    return _told(plain, _CUSTOMER)


def by_agent(plain: str) -> str:
    """Return the agent's words in the third person."""
    text = _told(plain, _AGENT)
    return _SECOND_CUSTOMER.sub(r"\1their", text)


def _told(plain: str, rules: tuple[tuple[re.Pattern[str], str], ...]) -> str:
    text = plain.strip().rstrip(".?!,")
    for pattern, told in rules:
        text = pattern.sub(told, text)
    return text
