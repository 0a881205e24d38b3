"""When something was promised for: spoken dates, relative to the day of the call."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import date, timedelta
from typing import Final

_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS: Final = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip
_UNITS: Final = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip
_TENS: Final = {"twenty": 20, "thirty": 30, "forty": 40}
_ORDINALS: Final = (
    "zeroth", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
    "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth",
    "nineteenth", "twentieth",
)  # fmt: skip

_UNIT: Final = "|".join(reversed(_UNITS[1:]))
_COUNT: Final = (
    rf"(?:\d{{1,3}}|an?|a couple of|couple of|(?:twenty|thirty|forty)(?: (?:{'|'.join(_UNITS[1:10])}))?|{_UNIT})"
)
_DAY: Final = rf"(?:\d{{1,2}}(?:st|nd|rd|th)?|(?:twenty |thirty )?(?:{'|'.join(reversed(_ORDINALS[1:]))})|thirtieth)"
_SPAN: Final = re.compile(
    r" (?:(in|within|takes?|up to|less than|under|approximately|about|next|after|for) "
    r"(?:the )?(?:next |about |another )?)?"
    rf"(?:{_COUNT} (?:to|or|and) )?({_COUNT}) (business |working )?(hour|day|week|month)s?"
    r"( from now| from today)?(?= )"
)
_WEEKDAY: Final = re.compile(rf" (?:(on|by|this|next|coming|for|until|before) )*({'|'.join(_WEEKDAYS)})s?(?= )")
_MONTH_DAY: Final = re.compile(rf" ({'|'.join(_MONTHS)}) (?:the )?({_DAY})(?= )")
_DAY_MONTH: Final = re.compile(rf" (?:the )?({_DAY}) (?:of )?({'|'.join(_MONTHS)})(?= )")
_DAY_ALONE: Final = re.compile(rf" (?:on|by|for|until|before) the ({_DAY})(?= )(?! (?:of|floor|one|time|page|line))")


def due(normal: str, called_on: date) -> date | None:
    """Return the last day on which what a sentence (in normal form) promises may happen; None if it names none."""
    for words, days in ((" day after tomorrow ", 2), (" tomorrow ", 1)):
        if words in normal:
            return called_on + timedelta(days)
    if found := _MONTH_DAY.search(normal):
        return _month_day(_MONTHS.index(found.group(1)) + 1, _day(found.group(2)), called_on)
    if found := _DAY_MONTH.search(normal):
        return _month_day(_MONTHS.index(found.group(2)) + 1, _day(found.group(1)), called_on)
    if re.search(r" end of (?:the|this) week ", normal):
        return called_on + timedelta((4 - called_on.weekday()) % 7)
    if re.search(r" end of (?:the|this) month ", normal):
        return called_on.replace(day=monthrange(called_on.year, called_on.month)[1])
    if found := _WEEKDAY.search(normal):
        return _next_weekday(_WEEKDAYS.index(found.group(2)), called_on, following=" next " in found.group(0))
    if found := _DAY_ALONE.search(normal):
        return _day_of_month(_day(found.group(1)), called_on)
    if re.search(r" (?:today|tonight|this (?:morning|afternoon|evening)|(?:by the )?end of (?:the )?day) ", normal):
        return called_on
    for found in _SPAN.finditer(normal):
        if found.group(1) or found.group(5):
            return _after(found, called_on)
    return None


def _after(found: re.Match[str], called_on: date) -> date | None:
    count, unit = _count(found.group(2)), found.group(4)
    if unit == "hour":
        return called_on + timedelta(days=count // 24)
    if unit == "day" and found.group(3):
        day = called_on
        while count > 0:
            day += timedelta(1)
            count -= day.weekday() < 5
        return day
    days = {"day": 1, "week": 7, "month": 30}[unit] * count
    return called_on + timedelta(days) if days <= 366 else None


def _count(words: str) -> int:
    if words.isdigit():
        return int(words)
    if words in {"a", "an"}:
        return 1
    if words.endswith("couple of"):
        return 2
    first, _, second = words.partition(" ")
    if first in _TENS:
        return _TENS[first] + (_UNITS.index(second) if second else 0)
    return _UNITS.index(words)


def _day(words: str) -> int:
    if words[0].isdigit():
        return int(re.sub(r"\D", "", words))
    if words == "thirtieth":
        return 30
    tens, _, ordinal = words.rpartition(" ")
    return _TENS.get(tens, 0) + _ORDINALS.index(ordinal)


def _next_weekday(weekday: int, called_on: date, *, following: bool) -> date:
    days = (weekday - called_on.weekday()) % 7 or 7
    if following and called_on.weekday() + days < 7:
        days += 7  # 'next Friday', said on a Monday, is not this week's
    return called_on + timedelta(days)


def _month_day(month: int, day: int, called_on: date) -> date | None:
    for year in (called_on.year, called_on.year + 1):
        if 1 <= day <= monthrange(year, month)[1] and date(year, month, day) >= called_on:
            return date(year, month, day)
    return None


def _day_of_month(day: int, called_on: date) -> date | None:
    year, month = called_on.year, called_on.month
    for _ in range(3):
        if 1 <= day <= monthrange(year, month)[1] and date(year, month, day) >= called_on:
            return date(year, month, day)
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return None
