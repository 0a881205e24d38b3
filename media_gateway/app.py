"""The gateway's part of the server: its doors, the calls on the line, and how it stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from ipaddress import ip_network
from typing import Final
from uuid import UUID

import asyncpg
from aiohttp import web
from redis.asyncio import Redis

from infra.bus.presence import Presence
from infra.bus.streams import AudioStreams, BusError, EventStreams
from infra.bus.work import WorkQueue
from infra.inbox import Inbox
from infra.kept import stream_secret
from infra.settings import Settings
from infra.store.callbacks import CallbackStore
from infra.store.calls import CallStore
from infra.store.imports import ImportStore
from infra.store.queues import QueueStore
from infra.store.recordings import RecordingStore
from infra.store.transcripts import TranscriptStore
from infra.store.users import UserStore
from infra.telemetry import logger
from infra.tokens import SpentHere, StreamTokens
from media_gateway.call_grants import CallGrants
from media_gateway.ice import ice_servers, media_network
from media_gateway.importing.call import Streams
from media_gateway.importing.runner import ImportRunner
from media_gateway.listening import Listeners
from media_gateway.media_clock import MediaClock
from media_gateway.meter import PrometheusMeter
from media_gateway.prompts import decode_prompts
from media_gateway.recording.recorder import Recorder
from media_gateway.registry import SHUTDOWN, Registry
from media_gateway.senders import Senders
from media_gateway.switchboard.board import Switchboard
from media_gateway.switchboard.directory import StoredDirectory
from media_gateway.tap import Tap
from media_gateway.transports import audiosocket, call_grants, capture, media_door, phone, twilio, webrtc
from media_gateway.transports.audiohook_signature import SignedHandshake
from media_gateway.transports.sip.door import SipDoor
from media_gateway.transports.sip.options import sip_options
from media_gateway.transports.sip.recording import Recordings

log = logger(__name__)

FLUSH_WITHIN_S: Final = 5.0


class Gateway:
    """Everything that answers calls; `drain` before the server stops."""

    def __init__(
        self, registry: Registry, board: Switchboard, tokens: StreamTokens, doors: Doors, sip: SipDoor | None = None
    ) -> None:
        self.registry = registry
        self._sip = sip
        self._board = board
        self.tokens = tokens
        self._doors = doors

    def caller_gone(self, call_id: UUID) -> None:
        """Twilio says that the call is over, whatever its stream did."""
        self._doors[0].door.calls.over(call_id, "completed")

    def takes_part(self, call_id: UUID, user_id: UUID) -> bool | None:
        """Return whether a user is a party of a call that is bridged here; None for other calls."""
        conversation = self._board.conversations.get(call_id)
        return None if conversation is None else any(party.phone.id == user_id for party in conversation.parties)

    def refuse_calls(self) -> None:
        """Take no more calls; those on the line go on."""
        self.registry.draining = True
        if self._sip is not None:
            self._sip.refuse_calls()

    async def empty(self) -> None:
        """Wait until no call is on the line."""
        await self.registry.empty.wait()

    async def drain(self) -> None:
        """Take no more calls, end those on the line, and tell it all before returning."""
        self.refuse_calls()
        for door in self._doors:
            await door.close(SHUTDOWN)
        if self._sip is not None:
            await self._sip.close(SHUTDOWN)
        self.registry.end_all(SHUTDOWN)
        if self.registry.recorder is not None:  # what is not finished now, the next start finishes
            await self.registry.recorder.drained(FLUSH_WITHIN_S)
        if not await self.registry.drained(FLUSH_WITHIN_S):
            log.error("stopped before everything was told")


Doors = tuple[
    twilio.TwilioMedia,
    media_door.SenderDoor,
    audiosocket.AudioSocketDoor,
    capture.Capture,
    webrtc.WebRtc,
    phone.PhoneDoor,
]


def add_gateway(
    app: web.Application, *, settings: Settings, pool: asyncpg.Pool, redis: Redis, base_url: str
) -> Gateway:
    """Add the gateway's routes to the server; its background work runs for as long as the server does."""
    presence = Presence(redis)
    calls = CallStore(pool)
    registry = Registry(
        tap=Tap(AudioStreams(redis)),
        events=EventStreams(redis),
        asr_work=WorkQueue(redis, "asr", "gateway"),
        insight_work=WorkQueue(redis, "insights", "gateway"),
        presence=presence,
        store=calls,
    )
    registry.recorder = recorder = Recorder(
        settings.hearline_data_dir,
        store=RecordingStore(pool),
        to_store=registry.to_store,
        tell=registry.publish,
        codec=settings.hearline_recording_format,
        enabled=settings.hearline_recording,
        keep_days=settings.hearline_recording_days,
    )
    imports = ImportRunner(
        Inbox(settings.hearline_data_dir),
        Streams(
            gateway_id=registry.gateway_id,
            audio=registry.tap.streams,
            events=EventStreams(redis),
            asr_work=registry.asr_work,
            insight_work=registry.insight_work,
            calls=calls,
            transcripts=TranscriptStore(pool),
            imports=ImportStore(pool),
        ),
        recorder,
        parallel=settings.hearline_import_parallel,
        most_hours=settings.hearline_import_hours,
    )
    clock = MediaClock()
    directory = StoredDirectory(
        queues=QueueStore(pool),
        callbacks=CallbackStore(pool),
        calls=calls,
        presence=presence,
        to_store=registry.to_store,
        to_bus=registry.to_bus,
    )
    board = Switchboard(registry, clock, directory)
    tokens = StreamTokens(stream_secret(settings), SpentTokens(presence))
    meter = PrometheusMeter()
    servers = partial(ice_servers, settings)
    media = twilio.TwilioMedia(
        registry, tokens, auth_token=settings.twilio_token, public_base_url=base_url, meter=meter, board=board
    )
    api_token = settings.hearline_api_token
    senders = Senders(UserStore(pool), api_token=api_token.get_secret_value() if api_token else None)
    hook = settings.audiohook_client_secret
    carriers = media_door.SenderDoor(
        registry,
        senders,
        tokens=tokens,
        public_base_url=base_url,
        meter=meter,
        board=board,
        queue_for=directory.queue_for,
        checks={"audiohook": SignedHandshake(hook.get_secret_value(), base_url)} if hook else {},
    )
    grants = CallGrants(presence)
    audio_sockets = audiosocket.AudioSocketDoor(
        registry,
        grants,
        address=audiosocket.address_of(settings),
        trunks=[ip_network(trunk) for trunk in settings.audiosocket_trunks],
        meter=meter,
        board=board,
        queue_for=directory.queue_for,
    )
    microphone = capture.Capture(registry, meter=meter)
    browser = webrtc.WebRtc(board, ice_servers=servers, network=media_network(settings), meter=meter)
    phones = phone.PhoneDoor(board, servers)
    listeners = Listeners()
    clock.add(listeners)
    options = sip_options(settings)
    sip = None
    if options is not None:
        sip = SipDoor(registry, board, directory, listeners, options, meter=meter, told=registry.tell_sip_problem)
        sip.recorder = Recordings(
            sip.endpoint,
            registry,
            listeners,
            sip.ports,
            agents=settings.siprec_agents,
            public_host=sip.public_host,
            srtp=options.srtp,
            meter=meter,
        )
    app.router.add_get(twilio.PATH, media.handle)
    app.router.add_get(media_door.PATH, carriers.handle)
    app.router.add_post(call_grants.PATH, call_grants.GrantDoor(senders, grants).handle)
    app.router.add_get(capture.PATH, microphone.handle)
    app.router.add_get(phone.PATH, phones.handle)
    app.router.add_post(webrtc.OFFER_PATH, browser.offer)
    app.router.add_patch(webrtc.LEG_PATH, browser.trickle)
    app.router.add_delete(webrtc.LEG_PATH, browser.hang_up)

    async def background(_: web.Application) -> AsyncIterator[None]:
        await asyncio.to_thread(decode_prompts)
        await audio_sockets.open()
        if sip is not None:
            await sip.open()
        clock.start()
        parts = (registry, recorder, board, browser, senders, audio_sockets, imports)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(part.run()) for part in parts]
            if sip is not None:
                running.append(tasks.create_task(sip.run()))
            yield
            for part in running:
                part.cancel()
        await clock.stop()

    app.cleanup_ctx.append(background)
    return Gateway(registry, board, tokens, (media, carriers, audio_sockets, microphone, browser, phones), sip)


class SpentTokens:
    """Which stream tokens were used: known to all gateways through Redis, to this one alone while Redis is away."""

    def __init__(self, presence: Presence) -> None:
        self._presence = presence
        self._here = SpentHere()

    async def spend(self, token_id: str, ttl_s: int) -> bool:
        """Mark a token as used; False if it was used already."""
        fresh_here = await self._here.spend(token_id, ttl_s)
        try:
            return await self._presence.spend(token_id, ttl_s) and fresh_here
        except BusError as error:
            log.warning("token checked in this process only", error=type(error).__name__)
            return fresh_here
