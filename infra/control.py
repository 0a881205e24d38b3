"""What a screen may ask of a call that is on the line here."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from infra.store.users import User


class ControlError(Exception):
    """What was asked cannot be done. `str(error)` is one short sentence for a person, without personal data."""


class CallNotLive(ControlError):
    """The call is not on the line here."""

    def __init__(self) -> None:
        super().__init__("the call is not on the line")


class NotRecorded(ControlError):
    """Nothing of the call is being recorded."""

    def __init__(self) -> None:
        super().__init__("nothing is being recorded")


class NotAllowed(ControlError):
    """This user may not do this to this call."""

    def __init__(self, detail: str = "only those who are in the call, and supervisors, may do that") -> None:
        super().__init__(detail)


class CallControl(Protocol):
    """Acts on live calls, and writes down who wanted it. Doing again what is done already changes nothing."""

    async def pause_recording(self, tenant_id: UUID, call_id: UUID, user: User) -> None:
        """Keep nothing of the call from now on. Raises ControlError."""

    async def resume_recording(self, tenant_id: UUID, call_id: UUID, user: User) -> None:
        """Record the call again from now on. Raises ControlError."""
