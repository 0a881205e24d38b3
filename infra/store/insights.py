"""What the calls meant."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import asyncpg

from infra.model import Insight, stable_id

UPSERT_INSIGHT: Final = """
INSERT INTO insights (id, tenant_id, call_id, kind, key, body, evidence, source)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (call_id, kind, key) DO UPDATE
SET body = excluded.body || insights.edits, evidence = excluded.evidence, source = excluded.source,
    revision = insights.revision + 1, updated_at = now()
WHERE insights.body IS DISTINCT FROM excluded.body || insights.edits OR insights.source <> excluded.source
    OR insights.evidence <> excluded.evidence
RETURNING id, call_id, kind, body, evidence, source, revision, updated_at
"""
EDIT_INSIGHT: Final = """
UPDATE insights SET body = body || $4, edits = edits || $4, revision = revision + 1, updated_at = now()
WHERE tenant_id = $1 AND id = $2 AND kind = $3
RETURNING id, call_id, kind, body, evidence, source, revision, updated_at
"""
INSIGHTS_OF_CALL: Final = """
SELECT id, call_id, kind, key, body, evidence, source, revision, updated_at, edits <> '{}' AS edited
FROM insights WHERE call_id = $1 ORDER BY kind, created_at, id
"""


class InsightStore:
    """Reads and writes of insights; what people edited stays edited."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def put(
        self,
        tenant_id: UUID,
        call_id: UUID,
        *,
        kind: str,
        key: str,
        body: dict[str, Any],
        evidence: tuple[UUID, ...],
        source: str,
    ) -> Insight | None:
        """Store a finding; return it with its new revision, None when nothing about it changed."""
        insight_id = stable_id("insight", call_id, kind, key)
        values = insight_id, tenant_id, call_id, kind, key, body, list(evidence), source
        try:
            row = await self._pool.fetchrow(UPSERT_INSIGHT, *values)
        except asyncpg.UniqueViolationError:  # ON CONFLICT sees one index; another who stores it now came by the other
            row = await self._pool.fetchrow(UPSERT_INSIGHT, *values)
        return _insight(row) if row else None

    async def edit(self, tenant_id: UUID, insight_id: UUID, kind: str, changes: dict[str, Any]) -> Insight | None:
        """Apply a person's changes to an insight's body; None when there is no such insight."""
        row = await self._pool.fetchrow(EDIT_INSIGHT, tenant_id, insight_id, kind, changes)
        return _insight(row) if row else None

    async def of_call(self, call_id: UUID) -> list[Insight]:
        """Return the insights of a call by kind."""
        return [_insight(row) for row in await self._pool.fetch(INSIGHTS_OF_CALL, call_id)]

    async def keys_of_call(self, call_id: UUID) -> dict[tuple[str, str], Insight]:
        """Return the insights of a call by (kind, key)."""
        rows = await self._pool.fetch(INSIGHTS_OF_CALL, call_id)
        return {(row["kind"], row["key"]): _insight(row) for row in rows}


def insight_to_json(insight: Insight) -> dict[str, Any]:
    """Return an insight as events and the API show it (CONTRACT: Events)."""
    return {
        "insight_id": insight.id,
        "kind": insight.kind,
        "body": insight.body,
        "evidence": list(insight.evidence),
        "source": insight.source,
        "revision": insight.revision,
        "updated_at": insight.updated_at,
    }


def _insight(row: asyncpg.Record) -> Insight:
    return Insight(
        id=row["id"],
        call_id=row["call_id"],
        kind=row["kind"],
        body=row["body"],
        evidence=tuple(row["evidence"]),
        source=row["source"],
        revision=row["revision"],
        updated_at=row["updated_at"],
    )
