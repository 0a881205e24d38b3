"""One SIP call: from its INVITE through its audio and its holds to its BYE."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from infra.model import Call, stable_id, utc_now
from infra.telemetry import logger
from media_gateway.listening import Listener
from media_gateway.listening import Listeners as MediaListeners
from media_gateway.ports import CallHandle, CallRefused, CallRegistry, Meter
from media_gateway.protocols.multipart import MultipartError, split_body
from media_gateway.protocols.sdp import SdpError, parse_sdp
from media_gateway.protocols.sdp_plan import (
    Answer,
    LocalMedia,
    OurOffer,
    SrtpPolicy,
    StreamPlan,
    acceptable,
    plan_answer,
    plan_from_answer,
    plan_offer,
)
from media_gateway.protocols.sip.events import Acked, Cancelled, Ended, Event, InfoKey, Invite, Reinvite
from media_gateway.switchboard.board import Directory, Switchboard
from media_gateway.switchboard.conversation import Conversation
from media_gateway.transports.rtp import RtpStream, StreamLimits
from media_gateway.transports.rtp_ports import NoPortsLeft, RtpPorts, RtpSocket
from media_gateway.transports.sip.endpoint import Endpoint, Headers
from media_gateway.transports.sip.identity import Parties
from media_gateway.voices import PacketVoice, voice_for

log = logger(__name__)

DOOR: Final = "sip"
LATER: Final = (("Retry-After", "30"),)
"""With each 503: in seconds, when to try again (RFC 3261, section 20.33)."""
_TRACK: Final = "rtp"
_HEARD_AFTER_S: Final = 0.2
"""What was sent is heard about so much later: the network, and the other side's jitter buffer."""
_PROBE_S: Final = 60.0
"""Between two questions to a caller who is silent by agreement."""
_ENDS: Final = {"bye": "completed", "gone": "connection-lost", "failed": "connection-lost"}
"""Why a call ended, where it is not the agent's own word for it."""


class Refusal(Exception):
    """An INVITE is to be answered with an error; `str(error)` is its reason phrase."""

    def __init__(self, status: int, phrase: str, counted_as: str, headers: Headers = ()) -> None:
        super().__init__(phrase)
        self.status = status
        self.counted_as = counted_as
        self.headers = headers


@dataclass(frozen=True, slots=True)
class Rooms:
    """What a call needs around it."""

    endpoint: Endpoint
    registry: CallRegistry
    board: Switchboard
    directory: Directory
    media: MediaListeners
    ports: RtpPorts
    meter: Meter
    tenant_id: UUID
    public_host: str | None
    """The address that peers reach us under; None: the one that their request came to."""
    srtp: SrtpPolicy
    limits: StreamLimits


class SipCall:
    """A caller's line (media_gateway.ports.CallerLine and KeyLine), and the owner of its dialog."""

    def __init__(self, rooms: Rooms, invite: Invite, parties: Parties, *, on_over: Callable[[SipCall], None]) -> None:
        """`on_over`: called once, when nothing more will come of the call."""
        self.call = Call(
            id=call_id(rooms.tenant_id, invite),
            door=DOOR,
            external_id=invite.dialog.call_id,
            started_at=utc_now(),
            from_number=parties.caller,
            to_number=parties.called,
            tenant_id=rooms.tenant_id,
        )
        self._rooms = rooms
        self._on_over = on_over
        self._invite = invite
        self._dialog = invite.dialog
        self._signalled_from = invite.flow.remote[0]
        self._media = LocalMedia(host=rooms.public_host or invite.flow.local[0], ports={}, srtp=rooms.srtp)
        self._socket: RtpSocket | None = None
        self._agreed: Answer | None = None
        self._offered: OurOffer | None = None
        """An offer of ours whose answer has not come."""
        self._plan: StreamPlan | None = None
        self._stream: RtpStream | None = None
        self._listener: Listener | None = None
        self._handle: CallHandle | None = None
        self._conversation: Conversation | None = None
        self._begun = asyncio.Event()
        """Set once the media are agreed, or the call is over."""
        self._probe: asyncio.TimerHandle | None = None
        """Runs until it is looked again whether the caller is silent by agreement."""
        self._key_way: str | None = None
        self._over = False
        self._said_goodbye = False
        """Whether the peer knows that it is over."""

    # -- the beginning

    async def answer(self) -> None:
        """Answer the INVITE, and bring its caller to the switchboard. Returns once that is done."""
        try:
            body = self._prepare()
            await self._announce()
        except Refusal as refusal:
            self._rooms.meter.refused(DOOR, refusal.counted_as)
            self._rooms.endpoint.refuse(self._invite, refusal.status, str(refusal), refusal.headers)
            self._said_goodbye = True
            self._end(refusal.counted_as)
            return
        if self._over or not self._rooms.endpoint.accept(self._invite, body):
            self._said_goodbye = True
            self._end("cancelled")
            return
        if self._agreed is not None:
            self._begin(self._agreed.streams[0])
        await self._begun.wait()
        await self._receive()

    def _prepare(self) -> bytes:
        """Return the session description that we answer or offer, and have a port for it. Raises Refusal."""
        try:
            body = offer_in(self._invite)
            if body is None:
                self._socket = self._rooms.ports.allocate()
                self._offered = plan_offer(replace(self._media, ports={0: self._socket.port}))
                return self._offered.sdp
            offer = parse_sdp(body)
            lines = acceptable(offer, self._media)
            ports = {}
            if lines:
                self._socket = self._rooms.ports.allocate()
                ports = {lines[0]: self._socket.port}
            self._agreed = plan_answer(offer, replace(self._media, ports=ports))
            if not self._agreed.streams:
                raise Refusal(488, "Not Acceptable Here", "no-audio")
        except MultipartError:
            raise Refusal(400, "Bad Body", "bad-offer") from None
        except SdpError as error:
            phrase = "Bad Session Description" if error.status == 400 else "Not Acceptable Here"
            raise Refusal(error.status, phrase, "bad-offer" if error.status == 400 else "no-audio") from None
        except NoPortsLeft:
            log.error("no rtp port left: widen RTP_PORTS", in_use=self._rooms.ports.in_use)
            raise Refusal(503, "Service Unavailable", "no-rtp-port", LATER) from None
        return self._agreed.sdp

    async def _announce(self) -> None:
        queue = await self._rooms.directory.queue_for(self.call.tenant_id, self.call.to_number)
        self.call = replace(self.call, recorded=queue.recorded)
        try:
            handle = await self._rooms.registry.answer(self.call)
        except CallRefused as error:
            log.warning("sip call refused", reason=str(error))
            raise Refusal(503, "Service Unavailable", "call-refused", LATER) from None
        self._handle = handle
        handle.on_end(self._ended)

    def _begin(self, plan: StreamPlan) -> None:
        """The media are agreed: audio from now on."""
        handle, rooms = self._handle, self._rooms
        assert handle is not None
        assert self._socket is not None
        self._plan = plan
        self._leg = handle.join("customer", None)
        _, sink = handle.open_track(self._leg, _TRACK)
        self._listener = rooms.media.open(sink, plan.codec, handle.clock_ms)
        self._stream = RtpStream(
            self._socket,
            plan,
            listener=self._listener,
            on_key=lambda digit: self._on_key(digit, "rtp"),
            on_lost=lambda _why: self._fell_silent(),
            signalled_from=self._signalled_from,
            limits=rooms.limits,
        )
        self._arm_probe()
        log.info("sip call begins", call_id=str(self.call.id), address=self._signalled_from, codec=plan.codec.name)
        self._begun.set()

    async def _receive(self) -> None:
        if self._over or self._handle is None:
            return
        conversation, voice = await self._rooms.board.receive(self._handle, self, returning=False)
        if self._is_over() or self._stream is None:
            return
        self._conversation = conversation
        self._stream.route(voice.receive, self._listener)
        self._show_hold()

    # -- what happens in it (media_gateway.transports.sip.endpoint.SipSession)

    def on_event(self, event: Event) -> None:
        """Take notice of what happened to the dialog."""
        if isinstance(event, Ended | Cancelled):
            self._said_goodbye = True
            self._end(_ENDS.get(event.reason, event.reason))
        elif isinstance(event, Acked):
            self._on_answer(event.answer)
        elif isinstance(event, Reinvite):
            self._on_reinvite(event)
        elif isinstance(event, InfoKey):
            self._on_key(event.digit, "info")

    def _on_answer(self, answer: bytes | None) -> None:
        """The answer to an offer of ours, if there was one."""
        offered, self._offered = self._offered, None
        if offered is None or self._over:
            return
        try:
            agreed = plan_from_answer(offered, parse_sdp(answer or b""))
            if not agreed.streams:
                raise SdpError("no audio", 488)
        except SdpError:
            self._rooms.meter.refused(DOOR, "bad-answer")
            if self._agreed is None:  # else the call goes on as it was
                self._end("no audio agreed")
            return
        self._settle(agreed)

    def _on_reinvite(self, event: Reinvite) -> None:
        endpoint = self._rooms.endpoint
        if self._agreed is None or self._socket is None or self._stream is None:  # our first offer is not answered
            endpoint.refuse(event, 491, "Request Pending")
            return
        media = replace(self._media, before=self._agreed)
        try:
            body = offer_in(event)
        except (MultipartError, SdpError):
            endpoint.refuse(event, 400, "Bad Body")
            return
        if body is None:
            self._offered = plan_offer(replace(media, ports={0: self._socket.port}))
            endpoint.accept(event, self._offered.sdp)
            return
        try:
            offer = parse_sdp(body)
            lines = acceptable(offer, media)
            assert self._plan is not None
            line = self._plan.index if self._plan.index in lines else next(iter(lines), 0)
            agreed = plan_answer(offer, replace(media, ports={line: self._socket.port}))
            if not agreed.streams:
                raise SdpError("no audio", 488)
        except SdpError as error:  # the call goes on as it was (RFC 3261, section 14.2)
            endpoint.refuse(event, error.status, "Not Acceptable Here" if error.status == 488 else "Bad Request")
            return
        if endpoint.accept(event, agreed.sdp):
            self._signalled_from = event.flow.remote[0]
            self._settle(agreed)

    def _settle(self, agreed: Answer) -> None:
        """Go on as was agreed now."""
        self._agreed = agreed
        before, plan = self._plan, agreed.streams[0]
        if before is None:
            self._begin(plan)
            return
        self._plan = plan
        assert self._stream is not None
        if plan.codec != before.codec and self._conversation is not None:
            self._stream.route(self._conversation.caller.here(self).receive, self._listener)
        self._stream.update(plan, self._signalled_from)
        self._show_hold()

    def _show_hold(self) -> None:
        if self._conversation is not None and self._plan is not None:
            self._conversation.caller.hold(on=not self._plan.sends)

    def _fell_silent(self) -> None:
        """The caller may send and does not; one who has put us on hold is asked whether they are there."""
        if self._plan is None or self._plan.sends:
            self._end("no audio")

    def _arm_probe(self) -> None:
        self._probe = asyncio.get_running_loop().call_later(_PROBE_S, self._probe_silent)

    def _probe_silent(self) -> None:
        """Ask a caller who is silent by agreement: that they have vanished nothing else may tell."""
        self._arm_probe()
        if self._stream is not None and (self._stream.is_lost or not self._stream.plan.receives):
            self._rooms.endpoint.probe(self._dialog)

    def _on_key(self, digit: str, way: str) -> None:
        """Take a key; a peer that tells of each in both ways is heard in the first one."""
        self._key_way = self._key_way or way
        if self._over or self._handle is None or way != self._key_way:
            return
        self._handle.note("dtmf", {"digit": digit})
        if self._conversation is not None:
            self._conversation.caller.key(digit)

    # -- what a conversation does with the line (media_gateway.ports.CallerLine)

    def new_voice(self) -> PacketVoice:
        """Return a voice in the codec that was agreed."""
        assert self._plan is not None
        return voice_for(self._plan)

    def play(self, samples: bytes) -> None:
        """Send 20 ms; while we are on hold they go nowhere."""
        if self._stream is not None:
            self._stream.send(samples)

    def clear(self) -> None:
        """Nothing waits on the way: what was sent is heard."""

    def mark(self, name: str) -> None:
        """What was sent so far will have been heard soon."""
        asyncio.get_running_loop().call_later(_HEARD_AFTER_S, self._heard, name)

    def press(self, keys: str) -> bool:
        """Press keys by RFC 4733; False where that was not agreed on."""
        stream = self._stream
        return stream is not None and all(stream.send_key(key) for key in keys)

    def hang_up(self, reason: str) -> None:
        """End the call."""
        self._end(reason)

    def _heard(self, name: str) -> None:
        if not self._over and self._conversation is not None:
            self._conversation.caller.heard(name)

    # -- the end

    def _is_over(self) -> bool:
        return self._over

    def _end(self, reason: str) -> None:
        if self._handle is not None:
            self._handle.hang_up(reason)
        self._ended(reason)

    def _ended(self, reason: str) -> None:
        """The call is over, whoever ended it: say so to the peer, and give back what it had."""
        if self._over:
            return
        self._over = True
        if self._probe is not None:
            self._probe.cancel()
        if self._stream is not None:
            self._stream.close()
        elif self._socket is not None:
            self._socket.close()
        if self._listener is not None:
            self._listener.close()
            if self._handle is not None:
                self._handle.leave(self._leg, reason)
        if not self._said_goodbye:
            self._said_goodbye = True
            self._rooms.endpoint.bye(self._dialog)
        self._begun.set()
        self._on_over(self)


def offer_in(message: Invite | Reinvite) -> bytes | None:
    """Return the session description that came, alone or among other documents; None: the offer is to be ours.

    Raises:
        MultipartError: the body cannot be taken apart.
        SdpError: there are documents, but no session description (488).
    """
    if message.offer is not None or not message.request.body:
        return message.offer
    for part in split_body(message.request.content_type, message.request.body):
        if part.media_type == "application/sdp":
            return part.content
    raise SdpError("no session description", 488)


def call_id(tenant_id: UUID, invite: Invite) -> UUID:
    """Return the call's id: the same however often the caller repeats itself."""
    return stable_id("sip", tenant_id, invite.dialog.call_id, invite.dialog.remote.tag)
