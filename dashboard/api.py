"""/api/v1: calls, what was said in them and what it meant."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import asyncpg
import msgspec
from aiohttp import web

from dashboard import export, params
from dashboard.calls import require_call
from dashboard.outbox import Outbox
from dashboard.problem import Problem, bad_parameter
from dashboard.snapshot import SnapshotReader
from dashboard.views import CallPage, InsightView, Me, Page, Snapshot, call_summary, insight_view, segment_view
from infra.bus import keys
from infra.model import Event
from infra.store.calls import CallFilter, Position
from infra.store.insights import insight_to_json
from infra.store.users import User, UserStore

CALLS_PAGE: Final = 50
CALLS_MOST: Final = 200
SEGMENTS_PAGE: Final = 200
SEGMENTS_MOST: Final = 1000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
STATUSES: Final = ("live", "ended")


class ActionItemChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person decides about an action item."""

    status: Literal["open", "done", "dismissed"]


class CallPlace(msgspec.Struct, frozen=True, array_like=True):
    """Behind which call a page of the list goes on."""

    live: bool
    started_us: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    call_id: UUID


class SegmentPlace(msgspec.Struct, frozen=True, array_like=True):
    """Behind which segment a page of the transcript goes on."""

    start_ms: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    segment_id: UUID


class CallApi:
    """The operations on calls."""

    def __init__(self, snapshots: SnapshotReader, users: UserStore, outbox: Outbox) -> None:
        self._snapshots = snapshots
        self._calls = snapshots.calls
        self._users = users
        self._outbox = outbox

    async def me(self, request: web.Request) -> web.Response:
        """GET /api/v1/me."""
        user: User = request["user"]
        return answer(Me(id=user.id, name=user.name, role=user.role, tenant_id=user.tenant_id))

    async def list_calls(self, request: web.Request) -> web.Response:
        """GET /api/v1/calls: live ones first, then the newest."""
        tenant_id = request["user"].tenant_id
        begin, end = params.span(request)
        chosen = CallFilter(
            status=params.choice(request, "status", STATUSES),
            external_id=params.text(request, "external_id", most=255),
            started_from=begin,
            started_to=end,
            text=params.text(request, "q"),
        )
        most = params.limit(request, default=CALLS_PAGE, most=CALLS_MOST)
        after = params.position(request, CallPlace)
        cursor = await self._snapshots.cursor(keys.feed(tenant_id))
        behind = Position(after.live, _EPOCH + after.started_us * _MICROSECOND, after.call_id) if after else None
        rows = await self._calls.page(tenant_id, chosen, after=behind, limit=most + 1)
        items = [call_summary(row) for row in rows[:most]]
        follows = None
        if len(rows) > most:
            last = items[-1]
            started_us = (last.started_at - _EPOCH) // _MICROSECOND
            follows = params.place(CallPlace(last.status == "live", started_us, last.id))
        return answer(CallPage(items=items, next=follows, cursor=cursor))

    async def get_call(self, request: web.Request) -> web.Response:
        """GET /api/v1/calls/{call_id}: the snapshot."""
        row = await self._call(request)
        return answer(await self._snapshot(request["user"], row["id"]))

    async def get_transcript(self, request: web.Request) -> web.Response:
        """GET /api/v1/calls/{call_id}/transcript: final segments by time."""
        most = params.limit(request, default=SEGMENTS_PAGE, most=SEGMENTS_MOST)
        after = params.position(request, SegmentPlace)
        row = await self._call(request)
        segments = await self._snapshots.transcripts.page(
            row["id"], after=(after.start_ms, after.segment_id) if after else None, limit=most + 1
        )
        items = [segment_view(segment) for segment in segments[:most]]
        follows = None
        if len(segments) > most:
            follows = params.place(SegmentPlace(items[-1].start_ms, items[-1].segment_id))
        return answer(Page(items=items, next=follows))

    async def get_insights(self, request: web.Request) -> web.Response:
        """GET /api/v1/calls/{call_id}/insights."""
        row = await self._call(request)
        items = [insight_view(insight) for insight in await self._snapshots.insights.of_call(row["id"])]
        return answer(Page[InsightView](items=items))

    async def export_call(self, request: web.Request) -> web.Response:
        """GET /api/v1/calls/{call_id}/export?format=...: the call as a file."""
        chosen = params.choice(request, "format", tuple(export.FORMATS), "json")
        assert chosen is not None
        row = await self._call(request)
        user: User = request["user"]
        snapshot = await self._snapshot(user, row["id"])
        form = export.FORMATS[chosen]
        try:
            content = form.write(snapshot)
        except export.ExportError as error:
            raise bad_parameter("format", str(error)) from None
        await self._users.audit(user, "call.export", str(row["id"]), {"format": chosen})
        name = export.file_name(snapshot.call, chosen)
        return web.Response(
            body=content,
            headers={"Content-Type": form.media_type, "Content-Disposition": f'attachment; filename="{name}"'},
        )

    async def change_action_item(self, request: web.Request) -> web.Response:
        """PATCH /api/v1/action-items/{insight_id}: open, done or dismissed."""
        insight_id = params.path_uuid(request, "insight_id")
        change = await params.body(request, ActionItemChange)
        user: User = request["user"]
        insight = await self._snapshots.insights.edit(
            user.tenant_id, insight_id, "action_item", {"status": change.status}
        )
        if insight is None:
            raise Problem(404, "there is no such action item")
        await self._users.audit(user, "action_item.status", str(insight.id), {"status": change.status})
        event = Event(
            "insight",
            insight.call_id,
            _as_json(insight_to_json(insight)),
            key=f"insight:{insight.id}:{insight.revision}",
        )
        await self._outbox.publish(user.tenant_id, event)
        return answer(insight_view(insight))

    async def _call(self, request: web.Request) -> asyncpg.Record:
        return await require_call(self._calls, request["user"].tenant_id, request.match_info["call_id"])

    async def _snapshot(self, user: User, call_id: UUID) -> Snapshot:
        snapshot = await self._snapshots.read(user.tenant_id, call_id)
        if snapshot is None:
            raise Problem(404, "there is no such call")
        return snapshot


def answer(view: msgspec.Struct) -> web.Response:
    """Return an answer's JSON."""
    return web.Response(body=msgspec.json.encode(view), content_type="application/json")


def _as_json(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: msgspec.to_builtins(value) for name, value in facts.items()}
