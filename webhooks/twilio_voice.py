"""POST /twilio/voice: a call has come in; answer with the TwiML that brings its audio here.

Two modes. 'connect' (`<Connect><Stream>`): the caller talks to us, both ways over one socket. 'listen'
(`<Start><Stream>` + `<Dial>`): Twilio carries the conversation and we hear both parties.
Source: https://www.twilio.com/docs/voice/twiml/stream
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final
from uuid import UUID

from aiohttp import web
from twilio.twiml.voice_response import VoiceResponse

from infra.model import DEFAULT_TENANT
from infra.problem import problem
from infra.settings import TwilioMode
from infra.telemetry import logger
from infra.tokens import StreamGrant, StreamTokens, twilio_call_id
from webhooks.signature import FormError, SignedForms

log = logger(__name__)

PATH: Final = "/twilio/voice"
_MEDIA_PATH: Final = "/twilio/media"
_STATUS_PATH: Final = "/twilio/status"
_SID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MAX_DIAL_TARGETS: Final = 10
_APOLOGY: Final = "We are sorry, the line was interrupted. Please stay with us while we reconnect you."
_FAREWELL: Final = "We are sorry, we cannot take your call at the moment. Please try again later."


async def _never_over(_: UUID) -> bool:
    return False


class TwilioVoice:
    """The route and what it needs."""

    def __init__(
        self,
        forms: SignedForms,
        tokens: StreamTokens,
        public_base_url: str,
        *,
        mode: TwilioMode = "connect",
        dial: str | None = None,
        tenant_id: UUID = DEFAULT_TENANT,
        max_attempts: int = 3,
        is_over: Callable[[UUID], Awaitable[bool]] = _never_over,
    ) -> None:
        """`dial`: for 'listen', whom to ring: up to ten of '+15550100', 'client:NAME', 'sip:URI', comma separated.

        `max_attempts`: how often a call whose socket broke is brought back before it ends. `is_over`: whether the
        conversation has ended, so that a closed socket was no accident.

        Raises:
            ValueError: 'listen' without a target, or with too many.
        """
        self._forms = forms
        self._tokens = tokens
        self._base = public_base_url.rstrip("/")
        self._dial = [target.strip() for target in (dial or "").split(",") if target.strip()]
        if mode == "listen" and not 1 <= len(self._dial) <= _MAX_DIAL_TARGETS:
            raise ValueError("TWILIO_MODE=listen needs one to ten targets in TWILIO_DIAL")
        self._mode = mode
        self._tenant_id = tenant_id
        self._max_attempts = max_attempts
        self._is_over = is_over

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a call with TwiML."""
        try:
            form = await self._forms.read(request)
        except FormError as refused:
            log.info("webhook refused", path=PATH, status=refused.response.status)
            return refused.response
        call_sid = form.get("CallSid", "")
        if not _SID.fullmatch(call_sid):
            return problem(HTTPStatus.BAD_REQUEST, "CallSid is missing or malformed.")
        call_id = twilio_call_id(call_sid, self._tenant_id)
        attempt = _attempt(request.query.get("attempt", ""))
        log.info("call offered", call_id=str(call_id), attempt=attempt)
        if attempt > 1 and await self._is_over(call_id):
            response = VoiceResponse()
            response.hangup()
            return _twiml(response)
        grant = StreamGrant(
            call_id=call_id,
            call_sid=call_sid,
            from_number=form.get("From") or None,
            to_number=form.get("To") or None,
            tenant_id=self._tenant_id,
        )
        if self._mode == "listen":
            return _twiml(self.listen(grant))
        return _twiml(self.connect(grant, attempt))

    def connect(self, grant: StreamGrant, attempt: int = 1) -> VoiceResponse:
        """Return TwiML that hands the call to our socket.

        What follows `<Connect>` runs only when that socket closes before the caller hangs up: it brings the call
        back, a few times, then ends it.
        """
        response = VoiceResponse()
        self._add_stream(response.connect(), grant)
        if attempt < self._max_attempts:
            response.say(_APOLOGY)
            response.redirect(f"{self._base}{PATH}?attempt={attempt + 1}", method="POST")
        else:
            response.say(_FAREWELL)
            response.hangup()
        return response

    def listen(self, grant: StreamGrant) -> VoiceResponse:
        """Return TwiML that copies both parties' audio to our socket and rings the targets."""
        response = VoiceResponse()
        self._add_stream(response.start(), grant, track="both_tracks")
        dial = response.dial(answer_on_bridge=True)
        for target in self._dial:
            if target.startswith("client:"):
                dial.client(target.removeprefix("client:"))
            elif target.startswith(("sip:", "sips:")):
                dial.sip(target)
            else:
                dial.number(target)
        return response

    def _add_stream(self, verb: VoiceResponse, grant: StreamGrant, **options: str) -> None:
        # No query string: Twilio refuses it (error 31920). What the stream must know travels in the token.
        url = "ws" + self._base.removeprefix("http") + _MEDIA_PATH
        stream = verb.stream(
            url=url, status_callback=f"{self._base}{_STATUS_PATH}", status_callback_method="POST", **options
        )
        stream.parameter(name="token", value=self._tokens.seal(grant))


def _attempt(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else 1


def _twiml(response: VoiceResponse) -> web.Response:
    return web.Response(
        text=str(response), content_type="application/xml", charset="utf-8", headers={"Cache-Control": "no-store"}
    )
