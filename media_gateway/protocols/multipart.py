"""Multipart bodies as SIP carries them: several documents, a line of dashes and a boundary before each.

Source: RFC 2046, section 5.1, as RFC 5621 uses it. No I/O.

What the wire really does: lines end in CRLF or in a bare LF; a part's own Content-Length is often wrong, so the
boundaries alone decide; the last boundary may be missing; part headers come in any case, folded, and in SIP's short
forms; a nested multipart is opened up.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from typing import Final

MAX_PARTS: Final = 32
MAX_DEPTH: Final = 3
"""Multiparts within multiparts."""
MAX_HEADERS_BYTES: Final = 8192
"""All headers of one part."""

_LONG_FORMS: Final = {"c": "content-type", "e": "content-encoding", "l": "content-length"}
_PARAMETER: Final = re.compile(r";\s*([^\s;=\"]+)\s*=\s*(\"(?:[^\"\\]|\\.)*\"|[^\s;\"]*)")
_HEADER: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:(.*)", re.DOTALL)
_LINE: Final = re.compile(rb"\r\n|\n")


class MultipartError(ValueError):
    """The body cannot be taken apart. `str(error)` is one short sentence without anything that the peer sent."""


@dataclass(frozen=True, slots=True)
class Part:
    """One document of a body."""

    headers: dict[str, str]
    """By lower-case long name; of a header that comes twice the first counts."""
    content: bytes
    """As it was meant: a transfer encoding is undone."""

    @property
    def media_type(self) -> str:
        """Lower case, without parameters; text/plain where nothing is said (RFC 2046, section 5.1)."""
        return media_type(self.headers.get("content-type", "text/plain"))

    @property
    def disposition(self) -> str:
        """Lower case, without parameters; empty where nothing is said."""
        return media_type(self.headers.get("content-disposition", ""))


def media_type(value: str) -> str:
    """Return a Content-Type's or Content-Disposition's value without parameters, in lower case."""
    return value.partition(";")[0].strip().lower()


def parameter(value: str, name: str) -> str | None:
    """Return a parameter of a Content-Type or Content-Disposition, unquoted; None if it has none of that name."""
    for found in _PARAMETER.finditer(value):
        if found[1].lower() == name:
            text = found[2]
            return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text
    return None


def split_body(content_type: str, body: bytes) -> tuple[Part, ...]:
    """Return the parts of a body in their order; a body that is no multipart is one part.

    Raises:
        MultipartError: there is no boundary, no part, or too much of something.
    """
    parts: list[Part] = []
    _split(Part({"content-type": content_type}, body), parts, MAX_DEPTH)
    return tuple(parts)


def _split(whole: Part, parts: list[Part], depth: int) -> None:
    if not whole.media_type.startswith("multipart/"):
        if len(parts) == MAX_PARTS:
            raise MultipartError("too many parts")
        parts.append(whole)
        return
    if depth == 0:
        raise MultipartError("multiparts too deep in each other")
    boundary = parameter(whole.headers["content-type"], "boundary")
    pieces = _between(whole.content, boundary.encode("utf-8", "surrogateescape") if boundary else None)
    if not pieces:
        raise MultipartError("the boundary does not occur in the body")
    if len(pieces) > MAX_PARTS:
        raise MultipartError("too many parts")
    for piece in pieces:
        _split(_part(piece), parts, depth - 1)


def _between(body: bytes, boundary: bytes | None) -> list[bytes]:
    """Return what lies between the delimiter lines; without the preamble and the epilogue."""
    pieces: list[bytes] = []
    begin: int | None = None
    position = 0
    while position <= len(body):
        found = _LINE.search(body, position)
        line = body[position : found.start() if found else len(body)]
        if boundary is None and line.startswith(b"--"):  # the header does not say: the first such line does
            boundary = line[2:].rstrip(b" \t") or None
        if boundary is not None and line.startswith(b"--" + boundary):
            rest = line[2 + len(boundary) :].rstrip(b" \t\r\0")
            if rest in {b"", b"--"}:
                if begin is not None:
                    pieces.append(_without_line_end(body[begin:position]))
                if rest or len(pieces) > MAX_PARTS:
                    return pieces
                begin = found.end() if found else len(body)
        if found is None:
            break
        position = found.end()
    if begin is not None and body[begin:].strip():
        pieces.append(body[begin:])
    return pieces


def _without_line_end(piece: bytes) -> bytes:
    """The line end before a delimiter belongs to the delimiter."""
    if piece.endswith(b"\r\n"):
        return piece[:-2]
    return piece.removesuffix(b"\n")


def _part(piece: bytes) -> Part:
    headers: dict[str, str] = {}
    position = 0
    lines: list[str] = []
    while True:
        found = _LINE.search(piece, position, position + MAX_HEADERS_BYTES)
        line = piece[position : found.start() if found else len(piece)]
        if position + len(line) > MAX_HEADERS_BYTES:
            raise MultipartError("a part with too long headers")
        position = found.end() if found else len(piece)
        if not line.strip():
            break
        text = line.decode("utf-8", "replace")
        if text[0] in " \t" and lines:
            lines[-1] += f" {text.strip()}"
        else:
            lines.append(text)
        if found is None:
            break
    for text in lines:
        header = _HEADER.fullmatch(text)
        if header is None:
            raise MultipartError("a part's header without a colon")
        name = header[1].lower()
        headers.setdefault(_LONG_FORMS.get(name, name), header[2].strip())
    return Part(headers, _decoded(piece[position:], headers.get("content-transfer-encoding", "").lower()))


def _decoded(content: bytes, encoding: str) -> bytes:
    try:
        if encoding == "base64":
            return binascii.a2b_base64(content)
        if encoding == "quoted-printable":
            return binascii.a2b_qp(content)
    except binascii.Error:
        raise MultipartError("a part that is not in its transfer encoding") from None
    return content
