"""What a request asks for, checked once; a refusal names the parameter."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec
from aiohttp import web

from dashboard.calls import as_uuid
from dashboard.problem import Problem, bad_parameter

T = TypeVar("T")

TEXT_MAX_CHARS: Final = 200
CURSOR_MAX_CHARS: Final = 400
_FIELD: Final = re.compile(r"at `\$\.(\w{1,80})|field `(\w{1,80})`$")
_EXPECTED: Final = re.compile(
    r"Expected `(?P<kind>[^`]+)`(?P<length> of length)?(?: (?P<way>[<>]=) (?P<bound>[\d.]+))?"
)
_KINDS: Final = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
}
FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LAST: Final = datetime(2200, 1, 1, tzinfo=UTC)


def text(request: web.Request, name: str, *, most: int = TEXT_MAX_CHARS) -> str | None:
    """Return a text of the query, None when it is empty or not there."""
    value = request.query.get(name, "").strip()
    if len(value) > most:
        raise bad_parameter(name, f"is longer than {most} characters")
    if not value.isprintable():
        raise bad_parameter(name, "holds characters that cannot be printed")
    return value or None


def choice(request: web.Request, name: str, allowed: tuple[str, ...], default: str | None = None) -> str | None:
    """Return one of a few words."""
    value = request.query.get(name, "") or default
    if value is not None and value not in allowed:
        raise bad_parameter(name, f"is none of {', '.join(allowed)}")
    return value


def limit(request: web.Request, *, default: int, most: int) -> int:
    """Return how many items are wanted: at least 1; more than `most` gives `most`."""
    value = request.query.get("limit")
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and len(value) <= 18) or int(value) == 0:
        raise bad_parameter("limit", "is not a whole number above 0")
    return min(int(value), most)


def moment(request: web.Request, name: str) -> datetime | None:
    """Return a moment (RFC 3339, or a day); without a zone it is UTC."""
    value = request.query.get(name)
    if not value:
        return None
    try:
        found = datetime.fromisoformat(value.replace(" ", "+"))  # an unescaped + arrives as a blank
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise bad_parameter(name, "is neither a moment such as 2026-01-31T09:00:00Z nor a day") from None
    if not FIRST <= found <= LAST:
        raise bad_parameter(name, "is not within the years 1970 to 2200")
    return found


def span(request: web.Request) -> tuple[datetime | None, datetime | None]:
    """Return `from` and `to`."""
    begin, end = moment(request, "from"), moment(request, "to")
    if begin and end and begin > end:
        raise bad_parameter("to", "is before from")
    return begin, end


def position(request: web.Request, kind: type[T]) -> T | None:
    """Return the place behind which a list goes on, from the `next` that an earlier page gave."""
    value = request.query.get("after")
    if not value:
        return None
    try:
        if len(value) > CURSOR_MAX_CHARS:
            raise ValueError
        return msgspec.json.decode(base64.b64decode(value, altchars=b"-_", validate=True), type=kind)
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise bad_parameter("after", "is not the `next` of an earlier page") from None


def place(value: Any) -> str:
    """Return the `next` of a page that ends at this place."""
    return base64.b64encode(msgspec.json.encode(value), altchars=b"-_").decode()


def path_uuid(request: web.Request, name: str) -> UUID:
    """Return the UUID in the address."""
    found = as_uuid(request.match_info[name])
    if found is None:
        raise bad_parameter(name, "is not a UUID")
    return found


async def body(request: web.Request, kind: type[T]) -> T:
    """Return the JSON body. Raises Problem 400, 413 or 415."""
    if request.content_type != "application/json":
        raise Problem(415, "send the body as application/json")
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        told = str(error)
        named = _FIELD.search(told)
        name = named[1] or named[2] if named else "body"
        raise bad_parameter(name, in_words(told)) from None


def in_words(told: str) -> str:
    """Return what msgspec says of a body as people say it; behind the name of what is wrong."""
    if "unknown field" in told:
        return "is not known here"
    if "missing required" in told:
        return "is missing"
    if told.startswith("Invalid UUID"):
        return "is not a UUID"
    found = _EXPECTED.match(told)
    if found is None:
        return "has a value that is not allowed" if "at `$" in told else "is not JSON"
    kind, length, bound = found["kind"], found["length"], found["bound"]
    thing = "one in it " if "[" in told.rpartition("$")[2] and "$" in told else ""
    if bound is not None:
        what = {"str": "characters", "array": "entries"}.get(kind, "") if length else ""
        least = "at least" if found["way"] == ">=" else "at most"
        return f"{thing}has to {'have' if length else 'be'} {least} {bound} {what}".rstrip()
    return f"{thing}has to be {_KINDS.get(kind, kind)}"
