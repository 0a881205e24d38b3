"""What a wire protocol says when a peer breaks it."""

from __future__ import annotations

from enum import IntEnum


class CloseCode(IntEnum):
    """The WebSocket close codes that we send (RFC 6455, section 7.4.1)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    UNSUPPORTED = 1003
    """A kind of data that this endpoint does not take."""
    INVALID = 1007
    """Data that does not agree with its type: bad JSON, bad base64."""
    POLICY = 1008
    """Well-formed, but not allowed here and now."""
    TOO_BIG = 1009


class ProtocolError(Exception):
    """The peer broke the protocol; its socket is closed, other calls go on.

    `code` is the close code, `reason` a fixed short name for counters, `str(error)` the sentence sent to the peer:
    at most 123 bytes of ASCII (RFC 6455, section 5.5), never with anything that the peer sent.
    """

    def __init__(self, code: CloseCode, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
