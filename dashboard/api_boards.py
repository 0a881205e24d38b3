"""/api/v1: the figures over many calls, the people, and what runs."""

from __future__ import annotations

from typing import Final

import asyncpg
from aiohttp import web

from dashboard import params
from dashboard.api import answer
from dashboard.health import Health
from dashboard.snapshot import SnapshotReader
from dashboard.views import (
    Agent,
    Analytics,
    Board,
    BoardCounts,
    Day,
    IntentCount,
    LanguageModel,
    OverloadView,
    Page,
    System,
    call_summary,
)
from infra.bus import keys
from infra.settings import Settings
from infra.store.analytics import AnalyticsStore
from infra.store.calls import CallFilter
from infra.store.users import UserStore

LIVE_MOST: Final = 500


class BoardApi:
    """The operations that look at more than one call."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        snapshots: SnapshotReader,
        users: UserStore,
        health: Health,
        settings: Settings,
        version: str,
    ) -> None:
        self._figures = AnalyticsStore(pool)
        self._snapshots = snapshots
        self._users = users
        self._health = health
        self._settings = settings
        self._version = version

    async def get_live(self, request: web.Request) -> web.Response:
        """GET /api/v1/live: the wallboard."""
        tenant_id = request["user"].tenant_id
        cursor = await self._snapshots.cursor(keys.feed(tenant_id))
        rows = await self._snapshots.calls.page(tenant_id, CallFilter(status="live"), after=None, limit=LIVE_MOST)
        counts = await self._figures.board(tenant_id)
        return answer(Board(items=[call_summary(row) for row in rows], counts=BoardCounts(**counts), cursor=cursor))

    async def list_agents(self, request: web.Request) -> web.Response:
        """GET /api/v1/agents: who may come in."""
        rows = await self._users.all(request["user"].tenant_id)
        return answer(Page(items=[Agent(**row) for row in rows]))

    async def get_analytics(self, request: web.Request) -> web.Response:
        """GET /api/v1/analytics?from=&to=: figures of the calls that began then."""
        span = request["user"].tenant_id, *params.span(request)
        totals = await self._figures.totals(*span)
        return answer(
            Analytics(
                **totals,
                intents=[IntentCount(**row) for row in await self._figures.intents(*span)],
                sentiments=await self._figures.sentiments(*span),
                days=[Day(**row) for row in await self._figures.days(*span)],
            )
        )

    async def get_system(self, request: web.Request) -> web.Response:
        """GET /api/v1/system: what runs."""
        del request
        asr = await self._health.workers("asr")
        insights = await self._health.workers("insights")
        return answer(
            System(
                asr=asr,
                insights=insights,
                llm=self._language_model(insights),
                language=self._settings.asr_language,
                version=self._version,
                degraded=list(self._health.degraded),
                overload=OverloadView(
                    step=max((int(about.get("overload_step", 0)) for about in asr), default=0),
                    lag_ms=max((int(about.get("lag_ms", 0)) for about in asr), default=0),
                ),
            )
        )

    def _language_model(self, workers: list[dict[str, object]]) -> LanguageModel:
        """Return what the insight workers say of their model, else what the settings say."""
        for about in workers:
            told = about.get("llm")
            if isinstance(told, dict):
                model = told.get("model")
                return LanguageModel(
                    provider=str(told.get("provider", "none")),
                    model=str(model) if model is not None else None,
                    state=str(told.get("state", "unknown")),
                )
        provider = self._settings.llm_provider
        state = "off" if provider == "none" else "unknown"
        return LanguageModel(provider=provider, model=self._settings.llm_model, state=state)
