"""/api/v1/calls/{call_id}/speakers: who is who, whatever was guessed from words and addresses."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import asyncpg
import msgspec
from aiohttp import web

from dashboard import params
from dashboard.api import answer
from dashboard.calls import require_call
from dashboard.outbox import Outbox
from dashboard.problem import Problem, bad_parameter
from dashboard.views import SpeakerView
from infra.bus.codec import CallWork
from infra.model import Call, Event, Role
from infra.store.calls import CallStore
from infra.store.speakers import AmbiguousSpeakerError, SpeakerStore, change_key, change_to_json, own_track_events
from infra.store.users import User, UserStore

NAME_MAX_CHARS = 40


class SpeakerChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person knows about a speaker."""

    role: Role
    track_id: Annotated[UUID | None, msgspec.Meta(description="which track, where several have such a speaker")] = None


class SpeakerApi:
    """The operations on speakers."""

    def __init__(self, pool: asyncpg.Pool, users: UserStore, outbox: Outbox) -> None:
        self._calls = CallStore(pool)
        self._speakers = SpeakerStore(pool)
        self._users = users
        self._outbox = outbox

    async def change_speaker(self, request: web.Request) -> web.Response:
        """PATCH /api/v1/calls/{call_id}/speakers/{speaker}: whose voice it is, whatever a later guess says."""
        user: User = request["user"]
        call = await require_call(self._calls, user.tenant_id, request.match_info["call_id"])
        speaker = request.match_info["speaker"]
        if len(speaker) > NAME_MAX_CHARS or not speaker.isprintable():
            raise bad_parameter("speaker", "is not a speaker's name such as SPEAKER_00")
        wanted = await params.body(request, SpeakerChange)
        try:
            change = await self._speakers.correct(
                user.tenant_id, call["id"], speaker, wanted.role, track_id=wanted.track_id
            )
        except AmbiguousSpeakerError:
            raise Problem(
                409, "track_id: several tracks of the call have such a speaker", parameter="track_id"
            ) from None
        if change is None:
            raise Problem(404, "the call has no such speaker")
        detail = {"speaker": speaker, "role": wanted.role, "track_id": str(change.track_id)}
        await self._users.audit(user, "speaker.role", str(call["id"]), detail)
        told = msgspec.to_builtins(change_to_json(change))
        await self._outbox.publish(user.tenant_id, Event("speakers", call["id"], told, key=change_key(change)))
        for event in own_track_events(call["id"], change):
            await self._outbox.publish(user.tenant_id, event)
        if call["status"] == "ended":  # on a live one the change is heard
            ended = Call(call["id"], call["door"], call["external_id"], call["started_at"], tenant_id=user.tenant_id)
            await self._outbox.announce(CallWork(ended, "dashboard", anew=True))
        one = next(one for one in change.speakers if one.speaker == speaker)
        return answer(SpeakerView(change.track_id, one.speaker, one.role, one.source))
