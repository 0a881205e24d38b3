"""Who may send us calls' audio: tokens of the role sender (or admin), and their end when they are revoked."""

from __future__ import annotations

import asyncio
import hmac
import itertools
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID

from infra.model import DEFAULT_TENANT, UserRole
from infra.store.database import StoreAway
from infra.store.users import API_TOKEN_USER_ID, CredentialKind, User, digest
from infra.telemetry import logger

log = logger(__name__)

MAY_SEND: Final[frozenset[UserRole]] = frozenset({"sender", "admin"})

_MAX_SECRET_CHARS: Final = 512
_LOOKUP_S: Final = 2.0
_LOOKUPS: Final = 8
"""At once; strangers who guess wait for each other, not the calls."""
_WATCH_S: Final = 1.0
_WATCH_ALL: Final = 30
"""Every so many looks also tokens without a stream are looked up, so that none is trusted that was revoked."""
_TRUSTED_S: Final = 3600.0
"""How long a token that was valid is still taken for valid while PostgreSQL is away."""
_REMEMBERED: Final = 1024


class NobodyKnowsError(Exception):
    """PostgreSQL is away: nobody can tell whose token it is."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Somebody who has shown a valid token."""

    user_id: UUID | None
    """None: HEARLINE_API_TOKEN, which is nobody's."""
    tenant_id: UUID
    role: UserRole
    digest: bytes

    @property
    def may_send(self) -> bool:
        """Return whether the token opens media streams."""
        return self.role in MAY_SEND


class Users(Protocol):
    """Where tokens are known (infra.store.users.UserStore)."""

    async def find(self, secret: str, kind: CredentialKind) -> User | None:
        """Return whose valid secret this is."""

    async def still_valid(self, digests: set[bytes]) -> set[bytes]:
        """Return which of these secrets (their digests) may still be used."""


class Senders:
    """The tokens that open media streams. One for all doors; `run` for as long as the server does."""

    def __init__(self, users: Users, *, api_token: str | None = None) -> None:
        self._users = users
        self._api_token = api_token.encode() if api_token else None
        self._lookups = asyncio.Semaphore(_LOOKUPS)
        self._seen: OrderedDict[bytes, tuple[float, Sender]] = OrderedDict()
        self._held: dict[bytes, list[Callable[[], Awaitable[None]]]] = {}

    async def find(self, token: str) -> Sender | None:
        """Return whose valid token this is; whether it `may_send` is another question.

        Raises:
            NobodyKnowsError: it cannot be looked up now.
        """
        if not token or len(token) > _MAX_SECRET_CHARS or not token.isascii():
            return None
        key = digest(token)
        if self._api_token is not None and hmac.compare_digest(token.encode(), self._api_token):
            return Sender(None, DEFAULT_TENANT, "admin", key)
        try:
            async with asyncio.timeout(_LOOKUP_S), self._lookups:
                user = await self._users.find(token, "token")
        except StoreAway as error:
            return self._seen_lately(key, error)
        if user is None:
            self._seen.pop(key, None)
            return None
        sender = Sender(None if user.id == API_TOKEN_USER_ID else user.id, user.tenant_id, user.role, key)
        self._seen[key] = (time.monotonic(), sender)
        self._seen.move_to_end(key)
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return sender

    @contextmanager
    def held(self, sender: Sender, cut_off: Callable[[], Awaitable[None]]) -> Iterator[None]:
        """Have `cut_off` called should the token be revoked meanwhile."""
        streams = self._held.setdefault(sender.digest, [])
        streams.append(cut_off)
        try:
            yield
        finally:
            streams.remove(cut_off)
            if not streams:
                self._held.pop(sender.digest, None)

    async def run(self) -> None:
        """Notice for ever which tokens were revoked."""
        own = digest(self._api_token.decode()) if self._api_token is not None else b""
        for look in itertools.count(1):
            await asyncio.sleep(_WATCH_S)
            asked = set(self._held) - {own}
            if look % _WATCH_ALL == 0:
                asked.update(self._seen)
            if not asked:
                continue
            try:
                async with asyncio.timeout(_LOOKUP_S):
                    valid = await self._users.still_valid(asked)
            except StoreAway as error:
                log.debug("tokens not checked", error=type(error).__name__)
                continue
            await self._end(asked - valid)

    async def _end(self, revoked: set[bytes]) -> None:
        async with asyncio.TaskGroup() as group:
            for key in revoked:
                self._seen.pop(key, None)
                for cut_off in list(self._held.get(key, ())):
                    group.create_task(_carry_out(cut_off))

    def _seen_lately(self, key: bytes, error: Exception) -> Sender:
        seen = self._seen.get(key)
        if seen is None or time.monotonic() - seen[0] > _TRUSTED_S:
            raise NobodyKnowsError from error
        return seen[1]


async def _carry_out(cut_off: Callable[[], Awaitable[None]]) -> None:
    try:
        await cut_off()
    except (OSError, TimeoutError) as error:  # its peer is gone already
        log.debug("stream not cut off", error=type(error).__name__)
    except Exception:  # the outer loop: one stream's fault must not keep the others, nor the watch, from going on
        log.exception("stream not cut off")
