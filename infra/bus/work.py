"""Work that has one owner: a track for an ASR worker, a call for an insight worker.

The announcement stays pending in its consumer group until the work is done. The owner renews its lease; a peer
takes over what has not been renewed. Ownership is advisory (a frozen worker may wake up late), so every write
that follows from it is idempotent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from infra.bus import codec, keys

KNOWN_S: Final = 24 * 3600
GROUP: Final = "owners"

# KEYS: work stream, marker. ARGV: announcement, marker's life in s.
_ANNOUNCE: Final = """
if redis.call('SET', KEYS[2], '1', 'NX', 'EX', ARGV[2]) then
  return redis.call('XADD', KEYS[1], '*', 'item', ARGV[1])
end
return false
"""

# KEYS: work stream. ARGV: group, owner, entry, idle ms to set, failures to set ('' = leave).
# A blind XCLAIM would steal the work back from its new owner, so ask and claim in one step.
_RENEW: Final = """
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)
if #pending == 0 or pending[1][2] ~= ARGV[2] then return 0 end
if ARGV[5] ~= '' then
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'IDLE', ARGV[4], 'RETRYCOUNT', ARGV[5], 'JUSTID')
else
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'IDLE', ARGV[4], 'JUSTID')
end
return 1
"""

# KEYS: work stream, marker. ARGV: group, entry.
_DONE: Final = """
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('DEL', KEYS[2])
return 1
"""


@dataclass(frozen=True, slots=True)
class Lease:
    """One piece of work that is ours for now."""

    entry: str
    item: bytes
    deliveries: int
    """How often it was handed out since it last made progress; 1 on the first time."""


class WorkQueue:
    """The announcements of one kind, as one worker sees them."""

    def __init__(self, redis: Redis, kind: keys.Work, owner: str, *, lease_ms: int = 6000) -> None:
        self.kind: keys.Work = kind
        self.owner = owner
        self.lease_ms = lease_ms
        self._redis: Any = redis
        self._stream = keys.work(kind)
        self._announce = redis.register_script(_ANNOUNCE)
        self._renew = redis.register_script(_RENEW)
        self._done = redis.register_script(_DONE)

    async def announce(self, item: codec.WorkItem) -> None:
        """Put up a track or a call for ownership; a repeat while it is known does nothing."""
        await self._announce(
            keys=[self._stream, keys.work_known(self.kind, codec.work_id(item))],
            args=[codec.work_to_bytes(item), KNOWN_S],
        )

    async def take(self, *, block_ms: int, patience_ms: int = 0) -> Lease | None:
        """Return work that nobody owns: left behind by a silent owner, or new; None after `block_ms` without any.

        With `patience_ms` only what nobody else has taken for so long is taken, and nothing is waited for.
        """
        try:
            if not patience_ms:
                return await self._abandoned(self.lease_ms) or await self._fresh(block_ms)
            if lease := await self._abandoned(self.lease_ms + patience_ms):
                return lease
            return await self._fresh(None) if await self.unowned_ms() >= patience_ms else None
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            await self._make_group()
            return None

    async def held(self) -> dict[str, int]:
        """Return how many pieces of work each owner holds; owners with none are left out."""
        try:
            summary = await self._redis.xpending(self._stream, GROUP)
        except ResponseError:
            return {}  # nobody has taken anything yet
        return {_text(owner["name"]): int(owner["pending"]) for owner in summary["consumers"]}

    async def unowned_ms(self) -> int:
        """Return for how many milliseconds the oldest announcement has waited for its first owner; 0 without any."""
        try:
            (group,) = await self._redis.xinfo_groups(self._stream)
        except (ResponseError, ValueError):
            return 0
        after = _text(group["last-delivered-id"])
        entries = await self._redis.xrange(self._stream, min=f"({after}", count=1)
        if not entries:
            return 0
        seconds, micros = await self._redis.time()
        return max(0, int(seconds) * 1000 + int(micros) // 1000 - int(_text(entries[0][0]).split("-")[0]))

    async def renew(self, lease: Lease, *, progressed: bool = False) -> bool:
        """Keep the lease; False when it belongs to somebody else by now. `progressed` forgives earlier failures."""
        return bool(
            await self._renew(keys=[self._stream], args=[GROUP, self.owner, lease.entry, 0, int(progressed) or ""])
        )

    async def release(self, lease: Lease) -> None:
        """Give the work up at once, for a peer to go on with it, without counting a failure."""
        await self._renew(keys=[self._stream], args=[GROUP, self.owner, lease.entry, self.lease_ms * 2, 0])

    async def done(self, lease: Lease, item_id: UUID) -> None:
        """Take finished work off the list."""
        await self._done(keys=[self._stream, keys.work_known(self.kind, item_id)], args=[GROUP, lease.entry])

    async def bury(self, lease: Lease, item_id: UUID, reason: str) -> None:
        """Move work that keeps failing to the dead stream, with its reason."""
        await self._redis.xadd(keys.dead(self.kind), {"item": lease.item, "reason": reason}, maxlen=10_000)
        await self.done(lease, item_id)

    async def waiting(self) -> int:
        """Return how many announcements are on the list, owned or not."""
        return int(await self._redis.xlen(self._stream))

    async def buried(self) -> int:
        """Return how many pieces of work are in the dead stream."""
        return int(await self._redis.xlen(keys.dead(self.kind)))

    async def _abandoned(self, idle_ms: int) -> Lease | None:
        # Not XAUTOCLAIM: it looks at the first few pending entries only, which may all be in good hands.
        pending = {"min": "-", "max": "+", "count": 1, "idle": idle_ms}
        while silent := await self._redis.xpending_range(self._stream, GROUP, **pending):
            entry, deliveries = silent[0]["message_id"], silent[0]["times_delivered"]
            claimed = await self._redis.xclaim(self._stream, GROUP, self.owner, idle_ms, [entry])
            if claimed and claimed[0][0] is not None:  # else a peer was quicker
                return _lease(entry, claimed[0][1], deliveries + 1)
        return None

    async def _fresh(self, block_ms: int | None) -> Lease | None:
        reply = await self._redis.xreadgroup(GROUP, self.owner, {self._stream: ">"}, count=1, block=block_ms)
        if not reply:
            return None
        entry, fields = reply[0][1][0]
        return _lease(entry, fields, 1)

    async def _make_group(self) -> None:
        try:
            await self._redis.xgroup_create(self._stream, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise


def _lease(entry: bytes, fields: dict[bytes, bytes], deliveries: int) -> Lease:
    """An entry that is not ours has an empty item, which nobody can read."""
    return Lease(entry.decode(), fields.get(b"item", b""), deliveries)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
