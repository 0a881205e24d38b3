"""/api/v1: the queues that calls wait in, and the callers who wait to hear from us."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final
from uuid import UUID, uuid4

import asyncpg
import msgspec
from aiohttp import web

from dashboard import params
from dashboard.api import answer
from dashboard.problem import Problem, bad_parameter
from dashboard.views import CallbackView, Page, QueueView
from infra.settings import TwilioMode
from infra.store.callbacks import CALLBACK_STATUSES, CallbackStatus, CallbackStore
from infra.store.queues import (
    NameTaken,
    NumbersTaken,
    OnTimeout,
    Queue,
    QueueStore,
    is_e164,
    normal_number,
)
from infra.store.users import User, UserStore

CALLBACKS_PAGE: Final = 50
CALLBACKS_MOST: Final = 200
MAX_TARGETS: Final = 10
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_TARGET: Final = re.compile(r"client:[A-Za-z0-9_.+@-]{1,240}|sips?:[A-Za-z0-9_.!~*'();:@&=+$/?%-]{1,240}")

Seconds = Annotated[int, msgspec.Meta(ge=0, le=3600)]


class QueueFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an admin says of a queue; what is left out is as on a new queue."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    numbers: Annotated[list[Annotated[str, msgspec.Meta(max_length=40)]], msgspec.Meta(max_length=200)] = []
    mode: TwilioMode | None = None
    dial: Annotated[str, msgspec.Meta(max_length=2000)] | None = None
    greeting: Annotated[str, msgspec.Meta(max_length=1000)] | None = None
    music: bool = True
    consent: bool = False
    recorded: bool = True
    ring_s: Annotated[int, msgspec.Meta(ge=5, le=300)] = 20
    max_wait_s: Seconds = 300
    max_waiting: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 50
    on_timeout: OnTimeout = "voicemail"
    overflow_to: UUID | None = None
    overflow_after_s: Seconds = 60
    agents: Annotated[list[UUID], msgspec.Meta(max_length=500)] = []


class CallbackChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of a callback."""

    status: CallbackStatus


class CallbackPlace(msgspec.Struct, frozen=True, array_like=True):
    """Behind which callback a page of the list goes on."""

    requested_us: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    callback_id: UUID


class QueueApi:
    """The operations on queues."""

    def __init__(self, pool: asyncpg.Pool, users: UserStore) -> None:
        self._queues = QueueStore(pool)
        self._users = users

    async def list_queues(self, request: web.Request) -> web.Response:
        """GET /api/v1/queues: the default one first, then by name."""
        queues = await self._queues.all(request["user"].tenant_id)
        return answer(Page(items=[_queue_view(queue) for queue in queues]))

    async def add_queue(self, request: web.Request) -> web.Response:
        """POST /api/v1/queues."""
        user: User = request["user"]
        queue = await self._put(user, Queue(uuid4(), "", user.tenant_id), await params.body(request, QueueFields))
        await self._users.audit(user, "queue.create", str(queue.id), {"name": queue.name})
        response = answer(_queue_view(queue))
        response.set_status(201)
        response.headers["Location"] = f"/api/v1/queues/{queue.id}"
        return response

    async def change_queue(self, request: web.Request) -> web.Response:
        """PUT /api/v1/queues/{queue_id}: all of it anew."""
        user: User = request["user"]
        queue_id = params.path_uuid(request, "queue_id")
        before = await self._queues.get(user.tenant_id, queue_id)
        if before is None:
            raise _no_queue()
        queue = await self._put(user, before, await params.body(request, QueueFields))
        changed = [f.name for f in fields(Queue) if getattr(before, f.name) != getattr(queue, f.name)]
        await self._users.audit(user, "queue.change", str(queue.id), {"name": queue.name, "changed": changed})
        return answer(_queue_view(queue))

    async def delete_queue(self, request: web.Request) -> web.Response:
        """DELETE /api/v1/queues/{queue_id}; its numbers fall to the default queue."""
        user: User = request["user"]
        queue_id = params.path_uuid(request, "queue_id")
        queue = await self._queues.get(user.tenant_id, queue_id)
        if queue is None:
            raise _no_queue()
        if queue.is_default:
            raise Problem(409, "the default queue stays: some queue has to take the calls that no other takes")
        if not await self._queues.delete(user.tenant_id, queue_id):
            raise _no_queue()
        await self._users.audit(user, "queue.delete", str(queue_id), {"name": queue.name})
        return web.Response(status=204)

    async def _put(self, user: User, before: Queue, wanted: QueueFields) -> Queue:
        queue = replace(
            before,
            **{
                **{name: getattr(wanted, name) for name in QueueFields.__struct_fields__},
                "name": _name(wanted.name),
                "numbers": _numbers(wanted.numbers),
                "dial": _dial(wanted.dial),
                "greeting": _greeting(wanted.greeting),
                "agents": tuple(dict.fromkeys(wanted.agents)),
            },
        )
        if unknown := await self._queues.unknown_agents(user.tenant_id, queue.agents):
            raise bad_parameter("agents", f"{unknown[0]} is nobody here")
        if queue.overflow_to is not None:
            if queue.overflow_to == queue.id:
                raise bad_parameter("overflow_to", "a queue cannot overflow to itself")
            if await self._queues.get(user.tenant_id, queue.overflow_to) is None:
                raise bad_parameter("overflow_to", "there is no such queue")
        try:
            await self._queues.put(queue)
        except NumbersTaken as taken:
            raise Problem(409, f"numbers: {taken}", parameter="numbers") from None
        except NameTaken as taken:
            raise Problem(409, f"name: {taken}", parameter="name") from None
        return queue


class CallbackApi:
    """The operations on callbacks."""

    def __init__(self, pool: asyncpg.Pool, users: UserStore) -> None:
        self._callbacks = CallbackStore(pool)
        self._users = users

    async def list_callbacks(self, request: web.Request) -> web.Response:
        """GET /api/v1/callbacks: the newest first."""
        status = params.choice(request, "status", CALLBACK_STATUSES)
        most = params.limit(request, default=CALLBACKS_PAGE, most=CALLBACKS_MOST)
        after = params.position(request, CallbackPlace)
        behind = (_EPOCH + after.requested_us * _MICROSECOND, after.callback_id) if after else None
        rows = await self._callbacks.page(request["user"].tenant_id, status=status, after=behind, limit=most + 1)
        items = [CallbackView(**row) for row in rows[:most]]
        follows = None
        if len(rows) > most:
            last = items[-1]
            follows = params.place(CallbackPlace((last.requested_at - _EPOCH) // _MICROSECOND, last.id))
        return answer(Page(items=items, next=follows))

    async def change_callback(self, request: web.Request) -> web.Response:
        """PATCH /api/v1/callbacks/{callback_id}: open, done or dismissed."""
        user: User = request["user"]
        callback_id = params.path_uuid(request, "callback_id")
        change = await params.body(request, CallbackChange)
        row = await self._callbacks.change(user.tenant_id, callback_id, change.status, user.id)
        if row is None:
            raise Problem(404, "there is no such callback")
        await self._users.audit(user, "callback.status", str(callback_id), {"status": change.status})
        return answer(CallbackView(**row))


def _name(text: str) -> str:
    name = " ".join(text.split())
    if not name or not name.isprintable():
        raise bad_parameter("name", "is empty, or holds characters that cannot be printed")
    return name


def _numbers(written: list[str]) -> tuple[str, ...]:
    numbers = sorted({normal_number(number) for number in written})
    for number in numbers:
        if not is_e164(number):
            raise bad_parameter("numbers", f"{number!r} is no number in E.164 such as +15550100")
    return tuple(numbers)


def _dial(text: str | None) -> str | None:
    targets = [target.strip() for target in (text or "").split(",") if target.strip()]
    if len(targets) > MAX_TARGETS:
        raise bad_parameter("dial", f"names more than {MAX_TARGETS} targets")
    for place, target in enumerate(targets):
        if is_e164(number := normal_number(target)):
            targets[place] = number
        elif not _TARGET.fullmatch(target):
            raise bad_parameter("dial", f"{target!r} is none of +15550100, client:NAME, sip:USER@HOST")
    return ",".join(targets) or None


def _greeting(text: str | None) -> str | None:
    if text is None:
        return None
    if not all(c.isprintable() or c.isspace() for c in text):
        raise bad_parameter("greeting", "holds characters that cannot be spoken")
    return text.strip()


def _no_queue() -> Problem:
    return Problem(404, "there is no such queue")


def _queue_view(queue: Queue) -> QueueView:
    return msgspec.convert(queue, QueueView, from_attributes=True)
