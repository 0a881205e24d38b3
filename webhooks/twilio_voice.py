"""POST /twilio/voice: a call has come in; answer with the TwiML that brings its audio here.

Two modes, chosen by the number's queue. 'connect' (`<Connect><Stream>`): the caller talks to us, both ways over one
socket. 'listen' (`<Start><Stream>` + `<Dial>`): Twilio carries the conversation and we hear both parties.
Source: https://www.twilio.com/docs/voice/twiml/stream
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

from aiohttp import web

from infra.model import DEFAULT_TENANT
from infra.store.queues import shown_number
from infra.telemetry import logger
from infra.tokens import StreamGrant, twilio_call_id
from webhooks.numbers import Numbers
from webhooks.signature import FormError, SignedForms, sid, whole_number
from webhooks.twiml import Answers, goodbye, written

log = logger(__name__)


async def _never_over(_: UUID) -> bool:
    return False


def _never_put_off(_: UUID) -> bool:
    return False


class TwilioVoice:
    """The route and what it needs."""

    def __init__(
        self,
        forms: SignedForms,
        answers: Answers,
        numbers: Numbers,
        *,
        tenant_id: UUID = DEFAULT_TENANT,
        is_over: Callable[[UUID], Awaitable[bool]] = _never_over,
        is_put_off: Callable[[UUID], bool] = _never_put_off,
    ) -> None:
        """`is_over`: whether the conversation has ended, so that a closed socket was no accident.

        `is_put_off`: whether this server is about to stop, so that this call is better asked again in a moment.
        """
        self._forms = forms
        self._answers = answers
        self._numbers = numbers
        self._tenant_id = tenant_id
        self._is_over = is_over
        self._is_put_off = is_put_off

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a call with TwiML."""
        try:
            form = await self._forms.read(request)
            call_sid = sid(form, "CallSid")
        except FormError as refused:
            return refused.response
        call_id = twilio_call_id(call_sid, self._tenant_id)
        attempt = whole_number(request.query.get("attempt", "")) or 1
        log.info("call offered", call_id=str(call_id), attempt=attempt)
        if attempt > 1 and await self._is_over(call_id):
            return written(goodbye())
        if self._is_put_off(call_id):
            log.info("call put off: draining", call_id=str(call_id))
            return written(self._answers.please_wait(attempt, whole_number(request.query.get("wait", "")) or 0))
        route = await self._numbers.route(form.get("To"))
        grant = StreamGrant(
            call_id=call_id,
            call_sid=call_sid,
            from_number=shown_number(form.get("From")),
            to_number=form.get("To") or None,
            tenant_id=self._tenant_id,
            bridged=route.mode == "connect",
            returning=attempt > 1,
            recorded=route.queue.recorded,
        )
        return written(self._answers.answer(route, grant, attempt))
