"""Messages out of a byte stream (RFC 3261, section 18.3) and its keep-alives (RFC 5626, section 4.4.1)."""

from __future__ import annotations

import re
from typing import Final

from media_gateway.protocols.sip.grammar import SipError, bad
from media_gateway.protocols.sip.message import MAX_MESSAGE_BYTES

PING: Final = b"\r\n\r\n"
PONG: Final = b"\r\n"

_LENGTH: Final = re.compile(
    rb"^(?:content-length|l)[ \t]*:(?:[ \t]|\r\n[ \t])*(\d+)(?:[ \t]|\r\n[ \t])*(?:\r\n(?![ \t])|\Z)",
    re.IGNORECASE | re.MULTILINE,
)
_ANY_LENGTH: Final = re.compile(rb"^(?:content-length|l)[ \t]*:", re.IGNORECASE | re.MULTILINE)


class StreamReader:
    """Cuts one connection's bytes into messages, whatever pieces they come in.

    `feed` returns whole messages, `PING` for each keep-alive that wants a pong, and `PONG` for half of one, which is
    how a pong looks. Where the stream cannot be cut any more, `broken` says why; close the connection then.
    """

    __slots__ = ("_buffer", "_half", "_max_bytes", "_searched", "_size", "broken")

    def __init__(self, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self.broken: SipError | None = None
        self._buffer = bytearray()
        self._half = False
        self._searched = self._size = 0
        self._max_bytes = max_bytes

    @property
    def is_inside_message(self) -> bool:
        """Whether a message has begun and not ended: a peer may be given only so long for that."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Take what came; return what is complete. Never holds more than one message and one `data`."""
        if self.broken is not None:
            return []
        self._buffer += data
        found: list[bytes] = []
        try:
            while self._buffer:
                piece = self._next()
                if piece is None:
                    break
                found.append(piece)
        except SipError as error:
            self.broken = error
            self._buffer.clear()
        return found

    def _next(self) -> bytes | None:
        if self._buffer[0] in b"\r\n":
            return self._keep_alive()
        self._half = False
        if not self._size:
            end = self._buffer.find(b"\r\n\r\n", max(self._searched - 3, 0))
            self._searched = len(self._buffer)
            if end >= 0:
                self._size = end + 4 + _content_length(bytes(self._buffer[: end + 2]), self._max_bytes)
            if (self._size or len(self._buffer)) > self._max_bytes:
                raise SipError(513, "Message Too Large")
        if not self._size or len(self._buffer) < self._size:
            return None
        message = bytes(self._buffer[: self._size])
        del self._buffer[: self._size]
        self._searched = self._size = 0
        return message

    def _keep_alive(self) -> bytes | None:
        if self._buffer[:1] == b"\n":
            raise bad("line end")
        if len(self._buffer) < 2:
            return None
        if self._buffer[:2] != PONG:
            raise bad("line end")
        del self._buffer[:2]
        self._half = not self._half
        return PONG if self._half else PING


def _content_length(head: bytes, max_bytes: int) -> int:
    lengths = {int(found[:9]) for found in _LENGTH.findall(head)}
    if len(lengths) > 1 or len(_LENGTH.findall(head)) != len(_ANY_LENGTH.findall(head)):
        raise bad("Content-Length")
    length = lengths.pop() if lengths else 0
    if length > max_bytes:
        raise SipError(513, "Message Too Large")
    return length
