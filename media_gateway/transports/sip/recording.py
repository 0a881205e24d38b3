"""The SIPREC door: recording sessions of session border controllers, PBXs and other recording clients (RFC 7866).

A recording is a call like any other, without a bridge: one leg and one track for each audio stream, under its
participant's name and role. What the client says of the call may be missing, wrong or late: the audio is recorded all
the same, and names follow when they come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

from infra.model import DEFAULT_TENANT, Call, Role, stable_id, utc_now
from infra.telemetry import logger
from media_gateway.casting import AgentList, caller_of, cast_parties
from media_gateway.listening import Listeners
from media_gateway.ports import CallHandle, CallRefused, CallRegistry, Meter, NoMeter
from media_gateway.protocols.multipart import media_type
from media_gateway.protocols.sdp import SdpError, SessionDescription, parse_sdp
from media_gateway.protocols.sdp_plan import Answer, LocalMedia, SrtpPolicy, acceptable, plan_answer
from media_gateway.protocols.sip.events import Acked, Cancelled, Ended, Event, Invite, Reinvite
from media_gateway.protocols.siprec import (
    CLIENT_FEATURE,
    DISPOSITION,
    MAX_NAME_CHARS,
    METADATA_TYPES,
    OPTION_TAG,
    SERVER_FEATURE,
    SNAPSHOT_REQUEST,
    SNAPSHOT_REQUEST_TYPE,
    BodyError,
    Offer,
    Participant,
    read_offer,
)
from media_gateway.protocols.siprec_call import Heard, RecordedCall
from media_gateway.transports.rtp import StreamLimits
from media_gateway.transports.rtp_ports import NoPortsLeft, RtpPorts, RtpSocket
from media_gateway.transports.sip.call import LATER, Refusal
from media_gateway.transports.sip.endpoint import Endpoint
from media_gateway.transports.sip.recorded_stream import RecordedStream

log = logger(__name__)

DOOR: Final = "siprec"
MAX_STREAMS: Final = 8
"""Audio streams that one recording may have."""

_PROBE_S: Final = 60.0
"""Between two questions to a silent client."""
_HELD_PROBE_S: Final = 600.0
"""The same, to one that is to be silent: all of its media are on hold."""
_ENDS: Final = {"bye": "completed", "gone": "connection-lost", "failed": "connection-lost"}
"""Why a recording ended, where it is not the agent's own word for it."""


class Recordings:
    """Takes recording clients' calls (media_gateway.transports.sip.door.Recorder)."""

    def __init__(
        self,
        endpoint: Endpoint,
        registry: CallRegistry,
        media: Listeners,
        ports: RtpPorts,
        *,
        agents: Sequence[str] = (),
        public_host: Callable[[], str | None] = lambda: None,
        srtp: SrtpPolicy = "allowed",
        stream_limits: StreamLimits | None = None,
        meter: Meter | None = None,
        tenant_id: UUID = DEFAULT_TENANT,
    ) -> None:
        """`agents`: patterns of agents' addresses (media_gateway.casting). `public_host`: returns our address as
        clients see it; None: the one that their request came to.
        """
        self.endpoint = endpoint
        self.registry = registry
        self.media = media
        self.ports = ports
        self.agents = AgentList(agents)
        self.public_host = public_host
        self.srtp: SrtpPolicy = srtp
        self.stream_limits = stream_limits or StreamLimits()
        self.meter = meter or NoMeter()
        self.tenant_id = tenant_id
        self.live: dict[UUID, Recording] = {}

    def takes(self, invite: Invite) -> bool:
        """Return whether a recording client sends this INVITE: it says so, or brings metadata."""
        request = invite.request
        if OPTION_TAG in request.headers.tokens("require"):
            return True
        if any(CLIENT_FEATURE in value.lower() for value in request.headers.all("contact")):
            return True
        kind = media_type(request.content_type)
        marks = (b"application/rs-metadata", DISPOSITION.encode())
        body = request.body.lower() if kind.startswith("multipart/") else b""
        return kind in METADATA_TYPES or any(mark in body for mark in marks)

    async def answer(self, invite: Invite) -> None:
        """Answer a recording client's INVITE."""
        recording = Recording(self, invite)
        if recording.call.id in self.live:  # the same INVITE by another way (RFC 3261, section 8.2.2.2)
            self.endpoint.refuse(invite, 482, "Loop Detected")
            return
        self.live[recording.call.id] = recording
        invite.dialog.features = f";{SERVER_FEATURE}"  # in each answer (RFC 7866, section 6.1.2)
        self.endpoint.sessions[invite.dialog] = recording
        try:
            await recording.answer()
        except Exception:
            recording.hang_up("internal error")
            raise

    def end_all(self, reason: str) -> None:
        """End the recordings, each with a BYE."""
        for recording in list(self.live.values()):
            recording.hang_up(reason)


class Recording:
    """One recording session, from its INVITE to its BYE (media_gateway.transports.sip.endpoint.SipSession)."""

    def __init__(self, door: Recordings, invite: Invite) -> None:
        dialog = invite.dialog
        self.call = Call(
            id=stable_id(DOOR, door.tenant_id, dialog.call_id, dialog.remote.tag),
            door=DOOR,
            external_id=dialog.call_id,
            started_at=utc_now(),
            tenant_id=door.tenant_id,
        )
        self.known = RecordedCall()
        self._door = door
        self._invite = invite
        self._dialog = dialog
        self._signalled_from = invite.flow.remote[0]
        host = door.public_host() or invite.flow.local[0]
        self._media = LocalMedia(host=host, ports={}, direction="recvonly", srtp=door.srtp)
        self._agreed: Answer | None = None
        self._places: dict[int, int] = {}
        """M-line -> the how-manieth audio m-line it is."""
        self._labels: list[str | None] = []
        """Of all audio m-lines, taken or not, in their order."""
        self._sockets: dict[int, RtpSocket] = {}
        """By m-line; each belongs to its stream once there is one."""
        self._streams: dict[int, RecordedStream] = {}
        self._roles: dict[str, Role] = {}
        """By participant: who has once been cast stays what they are."""
        self._handle: CallHandle | None = None
        self._lacks_metadata = False
        self._has_asked = False
        """For a snapshot of all metadata (RFC 7866, "Metadata")."""
        self._probe: asyncio.TimerHandle | None = None
        """Runs after a question whether the client is still there, until the next one may be asked."""
        self._over = False
        self._said_goodbye = False

    # -- the beginning

    async def answer(self) -> None:
        """Answer the INVITE, and listen from then on."""
        door = self._door
        try:
            sdp = self._prepare()
            handle = await door.registry.answer(self.call)
        except Refusal as refusal:
            self._refuse(refusal)
            return
        except CallRefused as error:
            log.warning("recording refused", reason=str(error))
            self._refuse(Refusal(503, "Service Unavailable", "call-refused", LATER))
            return
        self._handle = handle
        handle.on_end(self._ended)
        if self._over or not door.endpoint.accept(self._invite, sdp):
            self._said_goodbye = True
            self.hang_up("cancelled")
            return
        self._settle()

    def _prepare(self) -> bytes:
        """Return our answer to the client's offer, and take note of what it says. Raises Refusal."""
        offer = _offer(self._invite)
        if offer.sdp is None:
            raise Refusal(488, "Not Acceptable Here", "no-offer")
        try:
            agreed = self._agree(parse_sdp(offer.sdp))
        except SdpError as error:
            raise _refusal(error) from None
        self._learn(offer)
        known = self.known
        caller = caller_of(known.present)
        others = [one.user for one in known.present if one is not caller and one.user]
        session = known.session
        name = None if session is None else (session.sip_session_id or "").partition(";")[0].strip() or session.id
        self.call = replace(
            self.call,
            external_id=name or self.call.external_id,
            from_number=caller.user if caller else None,
            to_number=next(iter(others), None),
        )
        return agreed.sdp

    def _refuse(self, refusal: Refusal) -> None:
        self._door.meter.refused(DOOR, refusal.counted_as)
        self._door.endpoint.refuse(self._invite, refusal.status, str(refusal), refusal.headers)
        self._said_goodbye = True
        self.hang_up(refusal.counted_as)

    def _agree(self, offer: SessionDescription) -> Answer:
        """Plan the answer to an offer and have a port for each stream; if that fails, all is as before.

        Raises:
            SdpError: the offer cannot be answered.
            Refusal: there is no port left.
        """
        lines = acceptable(offer, self._media)[:MAX_STREAMS]
        new: dict[int, RtpSocket] = {}
        try:
            for index in lines:
                if index not in self._sockets:
                    new[index] = self._door.ports.allocate()
            ports = {index: (new.get(index) or self._sockets[index]).port for index in lines}
            agreed = plan_answer(offer, replace(self._media, ports=ports, before=self._agreed))
        except (NoPortsLeft, SdpError) as error:
            for socket in new.values():
                socket.close()
            if isinstance(error, SdpError):
                raise
            log.error("no rtp port left: widen RTP_PORTS", in_use=self._door.ports.in_use)
            raise Refusal(503, "Service Unavailable", "no-rtp-port", LATER) from None
        self._sockets |= new
        self._agreed = agreed
        audio = [index for index, section in enumerate(offer.sections) if section.kind == "audio"]
        self._labels = [offer.sections[index].label for index in audio]
        self._places = {index: place for place, index in enumerate(audio)}
        return agreed

    def _learn(self, offer: Offer) -> None:
        """Take in what a document says of the call."""
        if offer.problem is not None:
            self._door.meter.refused(DOOR, "bad-metadata")
            log.warning("recording metadata unreadable", call_id=str(self.call.id), problem=offer.problem)
            self._lacks_metadata = True
        if offer.metadata is None:
            return
        self.known = self.known.updated(offer.metadata)
        self._lacks_metadata = self.known.is_torn()
        self._has_asked = self._has_asked and not offer.metadata.complete
        cast = cast_parties(self.known.present, self._door.agents)
        self._roles = {key: self._roles.get(key, role) for key, role in cast.items()}

    # -- what happens in it

    def on_event(self, event: Event) -> None:
        """Take notice of what happened to the dialog."""
        if isinstance(event, Ended | Cancelled):
            self._said_goodbye = True
            self.hang_up(_ENDS.get(event.reason, event.reason))
        elif isinstance(event, Acked):
            self._ask_for_snapshot()
        elif isinstance(event, Reinvite):
            try:
                self._update(event)
                self._ask_for_snapshot()
            except Refusal as refusal:  # the recording goes on as it was (RFC 3261, section 14.2)
                self._door.meter.refused(DOOR, refusal.counted_as)
                self._door.endpoint.refuse(event, refusal.status, str(refusal), refusal.headers)

    def _update(self, event: Reinvite) -> None:
        """Other media, other people, or both. Raises Refusal."""
        offer, endpoint = _offer(event), self._door.endpoint
        if self._handle is None or self._agreed is None:
            raise Refusal(491, "Request Pending", "too-early")
        if offer.sdp is not None:
            try:
                self._agree(parse_sdp(offer.sdp))
            except SdpError as error:
                raise _refusal(error) from None
            self._signalled_from = event.flow.remote[0]
        if offer.sdp is not None or event.request.method == "INVITE":
            # A re-INVITE without an offer is offered what was agreed on (RFC 3261, section 14.2).
            told = endpoint.accept(event, self._agreed.sdp)
        else:
            told = endpoint.accept(event, None)
        if told:
            self._learn(offer)
            self._settle()

    def _ask_for_snapshot(self) -> None:
        """Where a document is lost or unreadable, ask for all of it once; a client that takes UPDATEs may say no."""
        if self._lacks_metadata and not self._has_asked and "UPDATE" in self._dialog.methods:
            headers = (("Content-Disposition", DISPOSITION),)
            self._has_asked = self._door.endpoint.update(self._dialog, SNAPSHOT_REQUEST, SNAPSHOT_REQUEST_TYPE, headers)

    def _settle(self) -> None:
        """Listen to what was agreed on, under the names that are known now."""
        assert self._handle is not None
        assert self._agreed is not None
        plans = {plan.index: plan for plan in self._agreed.streams}
        for index in self._sockets.keys() - plans.keys():
            socket, stream = self._sockets.pop(index), self._streams.pop(index, None)
            if stream is None:
                socket.close()
            else:
                stream.close("stream removed")
        on = self.known.heard(self._labels)
        for index, plan in plans.items():
            place = self._places[index]
            name, role = self._party(on[place], place)
            if (stream := self._streams.get(index)) is None:
                stream = self._streams[index] = RecordedStream(
                    self._handle,
                    self._door.media,
                    self._sockets[index],
                    plan,
                    self._signalled_from,
                    self._door.stream_limits,
                )
                stream.on_lost = self._stream_lost
            else:
                stream.update(plan, self._signalled_from)
            stream.belongs_to(on[place], name, role)
        if self._probe is None and not any(stream.is_open for stream in self._streams.values()):
            self._probe = asyncio.get_running_loop().call_later(_HELD_PROBE_S, self._probe_again)

    def _party(self, on: Heard, place: int) -> tuple[str | None, Role]:
        """Return what to call who is heard on a stream, and their role."""
        if on.mixed:
            names = ", ".join(filter(None, map(_name, on.participants)))
            return names[:MAX_NAME_CHARS] or None, "unknown"
        if not on.participants:  # as with participants: the first is the caller
            return None, ("customer", "agent")[place] if place < 2 and len(self._labels) > 1 else "unknown"
        (one,) = on.participants
        return _name(one), self._roles.get(one.id, "unknown")

    def _stream_lost(self) -> None:
        """A stream has been silent for too long; when none is left that is not, find out whether its client is gone.

        A call on hold is silent too, and few clients say so. Whoever answers our re-INVITE, be it with an error, is
        there; if nothing comes, or they know of no such call, the endpoint tells that it has `Ended`.
        """
        if self._over or self._agreed is None or self._probe is not None:
            return
        streams = [stream for stream in self._streams.values() if stream.is_open]
        if all(stream.is_lost for stream in streams):
            self._door.endpoint.reinvite(self._dialog, self._agreed.sdp)
            wait_s = _PROBE_S if streams else _HELD_PROBE_S
            self._probe = asyncio.get_running_loop().call_later(wait_s, self._probe_again)

    def _probe_again(self) -> None:
        self._probe = None
        self._stream_lost()

    # -- the end

    def hang_up(self, reason: str) -> None:
        """End the recording."""
        if self._handle is not None:
            self._handle.hang_up(reason)
        self._ended(reason)

    def _ended(self, reason: str) -> None:
        """It is over, whoever ended it: say so to the client, and give back what it had."""
        if self._over:
            return
        self._over = True
        if self._probe is not None:
            self._probe.cancel()
        for index, socket in self._sockets.items():
            if index in self._streams:
                self._streams[index].close(reason)
            else:
                socket.close()
        if not self._said_goodbye:
            self._said_goodbye = True
            self._door.endpoint.bye(self._dialog)
        self._door.live.pop(self.call.id, None)


def _name(somebody: Participant) -> str | None:
    return somebody.name or somebody.user


def _offer(event: Invite | Reinvite) -> Offer:
    try:
        return read_offer(event.request.content_type, event.request.body)
    except BodyError as error:
        raise Refusal(400, f"Bad Body: {error}", "bad-body") from None


def _refusal(error: SdpError) -> Refusal:
    if error.status == 400:
        return Refusal(400, "Bad Session Description", "bad-offer")
    return Refusal(488, "Not Acceptable Here", "no-audio")
