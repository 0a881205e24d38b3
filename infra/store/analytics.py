"""Figures over many calls."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

BOARD_COUNTS: Final = """
SELECT
    (SELECT count(*) FROM calls WHERE tenant_id = $1 AND status = 'live') AS live,
    (SELECT count(*) FROM calls c JOIN insights i ON i.call_id = c.id AND i.kind = 'complaint'
        WHERE c.tenant_id = $1 AND c.status = 'live' AND i.body -> 'is_complaint' = 'true') AS live_complaints,
    (SELECT count(*) FROM calls c JOIN insights i ON i.call_id = c.id AND i.kind = 'sentiment'
        WHERE c.tenant_id = $1 AND c.status = 'live' AND i.body ->> 'label' = 'negative') AS live_negative,
    (SELECT count(*) FROM insights WHERE tenant_id = $1 AND kind = 'action_item'
        AND body ->> 'status' = 'open') AS open_action_items,
    (SELECT count(*) FROM calls WHERE tenant_id = $1 AND status = 'ended'
        AND ended_at >= date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC') AS ended_today
"""
_CHOSEN: Final = """
WITH chosen AS (
    SELECT c.id, c.status, c.duration_ms, c.started_at,
        intent.body ->> 'label' AS intent, sentiment.body ->> 'label' AS sentiment,
        CASE jsonb_typeof(sentiment.body -> 'score') WHEN 'number'
            THEN (sentiment.body ->> 'score')::double precision END AS score,
        coalesce(complaint.body -> 'is_complaint' = 'true', false) AS is_complaint
    FROM calls c
    LEFT JOIN insights intent ON intent.call_id = c.id AND intent.kind = 'intent' AND intent.key = 'intent'
    LEFT JOIN insights sentiment
        ON sentiment.call_id = c.id AND sentiment.kind = 'sentiment' AND sentiment.key = 'sentiment'
    LEFT JOIN insights complaint
        ON complaint.call_id = c.id AND complaint.kind = 'complaint' AND complaint.key = 'complaint'
    WHERE c.tenant_id = $1 AND ($2::timestamptz IS NULL OR c.started_at >= $2)
        AND ($3::timestamptz IS NULL OR c.started_at < $3)
)
"""
TOTALS: Final = f"""{_CHOSEN}
SELECT count(*) AS calls, count(*) FILTER (WHERE status = 'live') AS live,
    count(*) FILTER (WHERE status = 'ended') AS ended,
    round(avg(duration_ms) FILTER (WHERE status = 'ended'))::bigint AS mean_duration_ms,
    count(*) FILTER (WHERE is_complaint) AS complaints,
    avg(CASE WHEN is_complaint THEN 1.0 ELSE 0.0 END)::double precision AS complaint_rate
FROM chosen
"""  # noqa: S608  (only our own query is put in)
INTENTS: Final = f"""{_CHOSEN}
SELECT intent AS label, count(*) AS calls FROM chosen WHERE intent IS NOT NULL
GROUP BY intent ORDER BY calls DESC, intent LIMIT 50
"""  # noqa: S608  (the same)
SENTIMENTS: Final = f"""{_CHOSEN}
SELECT sentiment AS label, count(*) AS calls FROM chosen WHERE sentiment IS NOT NULL GROUP BY sentiment
"""  # noqa: S608  (the same)
DAYS: Final = f"""{_CHOSEN}
SELECT to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, count(*) AS calls,
    count(*) FILTER (WHERE is_complaint) AS complaints, avg(score) AS mean_sentiment
FROM chosen GROUP BY day ORDER BY day DESC LIMIT 400
"""  # noqa: S608  (the same)


class AnalyticsStore:
    """Reads figures; a span without an end is open."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def board(self, tenant_id: UUID) -> asyncpg.Record:
        """Return the wallboard's figures as of now."""
        row = await self._pool.fetchrow(BOARD_COUNTS, tenant_id)
        assert row is not None
        return row

    async def totals(self, tenant_id: UUID, begin: datetime | None, end: datetime | None) -> asyncpg.Record:
        """Return the figures of the calls that began in a span."""
        row = await self._pool.fetchrow(TOTALS, tenant_id, begin, end)
        assert row is not None
        return row

    async def intents(self, tenant_id: UUID, begin: datetime | None, end: datetime | None) -> list[asyncpg.Record]:
        """Return (label, calls), the most frequent first."""
        return await self._pool.fetch(INTENTS, tenant_id, begin, end)

    async def sentiments(self, tenant_id: UUID, begin: datetime | None, end: datetime | None) -> dict[str, int]:
        """Return how many calls felt how."""
        return {row["label"]: row["calls"] for row in await self._pool.fetch(SENTIMENTS, tenant_id, begin, end)}

    async def days(self, tenant_id: UUID, begin: datetime | None, end: datetime | None) -> list[asyncpg.Record]:
        """Return (day, calls, complaints, mean_sentiment), the newest day first."""
        return await self._pool.fetch(DAYS, tenant_id, begin, end)
