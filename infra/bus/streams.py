"""Audio in, events through, screens out: the three kinds of stream, every write safe to repeat."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from infra.bus import codec, keys
from infra.model import AudioChunk, Event
from infra.telemetry import logger

log = logger(__name__)

EVENTS_KEPT_S: Final = 24 * 3600
FEED_KEPT_MS: Final = 3600 * 1000
TOLD_KEPT_S: Final = 6 * 3600
START: Final = "0-0"

BusError = (RedisError, OSError, TimeoutError)
"""What any call below may raise while Redis is away."""

# KEYS: stream, marker ('' = none). ARGV: body, marker's life in s, oldest id to keep ('' = all).
_APPEND_ONCE: Final = """
if KEYS[2] then
  local told = redis.call('GET', KEYS[2])
  if told then return told end
end
local id
if ARGV[3] ~= '' then
  id = redis.call('XADD', KEYS[1], 'MINID', '~', ARGV[3], '*', 'e', ARGV[1])
else
  id = redis.call('XADD', KEYS[1], '*', 'e', ARGV[1])
end
if KEYS[2] then redis.call('SET', KEYS[2], id, 'EX', ARGV[2]) end
return id
"""

# KEYS: stream. ARGV: the newest id that it has to have had, then of each entry its id, how many values, and these.
_APPEND_BEHIND: Final = """
local newest = 0
if redis.call('EXISTS', KEYS[1]) == 1 then
  local about = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #about, 2 do
    if about[i] == 'last-generated-id' then newest = tonumber(string.match(about[i + 1], '%d+')) end
  end
end
if newest < tonumber(ARGV[1]) then return 0 end
local i = 2
while i < #ARGV do
  local id, values = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  if id > newest then redis.call('XADD', KEYS[1], id .. '-0', unpack(ARGV, i + 2, i + 1 + values)) end
  i = i + 2 + values
end
return 1
"""


@dataclass(frozen=True, slots=True)
class AudioPage:
    """Chunks of one read, oldest first, and the number to go on after."""

    chunks: tuple[AudioChunk, ...]
    last_seq: int


@dataclass(frozen=True, slots=True)
class Page:
    """Entries of one read, oldest first; `complete` is False when the stream no longer reaches back to the cursor."""

    events: tuple[Event, ...]
    complete: bool = True


def open_redis(redis_url: str, *, timeout_s: float = 1.0, max_connections: int = 64) -> Redis:
    """Return a client that never retries by itself: a lost reply must not write twice.

    A command raises within `timeout_s` when Redis is frozen; blocking reads must ask for less.
    """
    pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
        redis_url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        max_connections=max_connections,
        timeout=timeout_s,
        protocol=2,
    )
    if sys.version_info < (3, 12):
        pool.connection_class = type("Connection", (_Cancellable, pool.connection_class), {})
    return Redis.from_pool(pool)


class _Cancellable:
    """A connection that lets itself be cancelled while it sends.

    redis-py sends inside asyncio.wait_for, which swallows a cancellation that comes just when it is done (Python 3.11):
    about one task in a hundred would not hear that it has to stop.
    """

    async def send_packed_command(self, *args: Any, **kwargs: Any) -> None:
        task = asyncio.current_task()
        asked = task.cancelling() if task else 0
        await super().send_packed_command(*args, **kwargs)  # type: ignore[misc]
        if task and task.cancelling() > asked:
            await self.disconnect(nowait=True)  # type: ignore[attr-defined]
            raise asyncio.CancelledError


class AudioStreams:
    """Tracks' audio: written by the gateway, read in order by the one worker that owns the track."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis  # its reply types name every protocol version at once
        self._append_behind = redis.register_script(_APPEND_BEHIND)

    async def append(self, batch: Iterable[tuple[UUID, AudioChunk]]) -> None:
        """Append chunks of any tracks in one round trip. Repeating a batch after an error is harmless."""
        pipeline = self._redis.pipeline(transaction=False)
        for track_id, chunk in batch:
            pipeline.xadd(keys.audio(track_id), codec.chunk_to_fields(chunk), id=_entry(chunk.seq))
        for reply in await pipeline.execute(raise_on_error=False):
            # An id at or below the newest one means that this chunk is already there.
            if isinstance(reply, Exception) and not _is_repeat(reply):
                raise reply

    async def append_behind(self, track_id: UUID, after_seq: int, chunks: Iterable[AudioChunk]) -> bool:
        """Append chunks of one track, all or none: none, and False, where Redis has forgotten the chunk `after_seq`.

        Repeating it is harmless.
        """
        entries: list[bytes | int | str] = []
        for chunk in chunks:
            values = [value for field in codec.chunk_to_fields(chunk).items() for value in field]
            entries += [chunk.seq + 1, len(values), *values]
        return bool(await self._append_behind(keys=[keys.audio(track_id)], args=[after_seq + 1, *entries]))

    async def read(self, track_id: UUID, *, after_seq: int, block_ms: int, count: int = 64) -> AudioPage:
        """Return the chunks after `after_seq` (-1: from the first), waiting up to `block_ms` for one.

        An entry that cannot be read is left out: its missing `seq` shows as a gap.
        """
        reply = await self._redis.xread({keys.audio(track_id): _entry(after_seq)}, count=count, block=block_ms)
        if not reply:
            return AudioPage((), after_seq)
        entries = reply[0][1]
        chunks = []
        for entry_id, fields in entries:
            try:
                chunks.append(codec.chunk_from_fields(fields))
            except codec.CodecError as error:
                log.error("unreadable audio entry", track_id=str(track_id), entry=_text(entry_id), error=str(error))
        return AudioPage(tuple(chunks), _seq(entries[-1][0]))

    async def trim(self, track_id: UUID, before_seq: int) -> None:
        """Forget the chunks before `before_seq`, which are covered by stored segments."""
        await self._redis.xtrim(keys.audio(track_id), minid=_entry(before_seq), approximate=False)

    async def forget(self, track_id: UUID) -> None:
        """Remove a finished track's audio."""
        await self._redis.delete(keys.audio(track_id))

    async def newest_end_ms(self, track_id: UUID) -> int | None:
        """Return where the newest chunk ends on the call's clock, None when there is none."""
        entries = await self._redis.xrevrange(keys.audio(track_id), count=1)
        return codec.chunk_from_fields(entries[0][1]).end_ms if entries else None

    async def length(self, track_id: UUID) -> int:
        """Return how many chunks are in the stream: those that no stored segment covers yet."""
        return int(await self._redis.xlen(keys.audio(track_id)))

    async def last_seq(self, track_id: UUID) -> int:
        """Return the number of the newest chunk that the stream ever had, trimmed or not; -1 for no stream."""
        try:
            about = await self._redis.xinfo_stream(keys.audio(track_id))
        except ResponseError:
            return -1
        return _seq(about["last-generated-id"])


class EventStreams:
    """Calls' events, and the feed in which all events of a tenant pass by."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis
        self._append_once = redis.register_script(_APPEND_ONCE)

    async def publish(self, tenant_id: UUID, event: Event) -> str:
        """Append to the call's stream and to the tenant's feed; return the cursor in the call's stream.

        An event with a key is appended once, however often this is called.
        """
        body = codec.event_to_bytes(event)
        call_keys = [keys.events(event.call_id)]
        feed_keys = [keys.feed(tenant_id)]
        if event.key:
            call_keys.append(keys.event_told(event.call_id, event.key))
            feed_keys.append(keys.feed_told(tenant_id, event.call_id, event.key))
        oldest = f"{int(event.at.timestamp() * 1000) - FEED_KEPT_MS}-0"
        event_id = await self._append_once(keys=call_keys, args=[body, TOLD_KEPT_S, ""])
        await self._append_once(keys=feed_keys, args=[body, TOLD_KEPT_S, oldest])
        return _text(event_id)

    async def expire(self, call_id: UUID) -> None:
        """Let the call's stream go a day from now (the database keeps what matters)."""
        await self._redis.expire(keys.events(call_id), EVENTS_KEPT_S)

    async def newest(self, stream: str) -> str:
        """Return the cursor of the newest entry of a stream (keys.events or keys.feed), '0-0' when empty."""
        entries = await self._redis.xrevrange(stream, count=1)
        return _text(entries[0][0]) if entries else START

    async def read(self, stream: str, *, after: str, block_ms: int, count: int = 500) -> list[Event]:
        """Return the entries after a cursor, waiting up to `block_ms` (0 = not at all) for one.

        An entry that cannot be read, from a later version say, is left out here and in `page`.
        """
        while reply := await self._redis.xread({stream: after}, count=count, block=block_ms or None):
            entries = reply[0][1]
            if events := _events(entries):
                return events
            after = _text(entries[-1][0])
        return []

    async def page(self, stream: str, *, after: str, count: int = 500) -> Page:
        """Return up to `count` entries after a cursor, and whether the stream still reaches back to it."""
        events: list[Event] = []
        read_after = after
        while not events and (entries := await self._redis.xrange(stream, min=f"({read_after}", count=count)):
            events = _events(entries)
            read_after = _text(entries[-1][0])
        complete = True
        if after != START:
            oldest = await self._redis.xrange(stream, count=1)
            complete = bool(oldest) and _order(_text(oldest[0][0])) <= _order(after)
        return Page(tuple(events), complete)


def valid_cursor(text: str) -> bool:
    """Return whether a client's cursor is a stream id."""
    parts = text.split("-")
    return len(parts) == 2 and all(part.isascii() and part.isdigit() and len(part) <= 19 for part in parts)


def _events(entries: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> list[Event]:
    events = []
    for entry_id, fields in entries:
        try:
            events.append(codec.event_from_bytes(_text(entry_id), fields.get(b"e", b"")))
        except codec.CodecError as error:
            log.error("unreadable event", entry=_text(entry_id), error=str(error))
    return events


def _entry(seq: int) -> str:
    return f"{seq + 1}-0"


def _seq(entry_id: bytes) -> int:
    return int(entry_id.split(b"-")[0]) - 1


def _order(cursor: str) -> tuple[int, int]:
    ms, _, n = cursor.partition("-")
    return int(ms), int(n or 0)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _is_repeat(error: Exception) -> bool:
    return isinstance(error, ResponseError) and "equal or smaller" in str(error)
