"""Those who may not call: what they are told, how often, and that they leave nothing behind."""

from __future__ import annotations

import pytest

from media_gateway.protocols.sip.agent import Decision, UserAgent
from media_gateway.protocols.sip.events import Invite
from media_gateway.protocols.sip.flow import Flow
from media_gateway.protocols.sip.limits import Limits
from media_gateway.protocols.sip.message import Request
from tests.unit.sip_ladder import ANSWER, OFFER, OURS, PHONE, Caller, Ladder, starts

TRUNK = "198.51.100.9"


def stranger(number: int = 0) -> Flow:
    """An address that nobody knows."""
    return Flow("udp", OURS, (f"203.0.{number // 250}.{number % 250 + 1}", 5060))


def trunk_only(_request: Request, flow: Flow) -> Decision:
    """The policy of a house with one trunk."""
    return Decision.TRUST if flow.remote[0] == TRUNK else Decision.REFUSE


def left_behind(ladder: Ladder) -> int:
    """How much the endpoint remembers."""
    agent = ladder.agent
    stack = agent._stack
    return (
        len(stack.servers) + len(stack.clients) + len(stack._invites) + len(agent._calls) + len(agent._admission._known)
    )


def test_by_default_nobody_may_call() -> None:
    agent = UserAgent()
    agent.receive(Caller().request("INVITE", body=OFFER), PHONE, 0.0)
    ((_, data),) = agent.take_outgoing()
    assert data.startswith(b"SIP/2.0 403 Forbidden\r\n")
    assert agent.take_events() == []


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "REGISTER", "BYE", "NEWMETHOD"])
def test_strangers_are_refused_and_forgotten(method: str) -> None:
    ladder = Ladder(authenticate=trunk_only)
    request = Caller(flow=stranger()).request(method)
    first, second = ladder.send(request, stranger()), ladder.send(request, stranger())
    assert starts(first) == starts(second) == ["403 Forbidden"]
    assert first[0].to.tag == second[0].to.tag  # the same answer, though nothing is kept
    assert ladder.silent()
    assert left_behind(ladder) == 0
    assert ladder.agent.next_due_s is None


def test_the_ack_of_a_refusal_is_passed_over() -> None:
    ladder, caller = Ladder(authenticate=trunk_only), Caller(flow=stranger())
    (sent,) = ladder.send(caller.request("INVITE", body=OFFER), stranger())
    assert ladder.send(caller.request("ACK", to_tag=sent.to.tag, branch="z9hG4bK-c1-1-INVITE"), stranger()) == []


def test_a_stranger_is_answered_only_so_often() -> None:
    limits = Limits(stranger_rate_per_s=5, stranger_burst=20)
    ladder = Ladder(authenticate=trunk_only, limits=limits)
    answers = 0
    for _ in range(1000):  # two seconds of 500 a second
        answers += len(ladder.send(Caller(flow=stranger()).request("OPTIONS"), stranger()))
        ladder.now_s += 0.002
    assert 28 <= answers <= 30
    assert ladder.refused == {"stranger": answers, "silenced": 1000 - answers}
    assert left_behind(ladder) == 0


def test_many_strangers_are_answered_only_so_often_together() -> None:
    ladder = Ladder(authenticate=trunk_only, limits=Limits(strangers_per_s=50))
    answers = sum(len(ladder.send(Caller().request("OPTIONS"), stranger(number))) for number in range(2000))
    assert answers == 50
    assert left_behind(ladder) == 0


def test_a_call_is_set_up_while_strangers_shout() -> None:
    ladder, caller = Ladder(authenticate=trunk_only), Caller()
    for number in range(500):
        ladder.send(Caller().request("OPTIONS"), stranger(number % 7))
    assert starts(ladder.send(caller.request("INVITE", body=OFFER))) == ["100 Trying"]
    invite = ladder.event(Invite)
    caller.to_tag = invite.dialog.local.tag
    ladder.agent.accept(invite, ANSWER, ladder.now_s)
    assert starts(ladder.out()) == ["200 OK"]


def test_to_be_dropped_is_to_hear_nothing() -> None:
    ladder = Ladder(authenticate=lambda _request, _flow: Decision.DROP)
    assert ladder.send(Caller().request("INVITE", body=OFFER)) == []


def test_strangers_may_be_greeted() -> None:
    ladder = Ladder(authenticate=trunk_only, limits=Limits(greet_strangers=True))
    (sent,) = ladder.send(Caller().request("OPTIONS"), stranger())
    assert starts([sent]) == ["200 OK"]
    assert "allow" not in sent.headers
    assert starts(ladder.send(Caller().request("INVITE", body=OFFER), stranger())) == ["403 Forbidden"]


def test_a_strangers_bye_does_not_end_somebodys_call() -> None:
    ladder, caller = Ladder(authenticate=trunk_only), Caller()
    dialog = ladder.talking(caller)
    sent = ladder.send(caller.request("BYE", to_tag="guessed"), stranger())
    assert starts(sent) == ["481 Call/Transaction Does Not Exist"]
    assert ladder.agent.dialogs() == [dialog]


def test_malformed_requests_are_answered_only_so_often() -> None:
    ladder = Ladder(limits=Limits(stranger_burst=5, stranger_rate_per_s=1))
    broken = Caller().request("OPTIONS").replace(b"CSeq: 1 OPTIONS", b"CSeq: x")
    for _ in range(100):
        ladder.agent.receive(broken, PHONE, ladder.now_s)
    answers = ladder.agent.take_outgoing()
    assert len(answers) == 5
    assert answers[0][1].startswith(b"SIP/2.0 400 Bad CSeq\r\n")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0\0",
        b"\r\n",
        b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"INVITE sip:a@b SIP/2.0\r\n\r\n",
        b"SIP/2.0 200 OK\r\n\r\n",
        bytes(range(256)) * 300,
    ],
)
def test_junk_gets_no_answer(data: bytes) -> None:
    ladder = Ladder()
    assert ladder.send(data) == []
    assert ladder.silent()


def test_a_ping_on_a_connection_gets_its_pong() -> None:
    ladder, flow = Ladder(), Flow("tcp", OURS, ("198.51.100.9", 49_152), 1)
    ladder.agent.receive(b"\r\n\r\n", flow, 0.0)
    assert ladder.agent.take_outgoing() == [(flow, b"\r\n")]
    ladder.agent.receive(b"\r\n", flow, 0.0)
    assert ladder.agent.take_outgoing() == []


def test_too_many_transactions_and_the_next_request_gets_503() -> None:
    ladder = Ladder(limits=Limits(transactions=3))
    for number in range(3):
        ladder.invited(Caller(call_id=f"c{number}"))
    assert starts(ladder.send(Caller(call_id="c9").request("INVITE", body=OFFER))) == ["503 Service Unavailable"]
