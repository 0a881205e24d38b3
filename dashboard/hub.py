"""The live feed: from the streams in Redis to every screen that looks, in order, nothing lost, nothing twice.

One tail reads a tenant's feed. It serves the `*` subscriptions, and it is the doorbell of the calls that
somebody watches: the call's own stream says what comes in which order, and is read once for all who watch it.
A subscription first catches up from its own cursor at its own pace, then joins what the tail hands out.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from redis.asyncio import Redis

from dashboard.health import Health
from dashboard.problem import where
from infra.bus import keys
from infra.bus.codec import event_to_json
from infra.bus.streams import BusError, EventStreams
from infra.model import Event, utc_now
from infra.telemetry import logger

HEARTBEAT_S: Final = 10.0
QUEUE_MESSAGES: Final = 2000
"""How far a screen may fall behind before it is cut off; it resumes from its cursor."""
PAGE: Final = 500
BLOCK_MS: Final = 500
AGAIN_S: Final = 0.02
RETRY_S: Final = 0.25
RETRY_MOST_S: Final = 2.0

_log = logger(__name__)


class TooSlowError(Exception):
    """The screen took the messages slower than they came."""


class HubClosed(Exception):
    """The server is shutting down."""


@dataclass(frozen=True, slots=True)
class Message:
    """What goes to a screen; `id` is the cursor to resume from once it has arrived."""

    kind: Literal["event", "heartbeat", "resync"]
    id: str
    payload: bytes
    event: Event | None = None


class Channel:
    """A stream that is read once for all who have caught up with it."""

    def __init__(self, stream: str, last: str) -> None:
        self.stream = stream
        self.last = last
        self.members: set[Subscription] = set()

    def hand_out(self, events: list[Event]) -> None:
        """Give the next entries to all members: encoded once, waiting for nobody."""
        if self.members:
            for event in events:
                message = _event_message(event)
                for member in self.members:
                    member.offer(message)
        if events:
            self.last = events[-1].id

    def start_over(self, newest: str) -> None:
        """Tell all members that there is a hole, and go on from `newest`."""
        message = _told("resync", newest, {"reason": "the stream no longer reaches back"})
        for member in self.members:
            member.start_over(message)
        self.last = newest


class Subscription:
    """One screen's view of one stream, for one task."""

    def __init__(self, hub: Hub, tail: Tail, stream: str, call_id: UUID | None, after: str | None) -> None:
        self.cursor = after or ""
        """The last id that was handed over; empty until 'now' is known."""
        self._hub = hub
        self._tail = tail
        self._stream = stream
        self.call_id = call_id
        self._checked = after is None
        self._floor = (0, 0)
        self._page: deque[Message] = deque()
        self._queue: deque[Message] = deque()
        self._too_slow = False
        self._joined = False
        self._rung = False
        self._wake = asyncio.Event()
        self._told: tuple[str, ...] | None = None
        self._beat_at = 0.0

    def offer(self, message: Message) -> None:
        """Take a message of the channel. Never waits."""
        if self._too_slow or _order(message.id) <= self._floor:
            return
        if len(self._queue) >= QUEUE_MESSAGES:
            self._too_slow = True
            self._queue.clear()
        else:
            self._queue.append(message)
        self._wake.set()

    def ring(self) -> None:
        """Know, while catching up, that something came which the page being read may lack."""
        self._rung = True

    def start_over(self, message: Message) -> None:
        """Take a resync, which makes everything before it worthless."""
        self._queue.clear()
        self._queue.append(message)
        self._floor = _order(message.id)
        self._wake.set()

    def wake(self) -> None:
        """Have a look: the degraded list has changed, or the hub has closed."""
        self._wake.set()

    def leave(self) -> None:
        """Take nothing more."""
        self._tail.leave(self)

    async def next(self) -> Message:
        """Wait for the next event, heartbeat or resync.

        Raises TooSlowError when more than `QUEUE_MESSAGES` wait, HubClosed when the server stops.
        """
        while True:
            self._wake.clear()
            if self._hub.closed:
                raise HubClosed
            if self._too_slow:
                raise TooSlowError
            if self._beat_is_due():
                return self._beat()
            if self._page or self._queue:
                message = (self._page or self._queue).popleft()
                self.cursor = message.id
                return message
            if self._joined:
                await self._rest(self._beat_at - time.monotonic())
            else:
                self._page.extend(await self._catch_up())

    async def _catch_up(self) -> list[Message]:
        """Return the next messages after our cursor; join the channel when there are none."""
        try:
            if not self._tail.ready.is_set():
                # An entry between our last page and the tail's first read would ring no bell.
                await self._rest(RETRY_S)
                return []
            if not self.cursor:
                self.cursor = await self._hub.streams.newest(self._stream)
            self._rung = False
            page = await self._hub.streams.page(self._stream, after=self.cursor, count=PAGE)
            if not page.complete or not self._checked:
                newest = await self._hub.streams.newest(self._stream)
                self._checked = True
                if not page.complete or _order(newest) < _order(self.cursor):
                    return [_told("resync", newest, {"reason": "the stream no longer reaches back to your cursor"})]
        except BusError:
            await self._rest(RETRY_S)
            return []
        if not page.events and not (self._rung or self._join()):
            await self._rest(AGAIN_S)
        return [_event_message(event) for event in page.events]

    def _join(self) -> bool:
        """Take part in the channel; False when it has come further than we have."""
        channel = self._tail.channel(self.call_id, self._stream, self.cursor)
        if _order(channel.last) > _order(self.cursor):
            return False
        self._floor = _order(self.cursor)
        self._joined = True
        self._tail.joining.discard(self)
        channel.members.add(self)
        return True

    def _beat_is_due(self) -> bool:
        return self._told != self._hub.health.degraded or time.monotonic() >= self._beat_at

    def _beat(self) -> Message:
        self._told = self._hub.health.degraded
        self._beat_at = time.monotonic() + HEARTBEAT_S
        return _told("heartbeat", self.cursor, {"degraded": self._told})

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._wake.wait()
        except TimeoutError:
            pass  # nothing came


class Tail:
    """The reader of one tenant's feed, for as long as somebody subscribes to anything of the tenant."""

    def __init__(self, hub: Hub, tenant_id: UUID) -> None:
        self.ready = asyncio.Event()
        self.subscribers: set[Subscription] = set()
        self.joining: set[Subscription] = set()
        """Those of them that still catch up."""
        self.tenant_id = tenant_id
        self._hub = hub
        self._feed = Channel(keys.feed(tenant_id), "")
        self._calls: dict[UUID, Channel] = {}
        self._doubtful = False
        self._ring_all_at = 0.0

    def channel(self, call_id: UUID | None, stream: str, cursor: str) -> Channel:
        """Return the channel of a call, made at `cursor` if there is none yet, or that of the feed."""
        if call_id is None:
            return self._feed
        return self._calls.setdefault(call_id, Channel(stream, cursor))

    def leave(self, subscription: Subscription) -> None:
        """Forget a subscription, and its call if nobody else watches it."""
        self.subscribers.discard(subscription)
        self.joining.discard(subscription)
        call_id = subscription.call_id
        channel = self._feed if call_id is None else self._calls.get(call_id)
        if channel is None:
            return
        channel.members.discard(subscription)
        if call_id is not None and not channel.members:
            self._calls.pop(call_id, None)

    async def follow(self) -> None:
        """Read until nobody is left. Errors of Redis are waited out; the cursors stay where they are."""
        pause_s = RETRY_S
        while self.subscribers:
            try:
                await self._step()
                pause_s = RETRY_S
                continue
            except BusError as error:
                _log.warning("live feed waits for redis", error=type(error).__name__)
            except Exception as error:  # noqa: BLE001  (the outer loop: a bug must not end the feed for all)
                _log.error("live feed failed", error=type(error).__name__, where=where(error))
            self._doubtful = True
            await asyncio.sleep(pause_s)
            pause_s = min(RETRY_MOST_S, pause_s * 2)

    async def _step(self) -> None:
        streams = self._hub.streams
        if not self.ready.is_set():
            self._feed.last = await streams.newest(self._feed.stream)
            self.ready.set()
        if self._doubtful:
            page = await streams.page(self._feed.stream, after=self._feed.last, count=1)
            if not page.complete:
                self._feed.start_over(await streams.newest(self._feed.stream))
            await self._read_calls(set(self._calls), careful=True)
            self._doubtful = False
        events = await streams.read(self._feed.stream, after=self._feed.last, block_ms=BLOCK_MS, count=PAGE)
        self._feed.hand_out(events)
        told_of = {event.call_id for event in events}
        for subscription in self.joining:
            if subscription.call_id in told_of:
                subscription.ring()
        rung = told_of & self._calls.keys()
        if time.monotonic() >= self._ring_all_at:
            # A writer that died between the call's stream and the feed rang no bell.
            self._ring_all_at = time.monotonic() + HEARTBEAT_S
            rung = set(self._calls)
        await self._read_calls(rung, careful=False)

    async def _read_calls(self, call_ids: set[UUID], *, careful: bool) -> None:
        for call_id in call_ids:
            channel = self._calls.get(call_id)
            if channel is not None:  # its last watcher may have left meanwhile
                await self._read_call(channel, careful=careful)

    async def _read_call(self, channel: Channel, *, careful: bool) -> None:
        streams = self._hub.streams
        if careful and not (await streams.page(channel.stream, after=channel.last, count=1)).complete:
            channel.start_over(await streams.newest(channel.stream))
        while True:
            events = await streams.read(channel.stream, after=channel.last, block_ms=0, count=PAGE)
            channel.hand_out(events)
            if len(events) < PAGE:
                return


class Hub:
    """All tails of this process."""

    def __init__(self, redis: Redis, health: Health) -> None:
        self.streams = EventStreams(redis)
        self.health = health
        self.closed = False
        self._tails: dict[UUID, Tail] = {}
        self.runs = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        health.on_change = self.wake_all

    async def run(self) -> None:
        """Own the tails, for ever."""
        async with asyncio.TaskGroup() as self._group:
            self.runs.set()
            await asyncio.get_running_loop().create_future()

    @contextmanager
    def subscribe(self, tenant_id: UUID, call_id: UUID | None, after: str | None) -> Iterator[Subscription]:
        """Give a subscription to a call's stream, or to the tenant's feed, from behind a cursor or from now."""
        tail = self._tails.get(tenant_id)
        if tail is None:
            tail = self._tails[tenant_id] = Tail(self, tenant_id)
            assert self._group is not None, "the hub does not run"
            self._group.create_task(self._follow(tail))
        stream = keys.feed(tenant_id) if call_id is None else keys.events(call_id)
        subscription = Subscription(self, tail, stream, call_id, after)
        tail.subscribers.add(subscription)
        tail.joining.add(subscription)
        try:
            yield subscription
        finally:
            subscription.leave()

    def wake_all(self) -> None:
        """Have every subscription look up."""
        for tail in self._tails.values():
            for subscription in tail.subscribers:
                subscription.wake()

    def close(self) -> None:
        """End every subscription."""
        self.closed = True
        self.wake_all()

    async def _follow(self, tail: Tail) -> None:
        await tail.follow()
        # Between the tail's last look at its subscribers and this line nothing else has run.
        del self._tails[tail.tenant_id]


def _event_message(event: Event) -> Message:
    return Message("event", event.id, event_to_json(event), event)


def _told(kind: Literal["heartbeat", "resync"], cursor: str, data: dict[str, Any]) -> Message:
    body = {"id": cursor, "type": kind, "call_id": None, "at": utc_now(), "data": data}
    return Message(kind, cursor, msgspec.json.encode(body))


def _order(cursor: str) -> tuple[int, int]:
    ms, _, n = cursor.partition("-")
    return int(ms), int(n or 0)
