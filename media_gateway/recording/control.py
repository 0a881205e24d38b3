"""Pausing the recordings of live calls for people (infra.control.CallControl)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol
from uuid import UUID

from infra.control import CallNotLive, NotRecorded
from infra.model import Call
from infra.store.users import API_TOKEN_USER_ID, User


class RecordedCall(Protocol):
    """A live call as far as its recording goes (media_gateway.registry.LiveCall)."""

    @property
    def call(self) -> Call: ...
    def record(self, user_id: UUID | None, *, on: bool) -> bool:
        """Go on recording, or pause, and write down who wanted it; False when the call is not recorded at all."""


class RecordingControl:
    """Pauses and resumes by call id."""

    def __init__(self, find: Callable[[UUID], RecordedCall | None]) -> None:
        """`find`: the call of that id, if it is on the line here."""
        self._find = find

    async def pause_recording(self, tenant_id: UUID, call_id: UUID, user: User) -> None:
        """Keep nothing of the call from now on. Raises infra.control.ControlError."""
        self._record(tenant_id, call_id, user, on=False)

    async def resume_recording(self, tenant_id: UUID, call_id: UUID, user: User) -> None:
        """Record the call again from now on. Raises infra.control.ControlError."""
        self._record(tenant_id, call_id, user, on=True)

    def _record(self, tenant_id: UUID, call_id: UUID, user: User, *, on: bool) -> None:
        live = self._find(call_id)
        if live is None or live.call.tenant_id != tenant_id:
            raise CallNotLive
        if not live.record(None if user.id == API_TOKEN_USER_ID else user.id, on=on):
            raise NotRecorded
