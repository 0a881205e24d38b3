"""POST /twilio/status: Twilio tells how a call, one of its parties, or its media stream is doing.

Sources: https://www.twilio.com/docs/voice/twiml#callstatus-values, /docs/voice/twiml/stream#statuscallback and
/docs/voice/twiml/client#statuscallback
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
from infra.store.database import StoreAway
from infra.store.twilio import Claim, TwilioStore
from infra.telemetry import logger
from infra.tokens import twilio_call_id, user_of_client
from webhooks.signature import Form, FormError, SignedForms, sid, whole_number

log = logger(__name__)

_REMEMBERED: Final = 10_000
_CLEANED_EVERY: Final = 1000
_MAX_PARTY_CHARS: Final = 256

CallState = Literal[
    "queued", "initiated", "ringing", "answered", "in-progress", "completed", "busy", "failed", "no-answer", "canceled"
]
StreamState = Literal["stream-started", "stream-stopped", "stream-error"]

ENDED: Final = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
"""States after which a call, or a party that was rung, never comes back."""


@dataclass(frozen=True, slots=True)
class CallStatus:
    """One status of a call, of a party that Twilio rang for it, or of one of its streams."""

    call_id: UUID
    call_sid: str
    """The party's own where it is a party's status."""
    state: CallState | StreamState
    duration_s: int | None = None
    """Of a completed call."""
    party: str | None = None
    """Whom Twilio rang (+15550100, client:NAME, sip:URI); None when the status is the call's own."""
    user_id: UUID | None = None
    """The user whom Twilio rang, if it was one of ours."""

    @property
    def has_ended(self) -> bool:
        """Whether the call is over, not just a party's ringing or a stream."""
        return self.party is None and self.state in ENDED


async def ignore(_: CallStatus) -> None:
    """Do nothing with a status."""


class TwilioStatus:
    """The route and what it needs."""

    def __init__(
        self,
        forms: SignedForms,
        on_status: Callable[[CallStatus], Awaitable[None]] = ignore,
        *,
        notices: TwilioStore | None = None,
        tenant_id: UUID = DEFAULT_TENANT,
        timeout_s: float = 5.0,
        store_timeout_s: float = 1.5,
    ) -> None:
        """`on_status` hears of each status once, across servers and restarts; it may take a second, no more.

        While the database behind `notices` is away, once a server.
        """
        self._forms = forms
        self._on_status = on_status
        self._notices = notices
        self._tenant_id = tenant_id
        self._timeout_s = timeout_s
        self._store_timeout_s = store_timeout_s
        self._heard: dict[tuple[str, str], None] = {}
        self._count = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Take a status; 204 whether it is news or not, 503 when it could not be carried out."""
        try:
            form = await self._forms.read(request)
            status = self._status(sid(form, "CallSid"), form)
        except FormError as refused:
            return refused.response
        if status is None:
            return web.Response(status=HTTPStatus.NO_CONTENT)
        number: str = form.get("SequenceNumber", form.get("StreamSid", ""))
        notice = f"{status.state} {number[:64]}".strip()
        if (status.call_sid, notice) in self._heard:
            return web.Response(status=HTTPStatus.NO_CONTENT)
        claim = await self._claim(status.call_sid, notice)
        if claim == "theirs":
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "This status is being carried out.", {"Retry-After": "2"})
        if claim == "ours":
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._on_status(status)
            except BaseException as error:
                await self._store(TwilioStore.release, status.call_sid, notice)
                if isinstance(error, TimeoutError):
                    return problem(HTTPStatus.SERVICE_UNAVAILABLE, "The status could not be carried out in time.")
                raise
            await self._store(TwilioStore.finish, status.call_sid, notice)
            log.info("call status", call_id=str(status.call_id), state=status.state)
        self._remember((status.call_sid, notice))
        return web.Response(status=HTTPStatus.NO_CONTENT)

    def _status(self, call_sid: str, form: Form) -> CallStatus | None:
        """Return the form's status; None for one that this version does not know."""
        state = form.get("StreamEvent") or form.get("CallStatus", "")
        parent = sid(form, "ParentCallSid") if form.get("ParentCallSid") else None
        party = form.get("To", "")[:_MAX_PARTY_CHARS]
        for known in (*get_args(CallState), *get_args(StreamState)):
            if state == known:
                return CallStatus(
                    call_id=twilio_call_id(parent or call_sid, self._tenant_id),
                    call_sid=call_sid,
                    state=known,
                    duration_s=whole_number(form.get("CallDuration", "")),
                    party=party if parent else None,
                    user_id=user_of_client(party) if parent else None,
                )
        return None

    async def _claim(self, call_sid: str, notice: str) -> Claim:
        if self._notices is None:
            return "ours"
        try:
            async with asyncio.timeout(self._store_timeout_s):
                return await self._notices.claim(self._tenant_id, call_sid, notice)
        except StoreAway as error:
            log.warning("notices not reached", error=type(error).__name__)
            return "ours"

    async def _store(self, step: Callable[[TwilioStore, UUID, str, str], Awaitable[None]], *notice: str) -> None:
        if self._notices is None:
            return
        try:
            async with asyncio.timeout(self._store_timeout_s):
                await step(self._notices, self._tenant_id, *notice)
                self._count += 1
                if self._count % _CLEANED_EVERY == 1:
                    await self._notices.forget_old()
        except StoreAway as error:
            log.warning("notices not reached", error=type(error).__name__)

    def _remember(self, key: tuple[str, str]) -> None:
        self._heard[key] = None
        if len(self._heard) > _REMEMBERED:
            del self._heard[next(iter(self._heard))]
