"""Atheris on SIP: `python tests/fuzz/sip.py [-atheris_runs=N] [-seed=N] [CORPUS]`.

Each input is read as a message, cut out of a stream, and given to an endpoint that takes calls. Nothing may be raised
but what is documented, and what was read must come out again when it is written.
"""

from __future__ import annotations

import random
import sys

import atheris

with atheris.instrument_imports(include=["media_gateway.protocols.sip"]):
    from media_gateway.protocols.sip.agent import Decision, UserAgent
    from media_gateway.protocols.sip.events import Invite, Reinvite
    from media_gateway.protocols.sip.flow import Flow
    from media_gateway.protocols.sip.grammar import SipError
    from media_gateway.protocols.sip.message import parse_message
    from media_gateway.protocols.sip.stream import StreamReader

OURS, THEIRS = ("192.0.2.1", 5060), ("198.51.100.9", 5070)
UDP, TCP = Flow("udp", OURS, THEIRS), Flow("tcp", OURS, THEIRS, 1)


def one(data: bytes) -> None:
    """Try one input."""
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
    agent.receive(data, UDP, 0.0)
    for piece in StreamReader().feed(data):
        agent.receive(piece, TCP, 0.1)
    for event in agent.take_events():
        if isinstance(event, Invite | Reinvite):
            agent.accept(event, b"v=0\r\n", 0.2)
    for flow, sent in agent.take_outgoing():
        if sent != b"\r\n":
            agent.receive(sent, flow, 0.3)
    agent.tick(40.0)
    for flow, sent in agent.take_outgoing():
        agent.receive(sent, flow, 40.0)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
