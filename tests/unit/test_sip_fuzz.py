"""Nothing that comes in raises: chance on the parser and on an endpoint with calls, and a bounded run of Atheris."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from media_gateway.protocols.sip.agent import Decision, UserAgent
from media_gateway.protocols.sip.dialog import Dialog, DialogState
from media_gateway.protocols.sip.events import Cancelled, Ended, Invite, Reinvite
from media_gateway.protocols.sip.flow import Flow
from media_gateway.protocols.sip.grammar import SipError
from media_gateway.protocols.sip.limits import Limits
from media_gateway.protocols.sip.message import Request, parse_message
from media_gateway.protocols.sip.registration import Registration
from media_gateway.protocols.sip.stream import StreamReader
from tests.conftest import TEST_DATA
from tests.fuzzing import fuzz
from tests.unit.sip_ladder import ANSWER, OFFER, PHONE, WIRE, Caller, answer_to

METHODS = ["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "UPDATE", "INFO", "PRACK", "REGISTER", "NOTIFY", "X"]
LINES = st.sampled_from(
    [
        "Session-Expires: 90;refresher=uas",
        "Supported: timer",
        "Require: timer",
        "Min-SE: 5",
        "Expires: 1",
        "Authorization: Digest realm=hearline",
        "Allow: UPDATE",
        "Record-Route: <sip:203.0.113.1;lr>",
        "Contact: <sip:x@[2001:db8::1]>",
        "Accept: */*",
    ]
)
JUNK = st.binary(max_size=30) | st.sampled_from([b"\r\n", b";", b",", b"<", b'"', b"sip:", b"SIP/2.0", b"\xff", b"\0"])


def seeds() -> list[bytes]:
    """Where mutations start."""
    caller = Caller(to_tag="x")
    made = [caller.request(method, "Supported: timer", body=OFFER) for method in METHODS]
    made += [path.read_bytes() for path in sorted((TEST_DATA / "wire" / "torture").rglob("*.dat"))]
    return made


SEEDS = seeds()


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A message with some of it replaced."""
    data = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(0, 4))):
        begin = draw(st.integers(0, len(data)))
        end = min(begin + draw(st.integers(0, 40)), len(data))
        data = data[:begin] + draw(JUNK) + data[end:]
    return data


@given(mutated() | st.binary(max_size=200))
@settings(max_examples=400)
def test_the_parser_says_what_is_wrong_or_returns_what_can_be_written(data: bytes) -> None:
    try:
        message = parse_message(data)
    except SipError:
        return
    again = parse_message(bytes(message))
    assert (again.start_line, again.vias, again.sender, again.to, again.body) == (
        message.start_line,
        message.vias,
        message.sender,
        message.to,
        message.body,
    )


def policy(request: Request, flow: Flow) -> Decision:
    """Some of everything."""
    return list(Decision)[len(request.call_id) % 4] if flow.kind == "tcp" else Decision.TRUST


@given(st.lists(mutated() | st.binary(max_size=60), max_size=8), st.booleans())
@settings(max_examples=200)
def test_an_endpoint_takes_whatever_comes(pieces: list[bytes], tcp: bool) -> None:
    agent = UserAgent(Limits(ring_s=30), authenticate=policy, rng=random.Random(1))
    agent.register(Registration("sip:pbx", "sip:me@pbx", "me", "pw"), PHONE, 0.0)
    for number, piece in enumerate(pieces):
        agent.receive(piece, WIRE if tcp else PHONE, number)
        for event in agent.take_events():
            if isinstance(event, Invite | Reinvite):
                agent.accept(event, ANSWER, number)
        for flow, data in agent.take_outgoing():
            agent.receive(data, flow, number)  # our own words come back
    agent.flow_lost(WIRE, 10.0)
    for step in range(20):
        agent.tick(10.0 + 8 * step)
        agent.take_events()
    assert len(agent.dialogs()) <= len(pieces)


class Walk:
    """A call of one caller and its door, that do what chance says; each call begins once and ends once."""

    def __init__(self) -> None:
        self.agent = UserAgent(authenticate=lambda _request, _flow: Decision.TRUST, rng=random.Random(1))
        self.caller = Caller()
        self.now_s = 0.0
        self.begun: list[Dialog] = []
        self.over: list[Dialog] = []
        self.waiting: list[Invite | Reinvite] = []
        self.asked: list[Request] = []

    def look(self) -> None:
        """Take what happened."""
        for event in self.agent.take_events():
            if isinstance(event, Invite):
                assert event.dialog not in self.begun
                self.begun.append(event.dialog)
                self.caller.to_tag = event.dialog.local.tag
            if isinstance(event, Invite | Reinvite):
                self.waiting.append(event)
            elif isinstance(event, Ended | Cancelled):
                assert event.dialog not in self.over
                self.over.append(event.dialog)
        sent = [parse_message(data) for _, data in self.agent.take_outgoing()]
        self.asked += [message for message in sent if isinstance(message, Request) and message.method != "ACK"]

    def answer(self, status: int, lines: list[str]) -> None:
        """Let a response to our last request come in."""
        if self.asked:
            data = answer_to(self.asked[-1], status, "x", *lines, body=OFFER)
            self.agent.receive(data, PHONE, self.now_s)
            self.look()

    def peer(self, method: str, lines: list[str], cseq: int, act: int) -> None:
        """Let a request come in."""
        branch = f"z9hG4bK{cseq}{'INVITE' if method == 'CANCEL' else method}"
        to_tag = self.caller.to_tag if act else ""
        data = self.caller.request(method, *lines, cseq=cseq, body=OFFER, to_tag=to_tag, branch=branch)
        self.agent.receive(data, PHONE, self.now_s)
        self.look()

    def door(self, act: int) -> None:
        """Let the door do something."""
        if act == 1 and self.waiting:
            self.agent.accept(self.waiting.pop(), ANSWER, self.now_s)
        elif act == 2 and self.waiting:
            last = self.waiting.pop()
            if self.agent.refuse(last, 486, "Busy Here", self.now_s) and isinstance(last, Invite):
                self.over.append(last.dialog)
        elif act == 3 and self.begun:
            assert not (self.agent.reinvite(self.begun[-1], OFFER, self.now_s) and self.begun[-1] in self.over)
        elif act == 4 and self.begun:
            self.hang_up(self.begun[-1])
        elif act == 5 and self.begun:
            assert not (self.agent.probe(self.begun[-1], self.now_s) and self.begun[-1] in self.over)
        self.wait(0.3 * act)

    def hang_up(self, dialog: Dialog) -> None:
        """End a call; one not answered yet is over at once, and no event says so."""
        early = dialog.state is DialogState.EARLY
        self.agent.bye(dialog, self.now_s)
        if early:
            assert dialog not in self.over
            self.over.append(dialog)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds
        self.agent.tick(self.now_s)
        self.look()


STATUSES = [100, 180, 200, 200, 302, 401, 405, 408, 422, 481, 491, 500]
STEPS = st.tuples(
    st.sampled_from(METHODS) | st.sampled_from(STATUSES),
    st.lists(LINES, max_size=3),
    st.integers(0, 6),
    st.integers(0, 5),
    st.sampled_from([0.0, 0.0, 0.6, 5.0, 46.0, 400.0]),
)


@given(st.booleans(), st.lists(STEPS, max_size=15))
@settings(max_examples=250)
def test_a_caller_does_everything_in_any_order(
    talks: bool, steps: list[tuple[str | int, list[str], int, int, float]]
) -> None:
    walk = Walk()
    if talks:
        walk.peer("INVITE", ["Supported: timer"], 0, 0)
        walk.door(1)
        walk.peer("ACK", [], 0, 1)
    for what, lines, cseq, act, seconds in steps:
        if isinstance(what, int):
            walk.answer(what, lines)
        else:
            walk.peer(what, lines, cseq, act)
        walk.door(act)
        walk.wait(seconds)
    for _ in range(60):
        for dialog in walk.begun:
            walk.hang_up(dialog)
        walk.wait(10)
    assert sorted(map(id, walk.over)) == sorted(map(id, walk.begun)), "each call ends, and ends once"
    assert walk.agent.dialogs() == []
    assert walk.agent.next_due_s is None


def fuzz_endpoint(data: bytes) -> None:
    """Each input is a message, a stream, and what an endpoint hears; what was read comes out again when written."""
    try:
        message = parse_message(data)
    except SipError:
        pass
    else:
        again = parse_message(bytes(message))
        assert again.start_line == message.start_line
        assert again.body == message.body
    agent = UserAgent(
        authenticate=lambda request, _flow: Decision.CHALLENGE if request.cseq % 2 else Decision.TRUST,
        password_of=lambda user: "secret" if user == "ann" else None,
        rng=random.Random(1),
    )
    agent.receive(data, PHONE, 0.0)
    for piece in StreamReader().feed(data):
        agent.receive(piece, WIRE, 0.1)
    for event in agent.take_events():
        if isinstance(event, Invite | Reinvite):
            agent.accept(event, b"v=0\r\n", 0.2)
    for flow, sent in agent.take_outgoing():
        if sent != b"\r\n":
            agent.receive(sent, flow, 0.3)
    agent.tick(40.0)
    for flow, sent in agent.take_outgoing():
        agent.receive(sent, flow, 40.0)


def test_no_message_breaks_the_endpoint() -> None:
    fuzz("tests.unit.test_sip_fuzz:fuzz_endpoint", SEEDS, runs=10_000, max_len=2_048)
