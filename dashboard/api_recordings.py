"""/api/v1/calls/{call_id}/recording: what was recorded of a call, to hear, to see and to pause."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from pathlib import Path
from typing import Final
from uuid import UUID

import asyncpg
import msgspec
from aiohttp import hdrs, web

from dashboard import params
from dashboard.api import answer
from dashboard.calls import require_call
from dashboard.export import file_name
from dashboard.file_part import FilePart, open_file
from dashboard.problem import Problem
from dashboard.snapshot import SnapshotReader
from dashboard.views import Peaks, RecordingChange, call_summary
from infra.control import CallControl, ControlError, NotAllowed
from infra.settings import RecordingFormat
from infra.shelf import MEDIA_TYPES, Shelf, peaks_path
from infra.store.users import User, UserStore

AUDIT_AGAIN_S: Final = 600.0
"""A player asks for a recording piece by piece: within this time it is one act."""
_HEARD_MOST: Final = 1000


class RecordingApi:
    """The operations on recordings."""

    def __init__(
        self, snapshots: SnapshotReader, users: UserStore, data_dir: Path, control: CallControl | None
    ) -> None:
        """`control`: the calls that are on the line here; None: there are none."""
        self._calls = snapshots.calls
        self._recordings = snapshots.recordings
        self._users = users
        self._shelf = Shelf(data_dir)
        self._control = control
        self._heard: OrderedDict[tuple[UUID, UUID, str], float] = OrderedDict()

    async def get_recording(self, request: web.Request) -> web.StreamResponse:
        """GET /api/v1/calls/{call_id}/recording: the audio, or the bytes of it that are asked for."""
        call, path = await self._saved(request)
        download = params.choice(request, "download", ("0", "1"), "0") == "1"
        codec: RecordingFormat = "flac" if path.suffix == ".flac" else "opus"
        if request.method != hdrs.METH_HEAD:
            await self._note(request["user"], call["id"], "recording.download" if download else "recording.play")
        try:
            file = await asyncio.to_thread(open_file, path)
        except OSError:
            raise _gone() from None
        kind = "attachment" if download else "inline"
        return FilePart(
            request,
            file,
            {
                hdrs.CONTENT_TYPE: MEDIA_TYPES[codec],
                hdrs.CONTENT_DISPOSITION: f'{kind}; filename="{file_name(call_summary(call), codec)}"',
            },
        )

    async def get_recording_peaks(self, request: web.Request) -> web.Response:
        """GET /api/v1/calls/{call_id}/recording/peaks: what it looks like."""
        _, path = await self._saved(request)
        try:
            content = await asyncio.to_thread(peaks_path(path).read_bytes)
            return answer(msgspec.json.decode(content, type=Peaks))
        except (OSError, msgspec.MsgspecError):
            raise _gone() from None

    async def pause_recording(self, request: web.Request) -> web.Response:
        """POST /api/v1/calls/{call_id}/recording/pause: keep nothing from now on."""
        call_id, control = await self._live(request)
        user: User = request["user"]
        try:
            await control.pause_recording(user.tenant_id, call_id, user)
        except ControlError as error:
            raise _refused(error) from None
        return answer(RecordingChange("paused"))

    async def resume_recording(self, request: web.Request) -> web.Response:
        """POST /api/v1/calls/{call_id}/recording/resume: record again from now on."""
        call_id, control = await self._live(request)
        user: User = request["user"]
        try:
            await control.resume_recording(user.tenant_id, call_id, user)
        except ControlError as error:
            raise _refused(error) from None
        return answer(RecordingChange("on"))

    async def _saved(self, request: web.Request) -> tuple[asyncpg.Record, Path]:
        user: User = request["user"]
        call = await require_call(self._calls, user.tenant_id, request.match_info["call_id"])
        row = await self._recordings.of_call(user.tenant_id, call["id"])
        if row is None:
            raise Problem(404, "nothing of this call was recorded")
        if row["status"] == "writing":
            raise Problem(409, "the recording is still being written")
        if row["status"] == "failed":
            raise Problem(404, f"the recording failed: {row['reason']}")
        try:
            return call, self._shelf.path(row["path"], call["id"])
        except ValueError:
            raise _gone() from None

    async def _live(self, request: web.Request) -> tuple[UUID, CallControl]:
        call = await require_call(self._calls, request["user"].tenant_id, request.match_info["call_id"])
        if self._control is None:
            raise Problem(503, "no calls are on the line in this process")
        return call["id"], self._control

    async def _note(self, user: User, call_id: UUID, act: str) -> None:
        """Write down that somebody hears a recording, once for all the pieces of it."""
        key, now_s = (user.id, call_id, act), time.monotonic()
        if now_s - self._heard.get(key, -AUDIT_AGAIN_S) < AUDIT_AGAIN_S:
            return
        await self._users.audit(user, act, str(call_id))
        self._heard[key] = now_s
        self._heard.move_to_end(key)
        while len(self._heard) > _HEARD_MOST:
            self._heard.popitem(last=False)


def _gone() -> Problem:
    return Problem(404, "the recording's file is not there")


def _refused(error: ControlError) -> Problem:
    return Problem(403 if isinstance(error, NotAllowed) else 409, str(error))
