"""Callers who wait to hear from us: a call-back they asked for, or a message they left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, get_args
from uuid import UUID

import asyncpg

from infra.model import DEFAULT_TENANT, stable_id
from infra.store.users import API_TOKEN_USER_ID

CallbackKind = Literal["callback", "voicemail"]
CallbackStatus = Literal["open", "done", "dismissed"]
CALLBACK_STATUSES: Final[tuple[str, ...]] = get_args(CallbackStatus)

ADD_CALLBACK: Final = """
INSERT INTO callbacks (id, tenant_id, call_id, queue_id, number, kind, requested_at)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING id
"""
_COLUMNS: Final = """
    b.id, b.call_id, b.queue_id, q.name AS queue, b.number, b.kind, b.status, b.requested_at, b.done_by,
    u.name AS done_by_name, b.done_at
"""
LIST_CALLBACKS: Final = f"""
SELECT {_COLUMNS} FROM callbacks b LEFT JOIN queues q ON q.id = b.queue_id LEFT JOIN users u ON u.id = b.done_by
WHERE b.tenant_id = $1 AND ($2::text IS NULL OR b.status = $2)
    AND ($3::timestamptz IS NULL OR (b.requested_at, b.id) < ($3, $4::uuid))
ORDER BY b.requested_at DESC, b.id DESC LIMIT $5
"""  # noqa: S608  (only our own column list is put in)
CHANGE_CALLBACK: Final = f"""
WITH b AS (
    UPDATE callbacks SET status = $3, done_by = CASE WHEN $3 = 'open' THEN NULL ELSE $4::uuid END,
        done_at = CASE WHEN $3 = 'open' THEN NULL ELSE now() END
    WHERE tenant_id = $1 AND id = $2 RETURNING *
)
SELECT {_COLUMNS} FROM b LEFT JOIN queues q ON q.id = b.queue_id LEFT JOIN users u ON u.id = b.done_by
"""  # noqa: S608  (the same)


@dataclass(frozen=True, slots=True)
class Callback:
    """A caller who waits to hear from us."""

    call_id: UUID
    kind: CallbackKind
    requested_at: datetime
    number: str | None = None
    """None: withheld."""
    queue_id: UUID | None = None
    tenant_id: UUID = DEFAULT_TENANT

    @property
    def id(self) -> UUID:
        return stable_id("callback", self.call_id, self.kind)


class CallbackStore:
    """Reads and writes of callbacks."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def add(self, callback: Callback) -> bool:
        """Store a callback; False when the call had one of that kind before."""
        stored = await self._pool.fetchval(
            ADD_CALLBACK,
            callback.id,
            callback.tenant_id,
            callback.call_id,
            callback.queue_id,
            callback.number,
            callback.kind,
            callback.requested_at,
        )
        return stored is not None

    async def page(
        self, tenant_id: UUID, *, status: str | None = None, after: tuple[datetime, UUID] | None = None, limit: int = 50
    ) -> list[asyncpg.Record]:
        """Return callbacks, the newest first, behind (requested_at, id) when given.

        Each is (id, call_id, queue_id, queue, number, kind, status, requested_at, done_by, done_by_name, done_at).
        """
        requested_at, callback_id = after or (None, None)
        return await self._pool.fetch(LIST_CALLBACKS, tenant_id, status, requested_at, callback_id, limit)

    async def change(
        self, tenant_id: UUID, callback_id: UUID, status: CallbackStatus, user_id: UUID
    ) -> asyncpg.Record | None:
        """Store what became of a callback and who says so; return it as `page` does, None for an unknown one."""
        by = None if user_id == API_TOKEN_USER_ID else user_id
        return await self._pool.fetchrow(CHANGE_CALLBACK, tenant_id, callback_id, status, by)
