"""Nothing that comes in raises: chance on the parser and on an endpoint with calls, and a bounded run of Atheris."""

from __future__ import annotations

import importlib.util
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media_gateway.protocols.sip.agent import Decision, UserAgent
from media_gateway.protocols.sip.events import Invite, Reinvite
from media_gateway.protocols.sip.flow import Flow
from media_gateway.protocols.sip.grammar import SipError
from media_gateway.protocols.sip.limits import Limits
from media_gateway.protocols.sip.message import Request, parse_message
from media_gateway.protocols.sip.registration import Registration
from tests.conftest import TEST_DATA
from tests.unit.sip_ladder import ANSWER, OFFER, PHONE, WIRE, Caller

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
    except SipError as error:
        assert 400 <= error.status <= 599
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


@given(
    st.lists(
        st.tuples(st.sampled_from(METHODS), st.lists(LINES, max_size=3), st.integers(0, 6), st.integers(0, 5)),
        max_size=15,
    )
)
@settings(max_examples=300)
def test_a_caller_does_everything_in_any_order(steps: list[tuple[str, list[str], int, int]]) -> None:
    """Whatever a peer does, each call begins once and ends once, and all is gone in the end."""
    agent = UserAgent(authenticate=lambda _request, _flow: Decision.TRUST, rng=random.Random(1))
    caller, now_s, begun, over = Caller(), 0.0, [], []

    def look() -> None:
        for event in agent.take_events():
            if isinstance(event, Invite):
                assert event.dialog not in begun
                begun.append(event.dialog)
                caller.to_tag = event.dialog.local.tag
            if isinstance(event, Invite | Reinvite):
                waiting.append(event)
            elif type(event).__name__ in {"Ended", "Cancelled"}:
                assert event.dialog not in over  # type: ignore[union-attr]
                over.append(event.dialog)  # type: ignore[union-attr]
        agent.take_outgoing()

    waiting: list[Invite | Reinvite] = []
    for method, lines, cseq, act in steps:
        tagged = caller.to_tag if act else ""
        branch = f"z9hG4bK{cseq}{method if method != 'CANCEL' else 'INVITE'}"
        data = caller.request(method, *lines, cseq=cseq, body=OFFER, to_tag=tagged, branch=branch)
        agent.receive(data, PHONE, now_s)
        look()
        if waiting and act == 1:
            agent.accept(waiting.pop(), ANSWER, now_s)
        elif waiting and act == 2:
            if agent.refuse(last := waiting.pop(), 486, "Busy Here", now_s) and isinstance(last, Invite):
                over.append(last.dialog)
        elif begun and act == 3:
            if agent.reinvite(begun[-1], OFFER, now_s):
                assert begun[-1] not in over
        elif begun and act == 4:
            early = begun[-1].state.value == "early"
            agent.bye(begun[-1], now_s)
            if early and begun[-1] not in over:
                over.append(begun[-1])
        now_s += 0.3 * act
        agent.tick(now_s)
        look()
    for dialog in begun:
        if dialog not in over and dialog.state.value == "early":
            over.append(dialog)
        agent.bye(dialog, now_s)
    for _ in range(60):
        now_s += 10
        agent.tick(now_s)
        look()
        for dialog in begun:
            agent.bye(dialog, now_s)
    assert sorted(map(id, set(over))) == sorted(map(id, begun))
    assert agent.dialogs() == []
    assert agent.next_due_s is None


def test_a_bounded_run_of_atheris_finds_nothing(tmp_path: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("needs atheris")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, data in enumerate(SEEDS):
        (corpus / f"{number:03}").write_bytes(data)
    script = Path(__file__).parents[1] / "fuzz" / "sip.py"
    done = subprocess.run(
        [sys.executable, str(script), "-atheris_runs=20000", "-seed=4711", "-max_len=2048", str(corpus)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    assert b"Done 20000" in done.stderr
