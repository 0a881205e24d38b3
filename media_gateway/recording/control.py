"""Pausing the recordings of live calls for people (infra.control.CallControl)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol
from uuid import UUID

from infra.control import CallNotLive, NotAllowed, NotRecorded
from infra.model import Call
from infra.store.users import API_TOKEN_USER_ID, User


class RecordedCall(Protocol):
    """A live call as far as its recording goes (media_gateway.registry.LiveCall)."""

    @property
    def call(self) -> Call: ...
    def record(self, user_id: UUID | None, *, on: bool) -> bool:
        """Go on recording, or pause, and write down who wanted it; False when the call is not recorded at all."""


class RecordingControl:
    """Pauses and resumes by call id. Agents may do so in calls that they take part in, supervisors in all."""

    def __init__(
        self, find: Callable[[UUID], RecordedCall | None], takes_part: Callable[[UUID, UUID], bool | None]
    ) -> None:
        """`find`: the call of that id, if it is on the line here. `takes_part(call, user)`: None where nobody can tell
        because Twilio carries the conversation.
        """
        self._find = find
        self._takes_part = takes_part

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
        if user.role == "agent" and self._takes_part(call_id, user.id) is False:
            raise NotAllowed
        if not live.record(None if user.id == API_TOKEN_USER_ID else user.id, on=on):
            raise NotRecorded
