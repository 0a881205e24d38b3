"""Permission for one call, told beforehand: an id that a sender is given, and that opens one stream, once.

For senders that can show nothing but such an id (Asterisk's AudioSocket): who calls whom was said when it was made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID, uuid4

import msgspec

LIFE_S: Final = 120
"""How long an id waits for its call."""
_MAX_NUMBER_CHARS: Final = 90


class Kept(Protocol):
    """Where grants wait: known to every gateway (infra.bus.presence.Presence)."""

    async def keep_grant(self, name: str, grant: bytes, life_s: int) -> None:
        """Remember a grant for a while."""

    async def take_grant(self, name: str) -> bytes | None:
        """Return a grant, once."""


@dataclass(frozen=True, slots=True)
class CallGrant:
    """What a call was announced as."""

    tenant_id: UUID
    from_number: str | None = None
    to_number: str | None = None


class _Claims(msgspec.Struct, array_like=True):
    tenant_id: UUID
    from_number: str | None
    to_number: str | None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Claims).decode


class CallGrants:
    """Gives out ids, and takes them back."""

    def __init__(self, kept: Kept, *, life_s: int = LIFE_S) -> None:
        self._kept = kept
        self._life_s = life_s

    async def give(self, grant: CallGrant) -> UUID:
        """Return a new id for a call that is about to come. Over-long numbers are cut short."""
        call_id = uuid4()
        claims = _Claims(grant.tenant_id, _cut(grant.from_number), _cut(grant.to_number))
        await self._kept.keep_grant(str(call_id), _encode(claims), self._life_s)
        return call_id

    async def take(self, call_id: UUID) -> CallGrant | None:
        """Return what an id was given out for, once; None for any other."""
        kept = await self._kept.take_grant(str(call_id))
        if kept is None:
            return None
        claims = _decode(kept)
        return CallGrant(claims.tenant_id, claims.from_number, claims.to_number)


def _cut(number: str | None) -> str | None:
    return "".join(filter(str.isprintable, number or "")).strip()[:_MAX_NUMBER_CHARS] or None
