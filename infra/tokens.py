"""One-time tokens that let a media stream in and tell it which call it carries.

A TwiML answer names the media socket and hands it such a token; the stream brings it back in its `start` message.
A token is opaque to everyone else (AES-256-GCM, RFC 5116), says until when it holds and opens one stream only.
"""

from __future__ import annotations

import os
import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from infra.model import DEFAULT_TENANT, stable_id

MAX_TOKEN_CHARS: Final = 450
"""A TwiML `<Parameter>` holds fewer than 500 characters, its name included."""

_NONCE_BYTES: Final = 12
_MAX_NUMBER_BYTES: Final = 90
_MAX_SID_BYTES: Final = 64
_PURPOSE: Final = b"hearline stream token 1"
_DOOR: Final = "twilio"
_CLIENT: Final = re.compile(r"[0-9a-f]{32}")


class TokenError(Exception):
    """A token that is forged, damaged, out of date or used up. `str(error)` says which and holds no secret."""


class Spent(Protocol):
    """Remembers which tokens have been used."""

    async def spend(self, token_id: str, ttl_s: int) -> bool:
        """Mark a token as used for `ttl_s` seconds; False if it was used already."""


class SpentHere:
    """`Spent` in this process's memory: right for one process, and when the shared memory cannot be reached.

    When full it forgets the token that would have run out first.
    """

    def __init__(self, max_tokens: int = 10_000, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._max_tokens = max_tokens
        self._clock_s = clock_s
        self._until_s: dict[str, float] = {}

    async def spend(self, token_id: str, ttl_s: int) -> bool:
        """Mark a token as used; False if it was used already."""
        now_s = self._clock_s()
        if self._until_s.get(token_id, now_s) > now_s:
            return False
        if len(self._until_s) >= self._max_tokens:
            self._until_s = {key: until for key, until in self._until_s.items() if until > now_s}
        if len(self._until_s) >= self._max_tokens:
            del self._until_s[min(self._until_s, key=self._until_s.__getitem__)]
        self._until_s[token_id] = now_s + ttl_s
        return True


@dataclass(frozen=True, slots=True)
class StreamGrant:
    """What a token says: the call that its stream carries, and how."""

    call_id: UUID
    call_sid: str
    from_number: str | None = None
    to_number: str | None = None
    tenant_id: UUID = DEFAULT_TENANT
    bridged: bool = False
    """Whether we answer the caller over this stream; otherwise Twilio carries the conversation and we listen."""
    returning: bool = False
    """Whether the call has been here before and its stream broke."""
    recorded: bool = True
    """Whether its number's calls may be recorded."""


class _Claims(msgspec.Struct, array_like=True):
    call_id: bytes
    tenant_id: bytes
    expires_s: int
    call_sid: str
    from_number: str | None
    to_number: str | None
    bridged: bool = False
    returning: bool = False
    recorded: bool = True


_encode_claims = msgspec.msgpack.Encoder().encode
_decode_claims = msgspec.msgpack.Decoder(_Claims).decode


def twilio_call_id(call_sid: str, tenant_id: UUID = DEFAULT_TENANT) -> UUID:
    """Return the id of the call behind a CallSid: the same on every machine and at every repetition."""
    return stable_id(_DOOR, tenant_id, call_sid)


def client_identity(user_id: UUID) -> str:
    """Return what Twilio's Voice SDK calls a user: its names hold letters, digits and underscores only."""
    return user_id.hex


def user_of_client(target: str) -> UUID | None:
    """Return the user behind Twilio's `client:NAME`; None for anything else."""
    name = target.removeprefix("client:")
    if name == target or not _CLIENT.fullmatch(name):
        return None
    return UUID(hex=name)


class StreamTokens:
    """Seals and opens stream tokens with a key drawn from the server's secret."""

    def __init__(
        self, secret: str, spent: Spent, *, ttl_s: int = 300, clock_s: Callable[[], float] = time.time
    ) -> None:
        """`ttl_s`: how long a token holds, in seconds; long enough for a greeting before the stream.

        Raises:
            ValueError: the secret is shorter than 16 characters.
        """
        if len(secret) < 16:
            raise ValueError("the secret for stream tokens needs at least 16 characters")
        key = HKDF(SHA256(), length=32, salt=None, info=_PURPOSE).derive(secret.encode())
        self._cipher = AESGCM(key)
        self._spent = spent
        self._ttl_s = ttl_s
        self._clock_s = clock_s

    def seal(self, grant: StreamGrant) -> str:
        """Return a new token of at most `MAX_TOKEN_CHARS` URL-safe characters. Over-long numbers are cut short.

        Raises:
            ValueError: the CallSid is longer than 64 bytes.
        """
        if len(grant.call_sid.encode()) > _MAX_SID_BYTES:
            raise ValueError("a CallSid of more than 64 bytes")
        claims = _Claims(
            call_id=grant.call_id.bytes,
            tenant_id=grant.tenant_id.bytes,
            expires_s=int(self._clock_s()) + self._ttl_s,
            call_sid=grant.call_sid,
            from_number=_cut(grant.from_number),
            to_number=_cut(grant.to_number),
            bridged=grant.bridged,
            returning=grant.returning,
            recorded=grant.recorded,
        )
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, _encode_claims(claims), _PURPOSE)
        return urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii")

    async def redeem(self, token: str) -> StreamGrant:
        """Open a token and use it up.

        Raises:
            TokenError: it is not one of ours, has run out, or was used before.
        """
        claims, token_id = self._open(token)
        left_s = claims.expires_s - int(self._clock_s())
        if left_s <= 0:
            raise TokenError("the stream token has run out")
        if not await self._spent.spend(token_id, left_s + 1):
            raise TokenError("the stream token was used before")
        return StreamGrant(
            call_id=UUID(bytes=claims.call_id),
            call_sid=claims.call_sid,
            from_number=claims.from_number,
            to_number=claims.to_number,
            tenant_id=UUID(bytes=claims.tenant_id),
            bridged=claims.bridged,
            returning=claims.returning,
            recorded=claims.recorded,
        )

    def _open(self, token: str) -> tuple[_Claims, str]:
        if not token.isascii() or len(token) > MAX_TOKEN_CHARS:
            raise TokenError("not a stream token")
        try:
            sealed = urlsafe_b64decode(token + "=" * (-len(token) % 4))
            nonce = sealed[:_NONCE_BYTES]
            if len(sealed) <= _NONCE_BYTES + 16:
                raise TokenError("not a stream token")
            claims = _decode_claims(self._cipher.decrypt(nonce, sealed[_NONCE_BYTES:], _PURPOSE))
        except (ValueError, InvalidTag):
            raise TokenError("not a stream token") from None
        return claims, nonce.hex()


def _cut(number: str | None) -> str | None:
    if number is None:
        return None
    return number.encode("utf-8", "ignore")[:_MAX_NUMBER_BYTES].decode("utf-8", "ignore")
