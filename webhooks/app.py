"""The webhooks' part of the server."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from aiohttp import web

from infra.settings import Settings
from infra.store.calls import CallStore
from infra.store.database import StoreAway
from infra.tokens import StreamTokens
from webhooks import twilio_status, twilio_voice
from webhooks.signature import SignedForms
from webhooks.twilio_status import TwilioStatus
from webhooks.twilio_voice import TwilioVoice

OUR_FAULT: Final = frozenset({"server-shutdown", "gateway lost"})
"""Ends of a call that the caller had no part in: Twilio may bring it back."""


def add_webhooks(
    app: web.Application, *, settings: Settings, tokens: StreamTokens, calls: CallStore, base_url: str
) -> None:
    """Add the webhooks' routes to the server. Raises ValueError for a dial target that makes no sense."""

    async def is_over(call_id: UUID) -> bool:
        try:
            state = await calls.state(call_id)
        except StoreAway:
            return False
        return state is not None and state["status"] == "ended" and state["end_reason"] not in OUR_FAULT

    forms = SignedForms(settings.twilio_token, base_url)
    voice = TwilioVoice(forms, tokens, base_url, mode=settings.twilio_mode, dial=settings.twilio_dial, is_over=is_over)
    app.router.add_post(twilio_voice.PATH, voice.handle)
    app.router.add_post(twilio_status.PATH, TwilioStatus(forms).handle)
