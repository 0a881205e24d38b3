"""The webhooks' part of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

import asyncpg
from aiohttp import web

from infra.settings import Settings
from infra.store.callbacks import CallbackStore
from infra.store.calls import CallStore
from infra.store.database import StoreAway
from infra.store.queues import QueueStore
from infra.store.twilio import TwilioStore
from infra.tokens import StreamTokens
from webhooks import twiml
from webhooks.numbers import Numbers
from webhooks.signature import SignedForms
from webhooks.twilio_dial import TwilioDial
from webhooks.twilio_recording import TwilioRecordings
from webhooks.twilio_status import CallStatus, TwilioStatus, ignore
from webhooks.twilio_voice import TwilioVoice

OUR_FAULT: Final = frozenset({"server-shutdown", "gateway lost"})
"""Ends of a call that the caller had no part in: Twilio may bring it back."""

STATE_TIMEOUT_S: Final = 1.5
"""Twilio gives up on a webhook after 15 s; the caller hears nothing until then."""

END_WITHIN_S: Final = 0.5
"""How long the end of a call may take to be stored: Twilio asks at once when a socket closes."""


def add_webhooks(
    app: web.Application,
    *,
    settings: Settings,
    tokens: StreamTokens,
    calls: CallStore,
    base_url: str,
    pool: asyncpg.Pool | None = None,
    is_put_off: Callable[[UUID], bool] = lambda _: False,
    has_ended: Callable[[UUID], bool] = lambda _: False,
    on_status: Callable[[CallStatus], Awaitable[None]] = ignore,
) -> None:
    """Add the webhooks' routes to the server.

    `pool`: where queues, callbacks and notices are kept; without one, each number is the default queue's and nothing
    outlives the process. `is_put_off`: whether a call should be asked again in a moment, because this server stops.
    `has_ended`: whether this server ended a call on purpose, even if the database does not know yet. `on_status`: hears
    of each status of a call once. Raises ValueError for a dial target that makes no sense.
    """

    async def is_over(call_id: UUID) -> bool:
        if has_ended(call_id):
            return True
        try:
            async with asyncio.timeout(STATE_TIMEOUT_S):
                if await is_stored_as_over(call_id):
                    return True
                await asyncio.sleep(END_WITHIN_S)
                return await is_stored_as_over(call_id)
        except StoreAway:
            return False

    async def is_stored_as_over(call_id: UUID) -> bool:
        state = await calls.state(call_id)
        return state is not None and state["status"] == "ended" and state["end_reason"] not in OUR_FAULT

    forms = SignedForms(settings.twilio_token, base_url)
    answers = twiml.Answers(tokens, base_url)
    numbers = Numbers(
        QueueStore(pool) if pool is not None else None, mode=settings.twilio_mode, dial=settings.twilio_dial
    )
    callbacks = CallbackStore(pool) if pool is not None else None
    notices = TwilioStore(pool) if pool is not None else None
    voice = TwilioVoice(forms, answers, numbers, is_over=is_over, is_put_off=is_put_off)
    dial = TwilioDial(forms, answers, numbers, callbacks.add if callbacks else None)
    recordings = TwilioRecordings(forms, notices.put_recording if notices else None)
    status = TwilioStatus(forms, on_status, notices=notices)
    app.router.add_post(twiml.VOICE_PATH, voice.handle)
    app.router.add_post(twiml.DIAL_PATH, dial.handle)
    app.router.add_post(twiml.RECORDING_PATH, recordings.handle)
    app.router.add_post(twiml.STATUS_PATH, status.handle)
