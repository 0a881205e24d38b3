"""Who may come in: people and programs, their tokens, sessions and login links, and what they did."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal
from uuid import UUID, uuid4

import asyncpg

from infra.model import UserRole, utc_now

CredentialKind = Literal["token", "session", "login"]

ADD_USER: Final = """
INSERT INTO users (id, tenant_id, name, role) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id, name) DO UPDATE SET role = excluded.role
    WHERE (users.role = 'sender') = (excluded.role = 'sender')
RETURNING id, tenant_id, name, role
"""
ADD_CREDENTIAL: Final = """
INSERT INTO credentials (digest, tenant_id, user_id, kind, expires_at) VALUES ($1, $2, $3, $4, $5)
"""
FIND_USER: Final = """
SELECT u.id, u.tenant_id, u.name, u.role FROM credentials c JOIN users u ON u.id = c.user_id
WHERE c.digest = $1 AND c.kind = $2 AND c.revoked_at IS NULL AND (c.expires_at IS NULL OR c.expires_at > now())
"""
USE_ONCE: Final = """
UPDATE credentials c SET revoked_at = now() FROM users u
WHERE c.digest = $1 AND c.kind = $2 AND c.revoked_at IS NULL AND (c.expires_at IS NULL OR c.expires_at > now())
    AND u.id = c.user_id
RETURNING u.id, u.tenant_id, u.name, u.role
"""
STILL_VALID: Final = """
SELECT digest FROM credentials
WHERE digest = ANY($1::bytea[]) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
"""
LIST_USERS: Final = """
SELECT id, name, role, created_at FROM users WHERE tenant_id = $1 AND role <> 'sender' ORDER BY name LIMIT $2
"""
REVOKE: Final = "UPDATE credentials SET revoked_at = now() WHERE digest = $1 AND revoked_at IS NULL"
REVOKE_TOKENS: Final = """
UPDATE credentials c SET revoked_at = now() FROM users u
WHERE u.id = c.user_id AND u.tenant_id = $1 AND u.name = $2 AND c.kind = 'token' AND c.revoked_at IS NULL
"""
FORGET_EXPIRED: Final = "DELETE FROM credentials WHERE expires_at < now() - interval '1 day'"
ADD_AUDIT: Final = """
INSERT INTO audit_log (tenant_id, user_id, act, object_id, detail) VALUES ($1, $2, $3, $4, $5)
"""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may come in."""

    id: UUID
    tenant_id: UUID
    name: str
    role: UserRole


class NameTakenError(ValueError):
    """A person has the name that a sender was to get, or the other way round: its tokens would change what they may."""


class UserStore:
    """Reads and writes of users; secrets are kept as digests only."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def add(self, tenant_id: UUID, name: str, role: UserRole) -> User:
        """Add a user, or give the one of that name this role.

        Raises:
            NameTakenError: the one of that name is a person and this a sender, or the other way round.
        """
        row = await self._pool.fetchrow(ADD_USER, uuid4(), tenant_id, name, role)
        if row is None:
            raise NameTakenError("that name is a person's" if role == "sender" else "that name is a sender's")
        return _user(row)

    async def issue(self, user: User, kind: CredentialKind, *, life: timedelta | None = None) -> str:
        """Return a new secret for a user: shown once, stored as its digest."""
        secret = secrets.token_urlsafe(32)
        expires_at = utc_now() + life if life else None
        await self._pool.execute(ADD_CREDENTIAL, digest(secret), user.tenant_id, user.id, kind, expires_at)
        return secret

    async def find(self, secret: str, kind: CredentialKind) -> User | None:
        """Return whose valid secret this is."""
        row = await self._pool.fetchrow(FIND_USER, digest(secret), kind)
        return _user(row) if row else None

    async def use_once(self, secret: str, kind: CredentialKind) -> User | None:
        """Return whose valid secret this is, and make it invalid."""
        row = await self._pool.fetchrow(USE_ONCE, digest(secret), kind)
        return _user(row) if row else None

    async def still_valid(self, digests: set[bytes]) -> set[bytes]:
        """Return which of these secrets (their digests) may still be used."""
        return {row["digest"] for row in await self._pool.fetch(STILL_VALID, list(digests))}

    async def all(self, tenant_id: UUID, *, limit: int = 1000) -> list[asyncpg.Record]:
        """Return (id, name, role, created_at) of the people of a tenant by name."""
        return await self._pool.fetch(LIST_USERS, tenant_id, limit)

    async def revoke(self, secret: str) -> None:
        """Make a secret invalid."""
        await self._pool.execute(REVOKE, digest(secret))

    async def revoke_tokens(self, tenant_id: UUID, name: str) -> int:
        """Make all tokens of a user invalid; return how many there were."""
        return int((await self._pool.execute(REVOKE_TOKENS, tenant_id, name)).rpartition(" ")[2])

    async def forget_expired(self) -> None:
        """Remove secrets that ran out more than a day ago."""
        await self._pool.execute(FORGET_EXPIRED)

    async def audit(self, user: User, act: str, object_id: str, detail: dict[str, Any] | None = None) -> None:
        """Write down what somebody did."""
        await self._pool.execute(ADD_AUDIT, user.tenant_id, _user_id(user), act, object_id, detail or {})


def digest(secret: str) -> bytes:
    """Return what is stored of a secret; 256 random bits need no slow hash."""
    return hashlib.sha256(secret.encode()).digest()


API_TOKEN_USER_ID: Final = UUID(int=0)
"""The user behind HEARLINE_API_TOKEN, who has no row."""


def _user_id(user: User) -> UUID | None:
    return None if user.id == API_TOKEN_USER_ID else user.id


def _user(row: asyncpg.Record) -> User:
    return User(id=row["id"], tenant_id=row["tenant_id"], name=row["name"], role=row["role"])
