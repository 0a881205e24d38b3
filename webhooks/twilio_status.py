"""POST /twilio/status: Twilio tells how a call, or its media stream, is doing.

Sources: https://www.twilio.com/docs/voice/twiml#callstatus-values and /docs/voice/twiml/stream#statuscallback
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Literal, get_args
from uuid import UUID

from aiohttp import web

from infra.model import DEFAULT_TENANT
from infra.problem import problem
from infra.telemetry import logger
from infra.tokens import twilio_call_id
from webhooks.signature import Form, FormError, SignedForms

log = logger(__name__)

PATH: Final = "/twilio/status"
_REMEMBERED: Final = 10_000

CallState = Literal[
    "queued", "initiated", "ringing", "answered", "in-progress", "completed", "busy", "failed", "no-answer", "canceled"
]
StreamState = Literal["stream-started", "stream-stopped", "stream-error"]

ENDED: Final = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
"""States after which a call never comes back."""


@dataclass(frozen=True, slots=True)
class CallStatus:
    """One status of a call, or of one of its streams."""

    call_id: UUID
    call_sid: str
    state: CallState | StreamState
    duration_s: int | None = None
    """Of a completed call."""

    @property
    def has_ended(self) -> bool:
        """Whether the call is over."""
        return self.state in ENDED


async def _ignore(_: CallStatus) -> None:
    pass


class TwilioStatus:
    """The route and what it needs. `on_status` hears of each status once; it may take a second, no more."""

    def __init__(
        self,
        forms: SignedForms,
        on_status: Callable[[CallStatus], Awaitable[None]] = _ignore,
        *,
        tenant_id: UUID = DEFAULT_TENANT,
        timeout_s: float = 5.0,
    ) -> None:
        self._forms = forms
        self._on_status = on_status
        self._tenant_id = tenant_id
        self._timeout_s = timeout_s
        self._heard: dict[tuple[str, str, str], None] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Take a status; 204 whether it is news or not."""
        try:
            form = await self._forms.read(request)
        except FormError as refused:
            log.info("webhook refused", path=PATH, status=refused.response.status)
            return refused.response
        call_sid = form.get("CallSid", "")
        if not call_sid or len(call_sid) > 64:
            return problem(HTTPStatus.BAD_REQUEST, "CallSid is missing or malformed.")
        status = self._status(call_sid, form)
        key = (call_sid, status.state if status else "", form.get("SequenceNumber", form.get("StreamSid", "")))
        if status is not None and key not in self._heard:
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._on_status(status)
            except TimeoutError:
                return problem(HTTPStatus.SERVICE_UNAVAILABLE, "The status could not be stored in time.")
            self._remember(key)
            log.info("call status", call_id=str(status.call_id), state=status.state)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    def _status(self, call_sid: str, form: Form) -> CallStatus | None:
        """Return the form's status; None for one that this version does not know."""
        state = form.get("StreamEvent") or form.get("CallStatus", "")
        duration = form.get("CallDuration", "")
        for known in (*get_args(CallState), *get_args(StreamState)):
            if state == known:
                return CallStatus(
                    call_id=twilio_call_id(call_sid, self._tenant_id),
                    call_sid=call_sid,
                    state=known,
                    duration_s=int(duration) if duration.isascii() and duration.isdigit() else None,
                )
        return None

    def _remember(self, key: tuple[str, str, str]) -> None:
        self._heard[key] = None
        if len(self._heard) > _REMEMBERED:
            del self._heard[next(iter(self._heard))]
