"""Requests and responses: read, checked and written (RFC 3261, sections 7 and 20)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from media_gateway.protocols.sip.grammar import (
    TOKEN,
    Address,
    SipError,
    Uri,
    Via,
    bad,
    parse_address,
    parse_uri,
    parse_via,
    split_list,
)

MAX_MESSAGE_BYTES: Final = 65_536
MAX_HEADERS: Final = 256
MAX_VALUES: Final = 128
"""Of one name: more hops than that nothing takes (Max-Forwards begins at 70)."""
MAX_LINE_BYTES: Final = 16_384

_COMPACT: Final = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}
"""RFC 3261, section 7.3.3, and the registry of the extensions."""

_SINGLE: Final = frozenset({"from", "to", "call-id", "cseq", "max-forwards", "content-length", "content-type"})
"""Those of which two make a message ambiguous."""
_HEADER: Final = re.compile(rf"({TOKEN})[ \t]*:(.*)", re.DOTALL)
_REQUEST_LINE: Final = re.compile(rf"({TOKEN}) ([^ ]+) (SIP/[0-9]+\.[0-9]+)", re.IGNORECASE)
_STATUS_LINE: Final = re.compile(r"(SIP/[0-9]+\.[0-9]+) ([0-9]+) ?(.*)", re.IGNORECASE | re.DOTALL)
_CSEQ: Final = re.compile(rf"([0-9]+)[ \t]+({TOKEN})")
_CALL_ID: Final = re.compile(r"\S+")
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Headers:
    """The header fields of a message in their order; names in any case, compact or long."""

    __slots__ = ("_values", "lines")

    def __init__(self, lines: Iterable[tuple[str, str]] = ()) -> None:
        self.lines: tuple[tuple[str, str], ...] = tuple(lines)
        """(name as it came, value without folding)."""
        self._values: dict[str, list[str]] = {}
        for name, value in self.lines:
            self._values.setdefault(long_name(name), []).append(value)

    def get(self, name: str) -> str | None:
        """Return the first field of this (long) name; None where there is none."""
        found = self._values.get(name.lower())
        return found[0] if found else None

    def all(self, name: str) -> list[str]:
        """Return every field of this (long) name, as they stand."""
        return list(self._values.get(name.lower(), ()))

    def values(self, name: str) -> list[str]:
        """Return every value of this (long) name, lists taken apart.

        Raises:
            SipError: a list is malformed or too long.
        """
        found = [part for value in self._values.get(name.lower(), ()) if value.strip() for part in split_list(value)]
        if len(found) > MAX_VALUES:
            raise SipError(400, "Too Much Header")
        return found

    def tokens(self, name: str) -> frozenset[str]:
        """Return the values of a list of tokens, in lower case; what is malformed is left out."""
        parts = (part.partition(";")[0].strip().lower() for v in self.all(name) for part in v.split(","))
        return frozenset(part for part in parts if part)

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._values

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.lines)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self.lines == other.lines

    def __hash__(self) -> int:
        return hash(self.lines)

    def __repr__(self) -> str:
        return f"Headers({self.lines!r})"


def long_name(name: str) -> str:
    """Return a header's long name in lower case."""
    lower = name.lower()
    return _COMPACT.get(lower, lower)


@dataclass(frozen=True, slots=True, repr=False)
class _Message:
    headers: Headers
    body: bytes
    vias: tuple[Via, ...]
    """The last hop first."""
    sender: Address
    """From."""
    to: Address
    call_id: str
    cseq: int
    method: str
    """The request's, or for a response the one in CSeq."""

    @property
    def content_type(self) -> str:
        """The body's type with its parameters; empty where there is none."""
        return self.headers.get("content-type") or ""

    @property
    def media_type(self) -> str:
        """The body's type alone, in lower case: `application/sdp`."""
        return self.content_type.partition(";")[0].strip().lower()

    def addresses(self, name: str) -> list[Address]:
        """Return a list of addresses: Contact, Route, Record-Route, P-Asserted-Identity.

        Raises:
            SipError: one is malformed.
        """
        return [parse_address(value) for value in self.headers.values(name)]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.method} {self.cseq}>"  # whom it is about is nothing for logs

    def __bytes__(self) -> bytes:
        return serialise(self.start_line, self.headers, self.body)

    @property
    def start_line(self) -> str:
        """The first line, without its end."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, repr=False)
class Request(_Message):
    """A request whose mandatory headers are there and well-formed."""

    uri: Uri

    @property
    def start_line(self) -> str:
        """The request line."""
        return f"{self.method} {self.uri} SIP/2.0"


@dataclass(frozen=True, slots=True, repr=False)
class Response(_Message):
    """A response whose mandatory headers are there and well-formed."""

    status: int
    reason: str

    @property
    def start_line(self) -> str:
        """The status line."""
        return f"SIP/2.0 {self.status} {self.reason}"


class Malformed(SipError):
    """A request that cannot be taken, with what of it a response needs (RFC 3261, section 8.2.6.2)."""

    def __init__(self, error: SipError, headers: Headers, method: str) -> None:
        super().__init__(error.status, error.reason)
        self.headers = headers
        self.method = method
        """Empty for a response and for what is no SIP at all: those get no answer."""


def parse_message(data: bytes) -> Request | Response:
    """Read one whole message: a datagram, or what `StreamReader` cut out of a stream.

    Empty lines before it and bytes behind its Content-Length are ignored (RFC 3261, sections 7.5 and 18.3); the empty
    line behind the headers may be missing where there is no body, as some senders have it.

    Raises:
        SipError: it is malformed; `Malformed` where an answer can say so.
    """
    data = data.lstrip(b"\r\n")
    if len(data) > MAX_MESSAGE_BYTES:
        raise SipError(513, "Message Too Large")
    head, gap, body = data.partition(b"\r\n\r\n")
    if not gap and not head.endswith(b"\r\n"):
        raise bad("message: no end of the headers")
    # Folded lines first; bytes that are not UTF-8 come back out as they were.
    text = re.sub(r"\r\n[ \t]+", " ", head.decode("utf-8", "surrogateescape"))
    start, *lines = text.rstrip("\r\n").split("\r\n")
    status = _STATUS_LINE.fullmatch(start)
    method = "" if status else start.partition(" ")[0]
    headers, wrong = _headers(lines)
    try:
        if wrong is not None or _CONTROLS.search(start):
            raise wrong or bad("start line")
        if status is not None:
            return _response(status, headers, body)
        return _request(start, headers, body)
    except SipError as error:
        raise Malformed(error, headers, method) from None


def _headers(lines: list[str]) -> tuple[Headers, SipError | None]:
    """Return the fields that can be sent back, and what is wrong with the others."""
    found: list[tuple[str, str]] = []
    wrong: SipError | None = None
    for line in lines:
        matched = _HEADER.fullmatch(line)
        if _CONTROLS.search(line):
            wrong = bad("header: control character")
        elif len(line) > MAX_LINE_BYTES or len(found) >= MAX_HEADERS:
            wrong = SipError(400, "Too Much Header")
            break
        elif matched is not None:  # a line that is no header is ignored, as is one of an unknown name
            found.append((matched[1], matched[2].strip()))
    return Headers(found), wrong


def _request(start: str, headers: Headers, body: bytes) -> Request:
    line = _REQUEST_LINE.fullmatch(start)
    if line is None:
        raise bad("request line")
    method, target, version = line.groups()
    if version.upper() != "SIP/2.0":
        raise SipError(505, "Version Not Supported")
    uri = parse_uri(target)
    if uri.headers:
        raise bad("URI: headers in a Request-URI")
    vias, sender, to, call_id, cseq, named = _essentials(headers)
    if named != method:
        raise bad("CSeq: another method")
    hops = headers.get("max-forwards")
    if hops is not None and not (hops.isascii() and hops.isdigit() and int(hops[:9]) <= 255):
        raise bad("Max-Forwards")
    for value in headers.values("contact"):
        if value != "*":
            parse_address(value)
    return Request(headers, _body(headers, body), vias, sender, to, call_id, cseq, method, uri)


def _response(status: re.Match[str], headers: Headers, body: bytes) -> Response:
    version, code, reason = status.groups()
    if version.upper() != "SIP/2.0" or len(code) != 3 or not 100 <= int(code) <= 699:
        raise bad("status line")
    vias, sender, to, call_id, cseq, method = _essentials(headers)
    return Response(headers, _body(headers, body), vias, sender, to, call_id, cseq, method, int(code), reason.strip())


def _essentials(headers: Headers) -> tuple[tuple[Via, ...], Address, Address, str, int, str]:
    for name in _SINGLE:
        if len(headers.all(name)) > 1:
            raise bad(f"message: {name} twice")
    vias = tuple(parse_via(value) for value in headers.values("via"))
    if not vias:
        raise SipError(400, "Missing Via")
    sender, to = (parse_address(_needed(headers, name)) for name in ("From", "To"))
    call_id = _needed(headers, "Call-ID")
    if not _CALL_ID.fullmatch(call_id):
        raise bad("Call-ID")
    cseq = _CSEQ.fullmatch(_needed(headers, "CSeq"))
    if cseq is None or len(cseq[1]) > 10 or int(cseq[1]) >= 2**31:
        raise bad("CSeq")
    return vias, sender, to, call_id, int(cseq[1]), cseq[2]


def _needed(headers: Headers, name: str) -> str:
    value = headers.get(name)
    if not value:
        raise SipError(400, f"Missing {name}")
    return value


def _body(headers: Headers, body: bytes) -> bytes:
    length = headers.get("content-length")
    if length is None:
        return body
    if not (length.isascii() and length.isdigit()) or len(length) > 9 or int(length) > len(body):
        raise bad("Content-Length")
    return body[: int(length)]


def serialise(start_line: str, headers: Iterable[tuple[str, str]], body: bytes = b"") -> bytes:
    """Return a message as it goes out. A Content-Length among `headers` is replaced by the body's.

    Raises:
        ValueError: a line holds a control character.
    """
    lines = [start_line]
    lines += [f"{name}: {value}" for name, value in headers if long_name(name) != "content-length"]
    lines.append(f"Content-Length: {len(body)}")
    if any(map(_CONTROLS.search, lines)):
        raise ValueError("a control character in a header")
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body
