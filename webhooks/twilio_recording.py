"""POST /twilio/recording: Twilio tells that a recording of its own has begun, is ready, or came to nothing.

Source: https://www.twilio.com/docs/voice/twiml/recording#attributes-recording-status-callback
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final, get_args
from uuid import UUID

from aiohttp import web

from infra.model import DEFAULT_TENANT
from infra.problem import problem
from infra.store.database import StoreAway
from infra.store.twilio import TwilioRecording, TwilioRecordingStatus
from infra.telemetry import logger
from infra.tokens import twilio_call_id
from webhooks.signature import Form, FormError, SignedForms, sid, whole_number

log = logger(__name__)

_MAX_URL_CHARS: Final = 2000
_MAX_WORD_CHARS: Final = 64


class TwilioRecordings:
    """The route and what it needs. `put` stores a recording; it may be told the same any number of times."""

    def __init__(
        self,
        forms: SignedForms,
        put: Callable[[TwilioRecording], Awaitable[bool]] | None = None,
        *,
        tenant_id: UUID = DEFAULT_TENANT,
        timeout_s: float = 5.0,
    ) -> None:
        self._forms = forms
        self._put = put
        self._tenant_id = tenant_id
        self._timeout_s = timeout_s

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Store the recording; 204 whether it is news or not, 503 when it cannot be stored now."""
        try:
            form = await self._forms.read(request)
            recording = self._recording(sid(form, "CallSid"), sid(form, "RecordingSid"), form)
        except FormError as refused:
            return refused.response
        if recording is not None and self._put is not None:
            try:
                async with asyncio.timeout(self._timeout_s):
                    news = await self._put(recording)
            except StoreAway as error:
                log.warning("recording not stored", call_id=str(recording.call_id), error=type(error).__name__)
                return problem(
                    HTTPStatus.SERVICE_UNAVAILABLE, "The recording could not be stored now.", {"Retry-After": "2"}
                )
            log.info("recording at Twilio", call_id=str(recording.call_id), status=recording.status, news=news)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    def _recording(self, call_sid: str, recording_sid: str, form: Form) -> TwilioRecording | None:
        """Return the form's recording; None in a state that this version does not know."""
        state = form.get("RecordingStatus", "completed")
        for known in get_args(TwilioRecordingStatus):
            if state == known:
                return TwilioRecording(
                    recording_sid=recording_sid,
                    call_id=twilio_call_id(call_sid, self._tenant_id),
                    call_sid=call_sid,
                    status=known,
                    url=_address(form.get("RecordingUrl", "")),
                    duration_s=whole_number(form.get("RecordingDuration", "")),
                    channels=whole_number(form.get("RecordingChannels", "")),
                    source=_word(form.get("RecordingSource", "")),
                    error_code=_word(form.get("ErrorCode", "")),
                    tenant_id=self._tenant_id,
                )
        return None


def _address(text: str) -> str | None:
    return text if text.startswith("https://") and text.isprintable() and len(text) <= _MAX_URL_CHARS else None


def _word(text: str) -> str | None:
    return text[:_MAX_WORD_CHARS] if text and text.isprintable() else None
