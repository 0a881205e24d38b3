"""How English numbers are written: amounts, dates, times, sequences of digits; small counts stay words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Final

from workers.asr.written import addresses, spelling
from workers.asr.written.grammar import Grammar
from workers.asr.written.reading import Lexicon, Number, read, runs
from workers.asr.written.tokens import Edit, Token

_UNITS: Final = {
    word: str(value) for value, word in enumerate("zero one two three four five six seven eight nine".split())
}
_REPEATS: Final = {"double": 2, "triple": 3, "treble": 3}
_MAGNITUDES: Final = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_KEPT: Final = frozenset({"million", "billion", "trillion"})
_MONTHS: Final = frozenset(
    "january february march april may june july august september october november december".split()
)
_VERBS_TOO: Final = frozenset({"may", "march"})
_WEEKDAYS: Final = frozenset("monday tuesday wednesday thursday friday saturday sunday today tomorrow tonight".split())
_HOURS_FROM: Final = frozenset("at by around until till before from between".split())
_YEARS_FROM: Final = frozenset("in since of year by until from before after during late early circa".split()) | _MONTHS
_PRICED: Final = frozenset("paid pay pays cost costs for charged spent".split())
_DAYTIMES: Final = frozenset("tonight today tomorrow sharp".split())
_SEQUENCE_NOUNS: Final = frozenset(
    "number numbers code pin cvv account card ending ends extension digits digit zip zipcode phone reference "
    "flight room apartment unit postcode id serial dial press".split()
)
_LOOK_BACK: Final = 6
_MEASURES: Final = frozenset(
    "minute minutes hour hours day days week weeks month months year years second seconds people times miles percent "
    "dollar dollars pound pounds euro euros cents things items pieces degrees feet inches meters bucks or to of".split()
)
_SIGNS: Final = {
    **dict.fromkeys(("dollar", "dollars"), "$"),
    **dict.fromkeys(("euro", "euros"), "€"),
    **dict.fromkeys(("pound", "pounds"), "£"),
}
_CENTS: Final = {
    "$": frozenset({"cent", "cents"}),
    "€": frozenset({"cent", "cents"}),
    "£": frozenset({"penny", "pence", "p"}),
}
_CHANGE: Final = frozenset("cent cents pence bucks buck".split())
_WEIGHTS: Final = frozenset(
    "weigh weighs weighed weighing weight lost lose losing gained ounce ounces heavy pounder".split()
)
_AFTER_AMOUNT: Final = frozenset("please and for a an per on to from is was i we you so but or if".split())
_FRACTIONS: Final = frozenset("half quarter third quarters thirds".split())
_ZERO_LEADS_NOT: Final = frozenset("i my no okay ok well that sorry and yes yeah wait".split())

LEXICON: Final = Lexicon(
    language="en",
    units=_UNITS,
    magnitudes=_MAGNITUDES,
    many=frozenset(f"{magnitude}s" for magnitude in _MAGNITUDES),
    ands={"and": frozenset(_MAGNITUDES)},
    zeros=frozenset({"oh", "o"}),
    point="point",
    repeats=_REPEATS,
)


def numbers(text: str, tokens: Sequence[Token], taken: frozenset[int]) -> Iterator[Edit]:
    """Yield the changes that write the numbers of a text, in order; tokens in `taken` are left alone."""
    found = [number for number in read(tokens, LEXICON) if taken.isdisjoint(range(number.start, number.end))]
    yield from _English(text, tokens, _decimals(_seconds(found, tokens), tokens)).edits()


def _seconds(found: Sequence[Number], tokens: Sequence[Token]) -> list[Number]:
    """Take 'a thirty second call' for thirty, not for the 32nd."""
    read_anew = []
    for number in found:
        last = number.end - 1
        of = number.end < len(tokens) and tokens[number.end].low == "of"
        dated = number.start > 0 and tokens[number.start - 1].low in {"the", *_MONTHS}
        if number.ordinal and tokens[last].low == "second" and number.end - number.start > 1 and not (of or dated):
            read_anew.append(Number(number.start, last, str(int(number.value) - 2)))
        else:
            read_anew.append(number)
    return read_anew


def _decimals(found: Sequence[Number], tokens: Sequence[Token]) -> list[Number]:
    """Join 'three', 'point', 'one four' to 3.14."""
    found = [part for number in found for part in _before_magnitude(number, tokens)]
    joined: list[Number] = []
    index = 0
    while index < len(found):
        number = found[index]
        index += 1
        point = number.start - 1
        if (
            point < 0
            or tokens[point].low != "point"
            or number.ordinal
            or not tokens[number.start].near
            or number.literal
        ):
            joined.append(number)
            continue
        before = joined[-1] if joined and joined[-1].end == point and tokens[point].near else None
        digits, end = number.digits, number.end
        while number.single and index < len(found) and found[index].start == end and found[index].single:
            if not tokens[end].near:
                break
            digits, end, index = digits + found[index].digits, found[index].end, index + 1
        whole = before is not None and before.digits.isdigit() and not before.ordinal
        if before is not None and before.digits == "1" and before.start > 0 and tokens[before.start - 1].low == "at":
            whole = False  # at one point two people left
        if before is not None and whole and (number.single or len(digits) == 2):
            joined[-1] = Number(before.start, end, f"{before.digits}.{digits}")
        elif before is None and number.single and _is_share(tokens, point, end):
            joined.append(Number(point, end, f"0.{digits}"))
        else:
            joined.append(number)
            index = next((at for at, other in enumerate(found) if other.start >= number.end), len(found))
    return joined


def _before_magnitude(number: Number, tokens: Sequence[Token]) -> list[Number]:
    """Cut the 'five million' of 'two point five million' in two."""
    words = [token.low for token in tokens[number.start : number.end]]
    pointed = number.start > 0 and tokens[number.start - 1].low == "point"
    if pointed and len(words) == 2 and words[0] in _UNITS and words[1] in _KEPT:
        middle = number.start + 1
        digit = Number(number.start, middle, _UNITS[words[0]], single=True)
        return [digit, Number(middle, number.end, str(_MAGNITUDES[words[1]]))]
    return [number]


def _is_share(tokens: Sequence[Token], point: int, end: int) -> bool:
    """Whether 'point five' stands on its own: point five percent, but not 'at that point five percent'."""
    apart = point == 0 or tokens[point - 1].low not in {
        "this",
        "that",
        "the",
        "some",
        "one",
        "a",
        "which",
        "what",
        "my",
    }
    return apart and end < len(tokens) and tokens[end].near and tokens[end].low in {"percent", "per"}


class _English:
    """Decides for each number of a text what it is a part of."""

    def __init__(self, text: str, tokens: Sequence[Token], found: Sequence[Number]) -> None:
        self._text = text
        self._tokens = tokens
        self._rows = runs(found, tokens)
        self._done = 0
        """Tokens before it are written already."""
        self._timed_to = -1
        """Where the last time of day ended."""

    def edits(self) -> Iterator[Edit]:
        for row in self._rows:
            sequence = self._sequence(row)
            if sequence is not None:
                yield from sequence
                continue
            for group in row:
                if group[0].start >= self._done:
                    yield from self._group(group)

    def _group(self, group: Sequence[Number]) -> Iterator[Edit]:
        dated = self._date(group)
        if dated:
            yield self._write(dated[0])
            group = group[1:]
            if not group:
                return
        elif len(group) > 1 and group[0].ordinal:
            yield from self._group(group[:1])
            yield from self._group(group[1:])
            return
        edits = (
            self._always(group)
            or self._year(group, dated=bool(dated))
            or self._time(group)
            or self._amount(group)
            or self._percent(group)
            or self._count(group)
        )
        for edit in edits:
            yield self._write(edit)

    def _write(self, edit: tuple[int, int, str]) -> Edit:
        start, end, written = edit
        self._done = max(self._done, end)
        return Edit(self._tokens[start].start, self._tokens[end - 1].end, written)

    def _low(self, index: int, *, near: bool = True) -> str:
        """Return the word at a place, '' where there is none or where a mark keeps it apart from the one before."""
        if not 0 <= index < len(self._tokens):
            return ""
        return self._tokens[index].low if self._tokens[index].near or not near or index == 0 else ""

    def _before(self, index: int) -> str:
        """Return the word before a place, '' where there is none or a mark stands between."""
        return self._tokens[index - 1].low if 0 < index < len(self._tokens) and self._tokens[index].near else ""

    # ---- digits in a row

    def _sequence(self, row: Sequence[Sequence[Number]]) -> list[Edit] | None:
        groups = [list(group) for group in row]
        if any(number.ordinal or "." in number.digits for group in groups for number in group):
            return None
        self._trim_zeros(groups)
        if not groups:
            return None
        named = self._named(groups[0][0].start)
        plain = [number for group in groups for number in group]
        if not self._is_sequence(groups, plain, named=named):
            return None
        if any(len(group) == 1 and group[0].single for group in groups):
            groups = [plain]
        edits = []
        for group in groups:
            start, digits = group[0].start, "".join(_piece(group, self._tokens))
            if self._before(start) == "plus" and len(digits) >= 7:
                start, digits = start - 1, f"+{digits}"
            if not (len(group) == 1 and group[0].literal):
                edits.append(self._write((start, group[-1].end, digits)))
        return edits

    def _trim_zeros(self, groups: list[list[Number]]) -> None:
        """Take off an 'oh' that is an exclamation: 'Oh, one two three', 'five five six oh I see'."""
        if len(groups[0]) == 1 and self._is_oh(groups[0][0]):
            groups.pop(0)
        if groups and self._is_oh(groups[-1][-1]):
            alone = len(groups[-1]) == 1
            if alone or self._low(groups[-1][-1].end) in _ZERO_LEADS_NOT:
                groups[-1].pop()
        groups[:] = [group for group in groups if group]

    def _is_oh(self, number: Number) -> bool:
        return self._tokens[number.start].low in LEXICON.zeros

    def _is_sequence(self, groups: Sequence[Sequence[Number]], plain: Sequence[Number], *, named: bool) -> bool:
        if any(number.literal and not number.single for number in plain) or all(number.literal for number in plain[:1]):
            return all(number.single and number.literal for number in plain) and len(plain) >= 4 and len(groups) == 1
        following = self._low(plain[-1].end)
        if following in _SIGNS or following in {"percent", "per", "million", "am", "pm", "o'clock"}:
            return False
        if len(groups) == 1 and len(plain) > 1 and self._clock(plain) and self._is_time(plain):
            return False
        length = sum(len(number.digits) for number in plain)
        if all(number.single for number in plain):
            counting = length == 3 and [int(b.digits) - int(a.digits) for a, b in pairwise(plain)] == [1, 1]
            apart = len(groups) > 1 and len(groups) == len(plain)
            return length >= (2 if named else 4 if apart else 3) and (named or not counting)
        if len(groups) > 1 and not any(len(group) > 2 for group in groups):
            return False
        if following in _MEASURES or self._before(plain[0].start) in _MONTHS:
            return False
        rising = all(a.value < b.value for a, b in pairwise(plain))
        if named:
            return len(plain) >= 2
        return len(plain) >= 4 and any(number.single for number in plain) and not rising

    def _named(self, start: int) -> bool:
        """Whether a word before says that digits are to come: my number is ..."""
        for index in range(start - 1, max(-1, start - 1 - _LOOK_BACK), -1):
            if self._tokens[index].low in _SEQUENCE_NOUNS:
                return True
            if self._tokens[index].opens_sentence:
                return False
        return False

    # ---- dates, years, times

    def _date(self, group: Sequence[Number]) -> list[tuple[int, int, str]]:
        """Return the day of a month: May twenty first, the fifth of June."""
        day = group[0]
        if day.literal or not 1 <= day.value <= 31 or "." in day.digits:
            return []
        after_month = self._before(day.start)
        if after_month in _MONTHS and self._is_month(day.start - 1) and not self._is_year(group):
            if len(group) > 1 and not (group[1].value >= 18 or group[1].single is False):
                return []
            return [(day.start, day.end, day.digits)]
        following = self._low(day.end)
        of = following == "of" and self._low(day.end + 1) in _MONTHS
        if day.ordinal and len(group) == 1 and (of or (following in _MONTHS and self._is_month(day.end))):
            return [(day.start, day.end, day.digits)]
        return []

    def _is_month(self, index: int) -> bool:
        """Tell May from 'it may'."""
        token = self._tokens[index]
        if token.low not in _VERBS_TOO:
            return True
        return token.text.istitle() or self._before(index) in {"in", "of", "on", "until", "by", "since", "last", "next"}

    def _is_year(self, group: Sequence[Number]) -> bool:
        if len(group) == 1:
            return len(group[0].digits) == 4
        return len(group) == 2 and group[0].digits in {"18", "19", "20"} and _two_digits(group[1])

    def _year(self, group: Sequence[Number], *, dated: bool) -> list[tuple[int, int, str]]:
        """Nineteen ninety nine, twenty twenty four, nineteen oh five."""
        if len(group) not in {2, 3} or any(number.ordinal or number.literal for number in group):
            return []
        century, rest = group[0], "".join(number.digits for number in group[1:])
        if len(rest) != 2 or len(century.digits) != 2 or (len(group) == 3 and rest[0] != "0") or rest == "00":
            return []
        before = self._before(century.start)
        named = dated or before in _YEARS_FROM or self._after_day(century.start)
        measured = self._low(group[-1].end) in _MEASURES - {"or", "to", "of"}
        likely = century.digits in {"18", "19"} or (century.digits == "20" and (named or 10 <= int(rest) <= 39))
        if measured or not (likely or (named and 11 <= int(century.digits) <= 17)):
            return []
        if before == "at" or (before in _PRICED and not dated):
            return []
        return [(century.start, group[-1].end, century.digits + rest)]

    def _after_day(self, start: int) -> bool:
        """Whether the word before, behind a comma, is a day: May fifth, twenty twenty."""
        return start >= 2 and self._tokens[start].after_comma and self._done == start

    def _always(self, group: Sequence[Number]) -> list[tuple[int, int, str]]:
        if [number.digits for number in group] == ["24", "7"]:
            return [(group[0].start, group[-1].end, "24/7")]
        return []

    def _time(self, group: Sequence[Number]) -> list[tuple[int, int, str]]:
        """Two thirty p.m., at nine oh five, five o'clock, between ten thirty and eleven fifteen."""
        clock = self._clock(group)
        if clock is None:
            return []
        start, end = group[0].start, group[-1].end
        half = self._half_of_day(end)
        if half is not None:
            written = [(start, end, clock)] if not all(number.literal for number in group) else []
            edits = [*written, *([half] if half[2] else [])]
        elif (self._low(end) == "o'clock" and len(group) == 1 and not group[0].literal) or (
            len(group) > 1 and self._is_time(group)
        ):
            edits = [(start, end, clock)]
        else:
            return []
        self._timed_to = end if half is None else half[1]
        return edits

    def _is_time(self, group: Sequence[Number]) -> bool:
        start, end = group[0].start, group[-1].end
        following, before = self._low(end), self._before(start)
        if following in _SIGNS or following in {"percent", "cents"}:
            return False
        if int(group[0].value) > 12:
            return before == "at"
        if before in {"to", "and", "or"} and self._timed_to == start - 1:
            return True
        if following == "in" and self._low(end + 2) in {"morning", "afternoon", "evening"}:
            return True
        return before in _HOURS_FROM | _WEEKDAYS or following in _DAYTIMES

    def _clock(self, group: Sequence[Number]) -> str | None:
        """Return the time of day that a group could be: 2:30, 9:05, 11."""
        hour = group[0]
        if hour.ordinal or not hour.digits.isdigit() or len(hour.digits) > 2 or not 1 <= int(hour.digits) <= 24:
            return None
        if hour.single and len(hour.digits) > 1:
            return None
        minutes = "".join(number.digits for number in group[1:])
        if not minutes:
            return hour.digits
        paired = len(group) == 2 and not group[1].single
        if (
            (paired or (len(group) == 3 and minutes[0] == "0"))
            and len(minutes) == 2
            and minutes.isdigit()
            and minutes < "60"
        ):
            return f"{int(hour.digits)}:{minutes}"
        return None

    def _half_of_day(self, index: int) -> tuple[int, int, str] | None:
        """Return how to write the a.m. or p.m. at a place: '' where it stands as people write it."""
        low = self._low(index)
        if low in {"am", "pm"}:
            return index, index + 1, ""
        if low in {"a", "p"} and index + 1 < len(self._tokens) and self._tokens[index + 1].low == "m":
            gap = self._tokens[index + 1].gap
            if gap == ".":
                return index, index + 2, ""
            if gap in {" ", ". "}:
                stop = self._text[self._tokens[index + 1].end :].startswith(".")
                return index, index + 2, f"{low}.m" + ("" if stop else ".")
        return None

    # ---- amounts and counts

    def _amount(self, group: Sequence[Number]) -> list[tuple[int, int, str]]:
        number, head = group[0], ""
        end = number.end
        kept = self._magnitude_after(group)
        if kept is None and len(group) > 1:
            return []
        if kept is not None:
            head, end = kept
        sign = _SIGNS.get(self._low(end))
        if sign is None:
            return self._change(number) if len(group) == 1 else []
        if sign == "£" and self._is_weight(end):
            return []
        start = number.start
        bare = self._is_bare(number)
        if bare and (self._before(start) != "a" or self._before(start - 1) in {"of", "half", "quarter"}):
            return []
        if kept is not None:
            return [(start, end - 1, f"{sign}{head}"), (end - 1, end + 1, self._tokens[end - 1].text)]
        if bare and self._tokens[end - 1].low in _KEPT:
            return [(start - 1, start, f"{sign}1"), (start, end + 1, self._tokens[end - 1].text)]
        if self._before(start) == "a" and self._tokens[start].low in _MAGNITUDES:
            start -= 1
        amount = number.digits if number.literal or "." in number.digits else f"{int(number.value):,}"
        whole = "." not in amount
        if not whole and len(amount.partition(".")[2]) == 1:
            amount += "0"
        cents = self._cents(end + 1, sign) if whole else None
        if cents is not None:
            return [(start, cents[0], f"{sign}{amount}.{cents[1]}")]
        return [(start, end + 1, sign + amount)]

    def _change(self, number: Number) -> list[tuple[int, int, str]]:
        """Five cents, twenty bucks: digits, and the word stays."""
        if self._low(number.end) in _CHANGE and not number.literal and not number.ordinal and not self._is_bare(number):
            return [(number.start, number.end, number.digits)]
        return []

    def _cents(self, index: int, sign: str) -> tuple[int, str] | None:
        """Return where the cents end that begin at a place, and their two digits."""
        said_and = self._low(index) == "and"
        index += said_and
        number = next((n for row in self._rows for group in row for n in group if n.start == index), None)
        if (
            number is None
            or not self._tokens[index].near
            or not number.digits.isdigit()
            or not 1 <= int(number.digits) <= 99
        ):
            return None
        if self._low(number.end) in _CENTS[sign]:
            return number.end + 1, f"{int(number.digits):02}"
        after = self._low(number.end)
        if not said_and and not number.literal and int(number.digits) > 9 and (not after or after in _AFTER_AMOUNT):
            return number.end, number.digits
        return None

    def _is_weight(self, index: int) -> bool:
        around = self._tokens[max(0, index - 8) : index + 5]
        return any(token.low in _WEIGHTS for token in around) or self._low(index + 1) == "of"

    def _is_bare(self, number: Number) -> bool:
        """Whether it is a magnitude alone: hundred."""
        return number.end == number.start + 1 and self._tokens[number.start].low in _MAGNITUDES

    def _magnitude_after(self, group: Sequence[Number]) -> tuple[str, int] | None:
        """Return what is written before a million that stays a word, and where the number ends: 2.5 million."""
        number = group[0]
        last = group[-1]
        if len(group) == 2 and self._is_bare(last) and self._tokens[last.start].low in _KEPT and _is_count(number):
            return number.digits, last.end
        if len(group) > 1 or number.end - number.start < 2 or self._tokens[number.end - 1].low not in _KEPT:
            return None
        if self._tokens[number.start].low in _MAGNITUDES or not number.digits.isdigit():
            return None
        count = Decimal(number.digits) / _MAGNITUDES[self._tokens[number.end - 1].low]
        return (f"{int(count):,}", number.end) if count == int(count) and count < 1000 else None

    def _percent(self, group: Sequence[Number]) -> list[tuple[int, int, str]]:
        number = group[0]
        if len(group) > 1 or number.ordinal:
            return []
        end = number.end
        following = self._low(end)
        if following == "percent":
            end += 1
        elif following == "per" and self._low(end + 1) == "cent":
            end += 2
        else:
            return []
        start = number.start
        if self._tokens[start].low in _MAGNITUDES and self._before(start) == "a":
            start -= 1
        return [(start, end, f"{number.digits}%")]

    def _count(self, group: Sequence[Number]) -> list[tuple[int, int, str]]:
        """Return a number of ten or more in digits, a smaller one only in a range with such a one."""
        kept = self._magnitude_after(group)
        if kept is not None:
            end = kept[1]
            return [] if group[0].literal else [(group[0].start, end - 1, kept[0])]
        number = group[0]
        if len(group) > 1 or number.literal:
            return []
        if number.ordinal:
            return self._ordinal(number)
        start = number.start
        if self._is_bare(number):
            return []
        if "." in number.digits:
            return [(start, number.end, number.digits)]
        if self._is_clock_phrase(number) or (self._low(number.end) == "and" and self._low(number.end + 1) == "a"):
            return []
        if number.is_small:
            return [(start, number.end, number.digits)] if self._in_range(number) else []
        if number.single or number.value < 10:
            return []
        if self._tokens[start].low in _MAGNITUDES:
            if self._before(start) != "a":
                return []
            start -= 1
        value = int(number.value)
        return [(start, number.end, f"{value:,}" if value >= 10_000 else str(value))]

    def _ordinal(self, number: Number) -> list[tuple[int, int, str]]:
        counted = any(n.end == number.start for row in self._rows for group in row for n in group)
        if number.value < 10 or counted or not number.digits.endswith(("st", "nd", "rd", "th")):
            return []
        if self._tokens[number.start].low in _MAGNITUDES or (number.start + 1 == number.end and number.value >= 100):
            return []
        return [(number.start, number.end, number.digits)]

    def _is_clock_phrase(self, number: Number) -> bool:
        """Half past ten, ten to five, quarter to eleven stay words."""
        if self._low(number.end) == "past" or self._before(number.start) == "past":
            return True
        if self._low(number.end) == "to":
            hour = self._alone(start=number.end + 1)
            return hour is not None and hour.is_small and hour.value < number.value
        if self._before(number.start) == "to":
            return self._low(number.start - 2, near=False) in _FRACTIONS
        return False

    def _in_range(self, number: Number) -> bool:
        """Whether it is one end of a range that has digits at its other: five to ten days."""
        if number.digits == "1" and self._low(number.end) != "to":
            return False
        joint = self._low(number.end)
        if joint in {"to", "or"}:
            other = self._alone(start=number.end + 1)
        elif self._before(number.start) == "or" and self._before(number.start - 1):
            other = self._alone(end=number.start - 1)
        else:
            return False
        return other is not None and other.value >= 10 and not other.ordinal and not self._is_bare(other)

    def _alone(self, *, start: int = -1, end: int = -1) -> Number | None:
        """Return the number that begins or ends at a place, if no other stands beside it."""
        for row in self._rows:
            for group in row:
                if len(group) == 1 and (group[0].start == start or group[0].end == end):
                    return group[0]
        return None


def _two_digits(number: Number) -> bool:
    return len(number.digits) == 2 and number.digits.isdigit()


def _is_count(number: Number) -> bool:
    return not number.ordinal and number.digits.replace(".", "").isdigit()


def _piece(group: Sequence[Number], tokens: Sequence[Token]) -> Iterator[str]:
    """Yield the digits of a group; 'eight hundred five' before more digits is 800 and 5."""
    for index, number in enumerate(group):
        words = [token.low for token in tokens[number.start : number.end]]
        more = index + 1 < len(group) and group[index + 1].single
        if more and len(words) == 3 and words[1] == "hundred" and words[0] in _UNITS and words[2] in _UNITS:
            yield f"{_UNITS[words[0]]}00{_UNITS[words[2]]}"
        else:
            yield number.digits


_ADDRESSES: Final = addresses.Spoken(
    marks={"dot": ".", "dash": "-", "hyphen": "-", "underscore": "_", "plus": "+"},
    at=frozenset({"at", "sign"}),
    slash=frozenset({"slash"}),
    units={**_UNITS, "oh": "0"},
    repeats=_REPEATS,
)
_SPELLING: Final = spelling.Spoken(
    repeats=_REPEATS,
    units=_UNITS,
    zeros=frozenset({"oh"}),
    words=frozenset({"a", "i", "I", "o"}),
    going_on=frozenset(
        "think said say am was have had would will can could want need guess believe know just do don't did hope mean "
        "live got don't also really".split()
    ),
    lower_case=True,
)

GRAMMAR: Final = Grammar(addresses=_ADDRESSES, spelling=_SPELLING, numbers=numbers)
