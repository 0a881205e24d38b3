"""Puts the insight worker together from what the settings name, and runs it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from infra.bus.presence import Presence
from infra.bus.streams import EventStreams
from infra.bus.work import WorkQueue
from infra.connections import open_database, open_redis
from infra.console import UnusableError, until_stopped
from infra.model import Call
from infra.settings import Settings
from infra.store.calls import CallStore
from infra.store.insights import InsightStore
from infra.store.transcripts import TranscriptStore
from workers.insights.analyst import Analyst
from workers.insights.chat import LlmClient
from workers.insights.llm import LlmAnalyser
from workers.insights.providers.presets import ProviderError, endpoint
from workers.insights.session import Tools
from workers.insights.worker import InsightWorker


async def run(settings: Settings) -> None:
    """Draw insights until SIGINT or SIGTERM. Raises UnusableError."""
    key = settings.llm_api_key.get_secret_value() if settings.llm_api_key else None
    try:
        place = endpoint(settings.llm_provider, base_url=settings.llm_base_url, api_key=key, model=settings.llm_model)
    except ProviderError as error:
        raise UnusableError(str(error)) from error
    client = LlmClient(place, max_tokens=settings.llm_max_tokens) if place else None

    def new_analyst(call: Call) -> Analyst:
        called_on = call.started_at.date()
        llm = LlmAnalyser(client, context_turns=settings.llm_context_chunks, called_on=called_on) if client else None
        return Analyst(called_on=called_on, llm=llm, interval_s=settings.llm_analysis_interval)

    def about_model() -> dict[str, Any]:
        return {"provider": settings.llm_provider, "model": client.model if client else None}

    async with open_database(settings) as pool, open_redis(settings) as redis:
        tools = Tools(
            events=EventStreams(redis),
            calls=CallStore(pool),
            transcripts=TranscriptStore(pool),
            insights=InsightStore(pool),
            presence=Presence(redis),
            new_analyst=new_analyst,
        )
        queue = WorkQueue(redis, "insights", f"insights-{uuid4().hex[:12]}")
        try:
            await until_stopped(InsightWorker(queue, tools, model=about_model).run())
        finally:
            if client is not None:
                await client.aclose()
