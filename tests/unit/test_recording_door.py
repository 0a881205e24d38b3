"""The SIPREC door against doubles of the endpoint, the ports and the media: who is on which track, and when."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.model import Call, Leg, Role, Track
from media_gateway.protocols.sdp_plan import StreamPlan
from media_gateway.protocols.sip.dialog import Dialog
from media_gateway.protocols.sip.events import Acked, Cancelled, Ended, Event, Invite, Reinvite, ReinviteFailed
from media_gateway.protocols.sip.flow import Flow
from media_gateway.protocols.sip.message import Request, parse_message
from media_gateway.transports.rtp_ports import NoPortsLeft
from media_gateway.transports.sip import recorded_stream, recording
from media_gateway.transports.sip.recording import Recordings
from tests.fakes.gateway import CountingMeter, FakeCall, FakeRegistry, ListSink, until
from tests.siprec import Client, Someone, body_of, here, metadata, vendor_body

FLOW = Flow("udp", ("192.0.2.1", 5060), ("192.0.2.7", 5062), 0)
ROBERT = Someone("r", "sip:+15550100@sbc.example.com", "Robert", ("1",))
CLARA = Someone("c", "sip:2002@pbx.example.com", "Clara", ("2",))


@dataclass
class FakeEndpoint:
    """Remembers what was answered."""

    sessions: dict[Dialog, Any] = field(default_factory=dict)
    accepted: list[bytes | None] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    offered: list[bytes] = field(default_factory=list)
    asked: list[tuple[str, tuple[tuple[str, str], ...]]] = field(default_factory=list)
    byes: int = 0
    caller_gone: bool = False

    def accept(self, invite: Invite | Reinvite, body: bytes | None, headers: object = ()) -> bool:
        self.accepted.append(body)
        return not self.caller_gone

    def refuse(self, invite: Invite | Reinvite, status: int, reason: str, headers: object = ()) -> bool:
        if isinstance(invite, Invite):
            self.sessions.pop(invite.dialog, None)
        self.refused.append((status, reason))
        return True

    def reinvite(self, dialog: Dialog, sdp: bytes) -> bool:
        self.offered.append(sdp)
        return True

    def update(self, dialog: Dialog, body: bytes, content_type: str, headers: tuple[tuple[str, str], ...]) -> bool:
        self.asked.append((content_type, headers))
        return True

    def bye(self, dialog: Dialog, reason: str = "") -> None:
        self.byes += 1


class FakeSocket:
    def __init__(self, ports: FakePorts, port: int) -> None:
        self.port = port
        self._ports = ports
        ports.open.add(port)

    def close(self) -> None:
        self._ports.open.discard(self.port)


class FakePorts:
    def __init__(self, count: int) -> None:
        self.open: set[int] = set()
        self._free = [10_000 + 2 * number for number in range(count)]

    @property
    def in_use(self) -> int:
        return len(self.open)

    def allocate(self) -> FakeSocket:
        if not self._free:
            raise NoPortsLeft("none left")
        return FakeSocket(self, self._free.pop(0))


@dataclass
class FakeListener:
    sink: ListSink
    closed: bool = False

    def close(self) -> None:
        self.closed = True


class FakeMedia:
    def open(self, sink: ListSink, codec: object, clock_ms: Callable[[], int]) -> FakeListener:
        return FakeListener(sink)


class FakeStream:
    """In RtpStream's place."""

    def __init__(self, socket: FakeSocket, plan: StreamPlan, **wired: Any) -> None:
        self.socket, self.plan, self.wired = socket, plan, wired
        self.listener: FakeListener | None = None
        made.append(self)
        self.is_lost = False

    def update(self, plan: StreamPlan, signalled_from: str) -> None:
        self.plan = plan

    def route(self, on_packet: object, listener: FakeListener | None) -> None:
        self.listener = listener

    def close(self) -> None:
        self.socket.close()


made: list[FakeStream] = []


class World:
    """A door and one client's dialog at it."""

    def __init__(self, *, agents: tuple[str, ...] = (), ports: int = 8) -> None:
        self.endpoint, self.registry, self.meter = FakeEndpoint(), FakeRegistry(), CountingMeter()
        self.ports = FakePorts(ports)
        self.door = Recordings(
            self.endpoint,  # type: ignore[arg-type]
            self.registry,
            FakeMedia(),  # type: ignore[arg-type]
            self.ports,  # type: ignore[arg-type]
            agents=agents,
            meter=self.meter,
        )
        self.client = Client()
        self.dialog: Dialog | None = None

    async def invite(self, content_type: str, body: bytes, *, call_id: str = "rs-1", headers: str = "") -> Invite:
        invite = invite_of(content_type, body, call_id=call_id, headers=headers)
        self.dialog = invite.dialog
        await self.door.answer(invite)
        return invite

    async def begin(self, *people: Someone) -> None:
        await self.invite(*body_of(self.client.sdp(), metadata(people or (ROBERT, CLARA))))

    def update(self, sdp: bytes | None, about: bytes | None, method: str = "INVITE") -> None:
        assert self.dialog is not None
        request = request_of(method, *body_of(sdp, about))
        self.tell(Reinvite(self.dialog, request, FLOW, None))

    def tell(self, event: Event) -> None:
        assert self.dialog is not None
        self.endpoint.sessions[self.dialog].on_event(event)

    @property
    def call(self) -> Told:
        found = self.registry.only
        assert isinstance(found, Told)
        return found

    def tracks(self) -> dict[str, tuple[str | None, Role, bool]]:
        """Return who is on each open track: name, role, mixed."""
        return {
            track.label: (leg.name, leg.role, track.mixed)
            for leg, track in self.call.open.values()
        }  # fmt: skip


class Told(FakeCall):
    """Knows who is in the call now."""

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self.open: dict[object, tuple[Leg, Track]] = {}

    def open_track(self, leg: Leg, label: str, *, recorded: bool = True, mixed: bool = False) -> tuple[Track, ListSink]:
        track, sink = super().open_track(leg, label, recorded=recorded, mixed=mixed)
        self.open[leg.id] = leg, track
        return track, sink

    def rename(self, leg: Leg, name: str | None) -> Leg:
        renamed = super().rename(leg, name)
        self.open[leg.id] = renamed, self.open[leg.id][1]
        return renamed

    def leave(self, leg: Leg, reason: str) -> None:
        super().leave(leg, reason)
        del self.open[leg.id]


def request_of(method: str, content_type: str, body: bytes, *, call_id: str = "rs-1", headers: str = "") -> Request:
    head = (
        f"{method} sip:recorder@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7:5062;branch=z9hG4bK{uuid4().hex}\r\n"
        f"From: <sip:src@192.0.2.7>;tag=f\r\nTo: <sip:recorder@192.0.2.1>\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\n"
        f"Max-Forwards: 70\r\nContact: <sip:src@192.0.2.7:5062>;+sip.src\r\nRequire: siprec\r\n{headers}"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    request = parse_message(head.encode() + body)
    assert isinstance(request, Request)
    return request


def invite_of(content_type: str, body: bytes, *, call_id: str = "rs-1", headers: str = "") -> Invite:
    request = request_of("INVITE", content_type, body, call_id=call_id, headers=headers)
    dialog = Dialog(request.call_id, request.to.with_tag("ours"), request.sender, request.sender.uri, FLOW)
    return Invite(dialog, request, FLOW, None)


@pytest.fixture(autouse=True)
def _doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded_stream, "RtpStream", FakeStream)
    monkeypatch.setattr("tests.fakes.gateway.FakeCall", Told)
    made.clear()


async def test_each_stream_is_a_track_under_its_participants_name_and_role() -> None:
    world = World()
    await world.begin()

    assert world.tracks() == {"1": ("Robert", "customer", False), "2": ("Clara", "agent", False)}
    call = world.call.call
    assert (call.door, call.external_id, call.from_number, call.to_number) == ("siprec", "Y3M=", "+15550100", "2002")
    (answer,) = world.endpoint.accepted
    assert answer is not None
    assert answer.count(b"a=recvonly") == 2
    assert b"m=audio 10000 " in answer
    assert b"m=audio 10002 " in answer
    assert world.dialog is not None
    assert world.dialog.features == ";+sip.srs"
    assert [stream.listener is not None for stream in made] == [True, True]


@pytest.mark.parametrize(
    ("vendor", "tracks", "name", "numbers"),
    [
        (
            "acme",
            {"16777227": ("9000", "customer", False), "16777228": ("1002", "agent", False)},
            "AavRXwIIQj1Q39eJulTipQ==",
            ("9000", "1002"),
        ),
        (
            "cisco",
            {"1": ("7301", "customer", False), "2": ("7300", "agent", False)},
            "e9fffff2020a598b86962867715db0cf",
            ("7301", "7300"),
        ),
        (
            "connectel",
            {"1": ("test_user", "customer", False), "2": ("0760516936", "agent", False)},
            "2d8abbf0769c66e15bb349f509693d60@52.57.92.239",
            ("0771121212", "0760516936"),
        ),
        ("broadworks", {"1": (None, "unknown", True)}, "rs-1", (None, None)),
    ],
)
async def test_vendors_offers_are_recorded(
    data_dir: object, vendor: str, tracks: dict[str, object], name: str, numbers: tuple[str | None, str | None]
) -> None:
    world = World()
    content_type, body = vendor_body(vendor)

    await world.invite(content_type, here(body, [20_000, 20_002]))

    assert world.endpoint.refused == []
    assert world.tracks() == tracks
    call = world.call.call
    assert (call.external_id, (call.from_number, call.to_number)) == (name, numbers)


async def test_who_is_an_agent_can_be_said() -> None:
    world = World(agents=("*@sbc.example.com",))
    await world.begin()

    assert world.tracks() == {"1": ("Robert", "agent", False), "2": ("Clara", "customer", False)}


async def test_broken_metadata_loses_names_and_nothing_else() -> None:
    world = World()
    await world.invite(*body_of(world.client.sdp(), b"<recording><participant"))

    assert world.tracks() == {"1": (None, "customer", False), "2": (None, "agent", False)}
    assert world.meter.refusals == {"bad-metadata": 1}

    world.update(None, metadata([ROBERT, CLARA]), "UPDATE")

    assert world.tracks() == {"1": ("Robert", "customer", False), "2": ("Clara", "agent", False)}
    assert world.endpoint.accepted[-1] is None


SNAPSHOT = ("application/rs-metadata-request", (("Content-Disposition", "recording-session"),))


async def test_lost_metadata_are_asked_for_once() -> None:
    world = World()
    await world.invite(*body_of(world.client.sdp(), metadata([CLARA], partial=True)[:-20]))
    assert world.dialog is not None
    world.dialog.methods = frozenset({"INVITE", "UPDATE"})
    acked = Acked(world.dialog, request_of("ACK", "", b""), None)

    world.tell(acked)
    world.tell(acked)
    assert world.endpoint.asked == [SNAPSHOT]

    world.update(None, metadata([ROBERT, CLARA]), "UPDATE")
    assert world.endpoint.asked == [SNAPSHOT]
    nobody_told_of = metadata([Someone("x", "sip:2009@pbx.example.com", None, ("9",))], partial=True)
    world.update(None, nobody_told_of.replace(b"<stream ", b"<strange ").replace(b"</stream>", b"</strange>"), "UPDATE")
    assert world.endpoint.asked == [SNAPSHOT] * 2


async def test_a_client_that_takes_no_updates_is_not_asked() -> None:
    world = World()
    await world.invite(*body_of(world.client.sdp(), b"<recording"))
    assert world.dialog is not None

    world.tell(Acked(world.dialog, request_of("ACK", "", b""), None))

    assert world.endpoint.asked == []


async def test_two_people_on_one_stream_are_told_apart_later() -> None:
    world = World()
    world.client = Client(["1"], [20_000], ["sendonly"])
    await world.begin(ROBERT, Someone("c", "sip:2002@pbx.example.com", "Clara", ("1",)))

    assert world.tracks() == {"1": ("Robert, Clara", "unknown", True)}


async def test_a_third_stream_with_both_is_answered_and_not_heard() -> None:
    world = World()
    world.client = Client(["1", "2", "3"], [20_000, 20_002, 20_004], ["sendonly"] * 3)
    await world.begin(
        Someone("r", ROBERT.aor, "Robert", ("1", "3")),
        Someone("c", CLARA.aor, "Clara", ("2", "3")),
    )

    assert sorted(world.tracks()) == ["1", "2"]
    answer = world.endpoint.accepted[0]
    assert answer is not None
    assert answer.count(b"a=recvonly") == 3


async def test_inactive_media_are_taken_and_heard_once_they_are_active() -> None:
    world = World()
    world.client.directions = ["inactive", "inactive"]
    await world.begin()
    assert world.tracks() == {}
    assert world.endpoint.accepted[0] is not None
    assert world.endpoint.accepted[0].count(b"a=inactive") == 2

    world.client.directions = ["sendonly", "inactive"]
    world.update(world.client.sdp(), None)
    assert world.tracks() == {"1": ("Robert", "customer", False)}

    world.client.directions = ["inactive", "sendonly"]
    world.update(world.client.sdp(), None)
    assert sorted(world.tracks()) == ["1", "2"]
    assert [stream.plan.receives for stream in made] == [False, True]


async def test_a_new_name_is_told_and_the_track_goes_on() -> None:
    world = World()
    await world.begin()

    world.update(None, metadata([Someone("r", ROBERT.aor, "Robert Miller", ("1",))], partial=True), "UPDATE")

    assert world.tracks()["1"] == ("Robert Miller", "customer", False)
    assert len(world.call.tracks) == 2


async def test_whoever_takes_over_has_a_leg_and_a_track_of_their_own() -> None:
    world = World()
    await world.begin()

    oscar = Someone("o", "sip:2003@pbx.example.com", "Oscar", ("2",))
    world.update(None, metadata([Someone("c", CLARA.aor, "Clara", (), gone=True), oscar], partial=True))

    assert world.tracks() == {"1": ("Robert", "customer", False), "2": ("Oscar", "agent", False)}
    assert [track.label for track in world.call.tracks] == ["1", "2", "2"]


async def test_on_hold_a_stream_stays_whose_it_was() -> None:
    world = World()
    await world.begin()

    world.client.directions = ["sendonly", "inactive"]
    world.update(world.client.sdp(), metadata([Someone("c", CLARA.aor, "Clara")], partial=True))

    assert world.tracks()["2"] == ("Clara", "agent", False)


async def test_streams_are_added_and_removed() -> None:
    world = World()
    await world.begin()

    world.client.labels.append("3")
    world.client.ports.append(20_004)
    world.client.directions.append("sendonly")
    oscar = Someone("o", "sip:2003@pbx.example.com", "Oscar", ("3",))
    world.update(world.client.sdp(), metadata([oscar], partial=True))
    assert world.tracks()["3"] == ("Oscar", "agent", False)
    assert world.ports.in_use == 3

    world.client.ports[1] = 0
    world.update(world.client.sdp(), None)
    assert sorted(world.tracks()) == ["1", "3"]
    assert world.ports.in_use == 2


async def test_a_request_that_cannot_be_answered_changes_nothing() -> None:
    world = World()
    await world.begin()
    before = world.tracks()
    assert world.dialog is not None

    world.client.codecs = "18"
    world.update(world.client.sdp(), metadata([CLARA]))
    world.update(b"no description", None)
    world.tell(Reinvite(world.dialog, request_of("INVITE", "multipart/mixed;boundary=x", b"nothing"), FLOW, None))

    assert [status for status, _ in world.endpoint.refused] == [488, 400, 400]
    assert world.tracks() == before
    assert world.ports.in_use == 2


async def test_encrypted_streams_are_answered_with_keys_or_refused() -> None:
    secured = Client().sdp().replace(b"RTP/AVP", b"RTP/SAVP")
    key = b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + base64.b64encode(bytes(range(30))) + b"\r\n"
    world = World()
    await world.invite(*body_of(secured.replace(b"a=label", key + b"a=label"), metadata([ROBERT, CLARA])))

    (answer,) = world.endpoint.accepted
    assert answer is not None
    assert answer.count(b"RTP/SAVP 0") == answer.count(b"a=crypto:1 AES_CM_128_HMAC_SHA1_80") == 2
    assert all(stream.plan.crypto is not None for stream in made)

    world = World()
    await world.invite(*body_of(secured, metadata([ROBERT, CLARA])))
    assert [status for status, _ in world.endpoint.refused] == [488]


async def test_a_reinvite_without_an_offer_is_offered_what_was_agreed() -> None:
    world = World()
    await world.begin()
    assert world.dialog is not None

    world.tell(Reinvite(world.dialog, request_of("INVITE", "application/sdp", b""), FLOW, None))

    assert world.endpoint.accepted == [world.endpoint.accepted[0]] * 2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (body_of(None, metadata([ROBERT])), 488),
        (("application/sdp", b""), 488),
        (body_of(b"v=9\r\n", None), 400),
        (body_of(Client(codecs="18").sdp(), None), 488),
        (("multipart/mixed;boundary=x", b"--y--"), 400),
    ],
)
async def test_what_cannot_be_recorded_is_refused_and_costs_nothing(body: tuple[str, bytes], status: int) -> None:
    world = World()

    await world.invite(*body)

    assert [answer for answer, _ in world.endpoint.refused] == [status]
    assert (world.registry.calls, world.ports.in_use, world.door.live, world.endpoint.sessions) == ({}, 0, {}, {})


async def test_without_ports_or_room_a_client_is_asked_to_come_later() -> None:
    world = World(ports=1)
    await world.begin()
    assert world.endpoint.refused[0][0] == 503
    assert world.ports.in_use == 0

    world = World()
    world.registry.refuses = "the server is about to stop"
    await world.begin()
    assert world.endpoint.refused[0][0] == 503
    assert world.ports.in_use == 0


async def test_the_end_gives_everything_back() -> None:
    world = World()
    await world.begin()
    assert world.dialog is not None

    world.tell(Ended(world.dialog, "bye"))

    assert world.call.ended == "completed"
    assert (world.tracks(), world.ports.in_use, world.door.live, world.endpoint.byes) == ({}, 0, {}, 0)


async def test_an_end_from_here_says_goodbye() -> None:
    world = World()
    await world.begin()

    world.door.end_all("server-shutdown")

    assert world.call.ended == "server-shutdown"
    assert (world.endpoint.byes, world.ports.in_use) == (1, 0)
    world.door.end_all("again")
    assert world.endpoint.byes == 1


async def test_a_client_that_has_gone_before_the_answer_leaves_nothing() -> None:
    world = World()
    world.endpoint.caller_gone = True
    await world.begin()

    assert world.call.ended == "cancelled"
    assert (world.ports.in_use, world.door.live, world.endpoint.byes) == (0, {}, 0)


async def test_a_cancel_before_the_answer_leaves_nothing() -> None:
    world = World()
    answer = world.registry.answer

    async def slow(call: Call) -> FakeCall:
        assert world.dialog is not None
        handle = await answer(call)
        world.endpoint.sessions[world.dialog].on_event(Cancelled(world.dialog, "cancelled"))
        return handle

    world.registry.answer = slow  # type: ignore[method-assign]
    await world.begin()

    assert world.call.ended == "cancelled"
    assert (world.endpoint.accepted, world.ports.in_use, world.door.live) == ([], 0, {})


async def test_a_fault_of_ours_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    monkeypatch.setattr(FakeMedia, "open", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        await world.begin()

    assert world.call.ended == "internal error"
    assert (world.ports.in_use, world.door.live, world.endpoint.byes) == (0, {}, 1)


async def test_several_recordings_go_on_at_once() -> None:
    world = World()
    one = await world.invite(*body_of(world.client.sdp(), metadata([ROBERT, CLARA])), call_id="rs-1")
    await world.invite(*body_of(world.client.sdp(), metadata([ROBERT, CLARA])), call_id="rs-2")
    assert len(world.registry.calls) == 2

    world.endpoint.sessions[one.dialog].on_event(Ended(one.dialog, "bye"))

    assert [call.ended for call in world.registry.calls.values()] == ["completed", None]
    assert world.ports.in_use == 2


async def test_the_same_invite_by_another_way_is_a_loop() -> None:
    world = World()
    await world.begin()

    await world.begin()

    assert world.endpoint.refused == [(482, "Loop Detected")]
    assert (len(world.registry.calls), world.ports.in_use) == (1, 2)


async def test_a_client_that_is_silent_on_all_streams_is_asked_whether_it_is_there() -> None:
    world = World()
    await world.begin()
    first, second = made
    assert world.dialog is not None

    first.is_lost = True
    first.wired["on_lost"]("silent")
    assert world.endpoint.offered == []

    second.is_lost = True
    second.wired["on_lost"]("silent")
    second.wired["on_lost"]("silent")
    assert world.endpoint.offered == [world.endpoint.accepted[0]]
    world.tell(ReinviteFailed(world.dialog, 488, "Not Acceptable Here"))
    assert world.call.ended is None

    world.tell(Ended(world.dialog, "gone"))
    assert world.call.ended == "connection-lost"


async def test_a_client_that_has_put_all_on_hold_is_asked_too_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "_HELD_PROBE_S", 0.0)
    world = World()
    world.client.directions = ["inactive", "inactive"]
    await world.begin()
    await until(lambda: world.endpoint.offered)

    world.client.directions = ["sendonly", "inactive"]
    world.update(world.client.sdp(), None)
    await asyncio.sleep(0)
    asked = len(world.endpoint.offered)
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(world.endpoint.offered) == asked


@pytest.mark.parametrize(
    ("content_type", "body", "headers", "taken"),
    [
        (*body_of(b"v=0\r\n", metadata([])), "", True),
        ("application/rs-metadata", b"<recording/>", "", True),
        ("application/sdp", b"v=0\r\n", "", False),
        ("application/sdp", b"v=0\r\n", "Require: timer, SIPREC\r\n", True),
        ("application/sdp", b"v=0\r\n", "Require: timer\r\n", False),
        ("multipart/mixed;boundary=x", b"--x\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--x--", "", False),
    ],
)
def test_recording_clients_are_recognised(content_type: str, body: bytes, headers: str, taken: bool) -> None:
    request = request_of("INVITE", content_type, body, headers=headers)
    plain = bytes(request).replace(b";+sip.src", b"").replace(b"Require: siprec\r\n", b"")
    request = parse_message(plain)  # type: ignore[assignment]
    invite = Invite(invite_of(content_type, body).dialog, request, FLOW, None)
    assert World().door.takes(invite) is taken
    assert World().door.takes(invite_of("application/sdp", b"v=0\r\n"))


_IDS = st.sampled_from(["a", "b", "c"])
_PEOPLE = st.lists(
    st.builds(
        Someone,
        _IDS,
        st.sampled_from(["sip:+15550100@h", "sip:2002@h", "sip:x"]),
        st.sampled_from([None, "Ann", "Bob"]),
        st.lists(st.sampled_from(["1", "2", "3"]), max_size=3).map(tuple),
        st.booleans(),
    ),
    max_size=3,
    unique_by=lambda one: one.id,
)
_LINES = st.lists(
    st.tuples(st.sampled_from(["sendonly", "inactive", "sendrecv"]), st.sampled_from([0, 20_000])),
    min_size=3,
    max_size=3,
)
_STEPS = st.lists(
    st.tuples(st.none() | _LINES, st.none() | _PEOPLE, st.booleans(), st.sampled_from(["INVITE", "UPDATE"])), max_size=8
)


@given(_STEPS)
def test_whatever_a_client_changes_each_stream_has_one_track_and_the_end_gives_all_back(steps: list[Any]) -> None:
    asyncio.run(_walk(steps))


async def _walk(steps: list[Any]) -> None:
    made.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorded_stream, "RtpStream", FakeStream)
        patch.setattr("tests.fakes.gateway.FakeCall", Told)
        world = World()
        world.client = Client(["1", "2", "3"], [20_000, 20_002, 20_004], ["sendonly"] * 3)
        await world.begin()
        for lines, people, partial, method in steps:
            if lines is not None:
                world.client.directions = [direction for direction, _ in lines]
                world.client.ports = [port and port + 2 * number for number, (_, port) in enumerate(lines)]
            sdp = world.client.sdp() if lines is not None else None
            world.update(sdp, None if people is None else metadata(people, partial=partial), method)
            taken = [stream for stream in made if stream.socket.port in world.ports.open]
            assert len(taken) == world.ports.in_use <= 3
            heard = [stream for stream in taken if stream.listener is not None]
            labels = [track.label for _, track in world.call.open.values()]
            assert sorted(labels) == sorted(stream.plan.label for stream in heard)
            assert len(set(labels)) == len(labels)
        world.door.end_all("completed")
        assert (world.call.open, world.ports.in_use, world.door.live) == ({}, 0, {})
