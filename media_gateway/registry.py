"""The calls that this gateway has on the line: what the transports call, told to Redis and PostgreSQL in order."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID, uuid4

from prometheus_client import Counter, Gauge

from infra.bus.codec import CallWork, CodecError, TrackWork
from infra.bus.presence import RENEW_S, Presence
from infra.bus.streams import BusError, EventStreams
from infra.bus.work import WorkQueue
from infra.model import AudioChunk, Call, Event, EventType, Hole, Leg, Role, Stage, Track, stable_id, utc_now
from infra.store.calls import CallStore
from infra.store.database import StoreAway
from infra.telemetry import logger
from media_gateway.outbox import Outbox
from media_gateway.ports import CallRefused, TrackSink
from media_gateway.recording.live import CallRecording
from media_gateway.recording.recorder import Recorder
from media_gateway.tap import Tap

log = logger(__name__)

_LIVE: Final = Gauge("hearline_live_calls", "Calls on the line", multiprocess_mode="livesum")
_ANSWERED: Final = Counter("hearline_calls_total", "Calls answered, by door", ["door"])
_KNOWN_BEFORE_S: Final = 0.5
"""How long answering a call may wait for PostgreSQL to say whether the call began earlier."""
_GIVEN_UP_S: Final = 2 * RENEW_S
"""How long a gateway must show no sign of life, while Redis answers, before its calls are ended for it."""

SHUTDOWN: Final = "server-shutdown"
"""Why calls end that the server took down with it."""
_REMEMBERED: Final = 1000
_STORED_FIRST_S: Final = 1.0
"""How long an event may wait for PostgreSQL to hold what it tells."""


class Registry:
    """Answers calls and keeps the list of the live ones."""

    def __init__(
        self,
        *,
        tap: Tap,
        events: EventStreams,
        asr_work: WorkQueue,
        insight_work: WorkQueue,
        presence: Presence,
        store: CallStore,
    ) -> None:
        self.gateway_id = uuid4().hex
        self.draining = False
        self.sip_problem: str | None = None
        """What is wrong with the SIP registration, for the screens; None: nothing."""
        self.tap = tap
        self.asr_work = asr_work
        self.insight_work = insight_work
        self.store = store
        self.recorder: Recorder | None = None
        """None records nothing."""
        self.to_bus = Outbox("bus", BusError)
        self.to_store = Outbox("store", StoreAway)
        self._events = events
        self._presence = presence
        self._calls: dict[UUID, LiveCall] = {}
        self._over: dict[UUID, None] = {}
        """The last calls that ended here, and not for the server's sake."""
        self._silent_since: dict[str, float] = {}
        self.empty = asyncio.Event()
        """Set while no call is on the line."""
        self.empty.set()

    @property
    def live_count(self) -> int:
        """Return how many calls are on the line."""
        return len(self._calls)

    async def answer(self, call: Call) -> LiveCall:
        """Answer a call, or return it when it is live here already. Raises CallRefused."""
        if (live := self._calls.get(call.id)) is not None:
            return live
        if self.draining:
            raise CallRefused("the server is about to stop")
        if not (self.to_bus.has_room and self.to_store.has_room):
            raise CallRefused("Redis or PostgreSQL has been away for too long")
        started_at = await self._began_before(call)
        silent_since_ms = await self._heard_until(call.id) if started_at else None
        if (live := self._calls.get(call.id)) is not None:  # another leg was quicker
            return live
        self._over.pop(call.id, None)
        live = LiveCall(self, dataclasses.replace(call, started_at=started_at) if started_at else call, silent_since_ms)
        self._calls[call.id] = live
        self.empty.clear()
        _LIVE.set(len(self._calls))
        _ANSWERED.labels(call.door).inc()
        live.begin()
        return live

    async def _began_before(self, call: Call) -> datetime | None:
        """A call that comes back, after a crash say, goes on by its first clock; a stranger's call does not."""
        try:
            async with asyncio.timeout(_KNOWN_BEFORE_S):
                origin = await self.store.origin(call.id)
        except StoreAway:
            return None
        if origin is None:
            return None
        if any(origin[name] != getattr(call, name) for name in ("tenant_id", "door", "external_id", "owner_id")):
            raise CallRefused("a call of that id came by another door or is somebody else's")
        began = origin["started_at"]
        assert isinstance(began, datetime)
        return began

    async def _heard_until(self, call_id: UUID) -> int | None:
        """Return where the audio of a call that comes back broke off, None when nobody can tell."""
        try:
            async with asyncio.timeout(_KNOWN_BEFORE_S):
                stored = await self.store.heard_until(call_id)
                ends_ms = [await self.tap.streams.newest_end_ms(track_id) or 0 for track_id in stored]
        except (*StoreAway, *BusError, CodecError) as error:
            log.warning("the hole of a call that came back is not marked", error=type(error).__name__)
            return None
        return max([*stored.values(), *ends_ms], default=None)

    def live(self, call_id: UUID) -> LiveCall | None:
        """Return the call of that id, if it is on the line here."""
        return self._calls.get(call_id)

    def has_ended(self, call_id: UUID) -> bool:
        """Return whether the call is known to have ended here, although it might have gone on."""
        return call_id in self._over

    def forget(self, call_id: UUID, reason: str) -> None:
        """Take an ended call off the list."""
        self._calls.pop(call_id, None)
        if not self._calls:
            self.empty.set()
        if reason != SHUTDOWN:
            self._over[call_id] = None
            if len(self._over) > _REMEMBERED:
                del self._over[next(iter(self._over))]
        _LIVE.set(len(self._calls))

    def publish(self, call: Call, kind: EventType, data: dict[str, Any], key: str) -> None:
        """Queue an event of a call. It follows what was put up for storing before: a snapshot must not lag behind."""
        event, stored = Event(kind, call.id, data, key=key), self.to_store.newest

        async def tell() -> None:
            await self.to_store.passed(stored, _STORED_FIRST_S)
            await self._events.publish(call.tenant_id, event)

        self.to_bus.put(kind, tell)

    def tell_sip_problem(self, problem: str | None) -> None:
        """Have the screens say what is wrong with the SIP registration; None: nothing any more."""
        self.sip_problem = problem
        self.to_bus.put("sip problem", lambda: self._presence.sip_problem(self.gateway_id, problem))

    def end_all(self, reason: str) -> None:
        """End every call that is still on the line."""
        for live in list(self._calls.values()):
            live.hang_up(reason)

    async def run(self) -> None:
        """Tell what happens, show that this gateway lives, and end the calls of gateways that died."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.tap.run())
            tasks.create_task(self.to_bus.run())
            tasks.create_task(self.to_store.run())
            tasks.create_task(self._live_on())

    async def drained(self, timeout_s: float) -> bool:
        """Wait until everything is told; False when that takes longer than `timeout_s`."""
        results = await asyncio.gather(
            self.tap.drained(timeout_s), self.to_bus.drained(timeout_s), self.to_store.drained(timeout_s)
        )
        return all(results)

    async def _live_on(self) -> None:
        announce_again = False
        while True:
            try:
                await self._presence.gateway(self.gateway_id)
                if self.sip_problem is not None:
                    await self._presence.sip_problem(self.gateway_id, self.sip_problem)
                if announce_again:
                    for live in list(self._calls.values()):
                        live.announce()
                announce_again = False
                await self._end_orphans()
            except BusError as error:
                # A Redis that comes back empty has forgotten who waits to be recognised, and who lives.
                announce_again = True
                self._silent_since.clear()
                log.warning("no sign of life could be given", error=type(error).__name__)
            except StoreAway as error:
                log.warning("orphaned calls could not be looked for", error=type(error).__name__)
            await asyncio.sleep(RENEW_S)

    async def _end_orphans(self) -> None:
        """End calls whose gateway fell silent: their media is gone for good."""
        rows = [row for row in await self.store.live() if row["id"] not in self._calls]
        now_s, since = time.monotonic(), self._silent_since
        silent = [
            gateway_id
            for gateway_id in {row["gateway_id"] for row in rows}
            if not await self._presence.gateway_lives(gateway_id)
        ]
        self._silent_since = {gateway_id: since.get(gateway_id, now_s) for gateway_id in silent}
        for row in rows:
            if now_s - self._silent_since.get(row["gateway_id"], now_s) >= _GIVEN_UP_S:
                await self._end_orphan(row["id"], row["tenant_id"], row["gateway_id"])

    async def _end_orphan(self, call_id: UUID, tenant_id: UUID, gateway_id: str) -> None:
        duration_ms = await self.store.last_ms(call_id)
        if not await self.store.end(call_id, "gateway lost", utc_now(), duration_ms, gateway_id=gateway_id):
            return
        log.warning("call ended for its lost gateway", call_id=str(call_id))
        data = {"reason": "gateway lost", "duration_ms": duration_ms}
        event = Event("call.ended", call_id, data, key=f"lost:{gateway_id}")
        self.to_bus.put(event.type, lambda: self._events.publish(tenant_id, event))


class LiveCall:
    """A call on the line, as a transport sees it (media_gateway.ports.CallHandle)."""

    def __init__(self, registry: Registry, call: Call, silent_since_ms: int | None = None) -> None:
        """`silent_since_ms`: where its audio broke off, for a call that comes back."""
        self.call = call
        self._silent_since_ms = silent_since_ms
        self._returned: set[Role] = set()
        """Parties whose hole since then is marked."""
        self._registry = registry
        self._epoch = uuid4().hex[:12]
        self._zero_s = time.monotonic() - max(0.0, (utc_now() - call.started_at).total_seconds())
        self._announced: list[TrackWork] = []
        self._listeners: list[Callable[[str], None]] = []
        self._acts = 0
        self._recording: CallRecording | None = None
        self._ended = False

    def begin(self) -> None:
        """Tell that the call is live."""
        call, registry = self.call, self._registry
        registry.to_store.put("open call", lambda: registry.store.open(call, registry.gateway_id))
        if registry.recorder is not None and call.recorded:
            self._recording = registry.recorder.open(call)
        registry.publish(call, "call.started", call_started(call), f"started:{self._epoch}")
        if self._recording is not None:
            registry.publish(call, "recording.started", {}, f"recording:{self._epoch}")
        self._announce_call()

    @property
    def recording_state(self) -> Literal["off", "on", "paused"]:
        """Return whether the call is being recorded."""
        return self._recording.state if self._recording is not None else "off"

    def record(self, user_id: UUID | None, *, on: bool) -> bool:
        """Go on recording, or pause; False when the call is not recorded at all."""
        if self._recording is None or self.recording_state == "off":
            return False
        if on is (self.recording_state == "paused"):
            (self._recording.resume if on else self._recording.pause)(self.clock_ms())
            self.note_act(user_id, "recording.resume" if on else "recording.pause", {})
        return True

    def clock_ms(self) -> int:
        """Return milliseconds since the call's first leg was answered."""
        return int((time.monotonic() - self._zero_s) * 1000)

    def join(self, role: Role, name: str | None, user_id: UUID | None = None) -> Leg:
        """Add a party to the call."""
        call, registry = self.call, self._registry
        leg = Leg(uuid4(), call.id, role, name)
        registry.to_store.put("add leg", lambda: registry.store.add_leg(call, leg, registry.gateway_id, user_id))
        registry.publish(call, "leg.joined", leg_joined(leg), f"joined:{leg.id}")
        return leg

    def rename(self, leg: Leg, name: str | None) -> Leg:
        """Tell what a party is called, where that is known only now."""
        registry, renamed = self._registry, dataclasses.replace(leg, name=name)
        registry.to_store.put("rename leg", lambda: registry.store.rename_leg(leg.id, name))
        data = {"leg_id": leg.id, "role": leg.role, "name": name}
        registry.publish(self.call, "leg.joined", data, self._next_key(f"renamed:{leg.id}"))
        return renamed

    def open_track(
        self, leg: Leg, label: str, *, recorded: bool = True, mixed: bool = False
    ) -> tuple[Track, TrackSink]:
        """Open one direction of a party's audio and look for somebody to recognise it."""
        call, registry = self.call, self._registry
        number = len(self._announced)
        track = Track(stable_id("track", leg.id, label, number), leg.id, call.id, label, mixed)
        work = TrackWork(call, leg, track, f"SPEAKER_{number:02d}", registry.gateway_id)
        self._announced.append(work)
        registry.to_store.put(
            "add track", lambda: registry.store.add_track(call, leg, track, work.speaker, registry.gateway_id)
        )
        registry.publish(call, "track.opened", track_opened(work), f"opened:{track.id}")
        registry.to_bus.put("announce track", lambda: registry.asr_work.announce(work))
        sink: TrackSink = registry.tap.sink(track.id)
        if self._silent_since_ms is not None and leg.role not in self._returned:
            self._returned.add(leg.role)
            sink = _AfterHole(sink, self._silent_since_ms)
        if recorded and self._recording is not None:
            sink = _Both(sink, self._recording.track(track, leg.role))
        return track, sink

    def leave(self, leg: Leg, reason: str) -> None:
        """Take a party out of the call."""
        registry, at = self._registry, utc_now()
        registry.to_store.put("close leg", lambda: registry.store.close_leg(leg.id, at, reason))
        registry.publish(self.call, "leg.left", {"leg_id": leg.id, "reason": reason}, f"left:{leg.id}")

    def on_end(self, listener: Callable[[str], None]) -> None:
        """Have `listener(reason)` called before the call ends; at once if it has."""
        if self._ended:
            listener("ended")
        else:
            self._listeners.append(listener)

    def hang_up(self, reason: str) -> None:
        """End the call; a second time does nothing."""
        if self._ended:
            return
        self._ended = True
        while self._listeners:
            listener = self._listeners.pop()
            try:
                listener(reason)
            except Exception as error:  # noqa: BLE001  (whatever a listener does, the call has to end)
                log.error("listener failed", call_id=str(self.call.id), error=type(error).__name__)
        call, registry, at, duration_ms = self.call, self._registry, utc_now(), self.clock_ms()
        registry.forget(call.id, reason)
        registry.to_store.put("end call", lambda: registry.store.end(call.id, reason, at, duration_ms))
        data = {"reason": reason, "duration_ms": duration_ms}
        registry.publish(call, "call.ended", data, f"ended:{self._epoch}")
        if self._recording is not None:
            self._recording.finish(duration_ms)

    def note(self, what: str, data: dict[str, object]) -> None:
        """Log that something happened beside the audio; what a caller keyed in is not written down."""
        log.info("call note", call_id=str(self.call.id), what=what)

    def set_stage(self, stage: Stage, *, queue_id: UUID | None, queue: str, agent: tuple[UUID, str] | None) -> None:
        """Tell where a bridged call stands."""
        call, registry = self.call, self._registry
        agent_id, name = agent or (None, None)
        registry.to_store.put(
            "stage", lambda: registry.store.set_stage(call.id, stage, queue_id=queue_id, agent_id=agent_id)
        )
        data = {"stage": stage, "queue": queue, "agent": name}
        registry.publish(call, "call.stage", data, self._next_key("stage"))

    def note_act(self, user_id: UUID | None, act: str, detail: dict[str, object]) -> None:
        """Write down what somebody did in the call, or what was done to its caller."""
        call, registry = self.call, self._registry
        registry.to_store.put("act", lambda: registry.store.note_act(call, user_id, act, detail))

    def supervised(self, leg: Leg, user_id: UUID, name: str, mode: str | None) -> None:
        """Tell, and write down, that somebody listens in, and how."""
        self.note_act(user_id, "call.supervise", {"mode": mode or "leave", "leg_id": str(leg.id)})
        call, registry = self.call, self._registry
        data = {"leg_id": leg.id, "user_id": user_id, "name": name, "mode": mode}
        registry.publish(call, "supervision", data, self._next_key("supervision"))

    def _next_key(self, what: str) -> str:
        self._acts += 1
        return f"{what}:{self._epoch}:{self._acts}"

    def announce(self) -> None:
        """Announce the call and its tracks again: whoever knows them takes no notice."""
        self._announce_call()
        for work in self._announced:
            self._registry.to_bus.put("announce track", lambda work=work: self._registry.asr_work.announce(work))  # type: ignore[misc]

    def _announce_call(self) -> None:
        registry = self._registry
        work = CallWork(self.call, registry.gateway_id)
        registry.to_bus.put("announce call", lambda: registry.insight_work.announce(work))


def call_started(call: Call) -> dict[str, Any]:
    """Return what `call.started` tells."""
    return {
        "external_id": call.external_id,
        "door": call.door,
        "title": call.title,
        "from_number": call.from_number,
        "to_number": call.to_number,
        "started_at": call.started_at,
    }


def leg_joined(leg: Leg) -> dict[str, Any]:
    """Return what `leg.joined` tells."""
    return {"leg_id": leg.id, "role": leg.role, "name": leg.name}


def track_opened(work: TrackWork) -> dict[str, Any]:
    """Return what `track.opened` tells."""
    track = work.track
    return {
        "track_id": track.id,
        "leg_id": track.leg_id,
        "role": work.leg.role,
        "label": track.label,
        "speaker": work.speaker,
        "mixed": track.mixed,
    }


class _AfterHole:
    """A track of a party who was here before: its first chunk names what was missed since."""

    def __init__(self, sink: TrackSink, since_ms: int) -> None:
        self._sink = sink
        self._since_ms: int | None = since_ms

    def put(self, chunk: AudioChunk) -> None:
        since_ms, self._since_ms = self._since_ms, None
        if since_ms is not None and chunk.start_ms > since_ms:
            hole = Hole(since_ms, chunk.start_ms, "gateway-lost")
            chunk = dataclasses.replace(chunk, holes=(hole, *chunk.holes))
        self._sink.put(chunk)


@dataclasses.dataclass(frozen=True, slots=True)
class _Both:
    """Two ways for one track's chunks."""

    first: TrackSink
    second: TrackSink

    def put(self, chunk: AudioChunk) -> None:
        self.first.put(chunk)
        self.second.put(chunk)
