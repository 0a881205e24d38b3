"""POST /twilio/dial: in a call that we listen to, the ringing is over, or the caller answered a question.

Source: https://www.twilio.com/docs/voice/twiml/dial#action, /record#action and /gather#action
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

from aiohttp import web
from twilio.twiml.voice_response import VoiceResponse

from infra.model import DEFAULT_TENANT, utc_now
from infra.store.callbacks import Callback, CallbackKind
from infra.store.database import StoreAway
from infra.store.queues import reachable_number
from infra.telemetry import logger
from infra.tokens import twilio_call_id
from webhooks.numbers import Numbers
from webhooks.signature import Form, FormError, SignedForms, sid
from webhooks.twiml import CALLBACK_NOTED, FAREWELL, NOT_NOTED, THANKS, Answers, goodbye, written

log = logger(__name__)

UNANSWERED: Final = frozenset({"busy", "no-answer", "failed"})
"""How `<Dial>` ends while the caller is still there and nobody has spoken with them."""


class TwilioDial:
    """The route and what it needs. `add_callback` stores that a caller waits to hear from us."""

    def __init__(
        self,
        forms: SignedForms,
        answers: Answers,
        numbers: Numbers,
        add_callback: Callable[[Callback], Awaitable[bool]] | None = None,
        *,
        tenant_id: UUID = DEFAULT_TENANT,
        timeout_s: float = 3.0,
    ) -> None:
        self._forms = forms
        self._answers = answers
        self._numbers = numbers
        self._add_callback = add_callback
        self._tenant_id = tenant_id
        self._timeout_s = timeout_s

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Say how the call goes on."""
        try:
            form = await self._forms.read(request)
            call_id = twilio_call_id(sid(form, "CallSid"), self._tenant_id)
        except FormError as refused:
            return refused.response
        return written(await self._next(call_id, request.query.get("step", ""), form))

    async def _next(self, call_id: UUID, step: str, form: Form) -> VoiceResponse:
        if step == "message":
            return goodbye(THANKS if await self._note(call_id, form, "voicemail") else NOT_NOTED)
        if step == "callback":
            if form.get("Digits") != "1":
                return goodbye(FAREWELL)
            return goodbye(CALLBACK_NOTED if await self._note(call_id, form, "callback") else NOT_NOTED)
        if form.get("DialCallStatus") not in UNANSWERED:
            return goodbye()
        return await self._unanswered(form, overflowed=step == "overflowed")

    async def _unanswered(self, form: Form, *, overflowed: bool) -> VoiceResponse:
        route = await self._numbers.route(form.get("To"))
        if not overflowed and (others := await self._numbers.overflow(route)) and others.targets:
            return self._answers.ring_others(others)
        match route.queue.on_timeout:
            case "hangup":
                return goodbye(FAREWELL)
            case "callback" if reachable_number(form.get("From")):
                return self._answers.offer_callback()
            case _:
                return self._answers.take_message()

    async def _note(self, call_id: UUID, form: Form, kind: CallbackKind) -> bool:
        """Store that the caller waits to hear from us; False when that cannot be done now."""
        if self._add_callback is None:
            return False
        route = await self._numbers.route(form.get("To"))
        number = reachable_number(form.get("From"))
        wish = Callback(call_id, kind, utc_now(), number, route.queue.id, self._tenant_id)
        try:
            async with asyncio.timeout(self._timeout_s):
                news = await self._add_callback(wish)
        except StoreAway as error:
            log.error("callback not stored", call_id=str(call_id), kind=kind, error=type(error).__name__)
            return False
        log.info("callback", call_id=str(call_id), kind=kind, news=news)
        return True
