"""The messages of RFC 4475, each with what it says is to come of it.

`says`: the endpoint's answer to a caller that it trusts; None: dropped without a word. Where the RFC leaves a choice,
`why` says which one is ours. The sections are the RFC's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from media_gateway.protocols.sip.agent import Decision
from media_gateway.protocols.sip.grammar import SipError
from media_gateway.protocols.sip.message import Malformed, Request, Response, parse_message
from media_gateway.protocols.sip.stream import StreamReader
from tests.conftest import TEST_DATA
from tests.unit.sip_ladder import PHONE, Ladder

TORTURE = TEST_DATA / "wire" / "torture"


@dataclass(frozen=True)
class Expected:
    section: str
    parses: bool
    says: str | None
    why: str = ""


EXPECTED = {
    # Valid messages
    "dblreq": Expected("3.1.1.9", True, "405 Method Not Allowed", "one request; what is behind its length is ignored"),
    "escnull": Expected("3.1.1.4", True, "405 Method Not Allowed", "escaped nulls are part of a name"),
    "mpart01": Expected("3.1.1.11", True, "405 Method Not Allowed", "binary parts; MESSAGE is not ours"),
    "noreason": Expected("3.1.1.13", True, None, "an empty reason is one; the response is to nothing of ours"),
    "semiuri": Expected("3.1.1.8", True, "200 OK", "the semicolon is part of the user"),
    "transports": Expected("3.1.1.10", True, "200 OK", "transports that nobody knows stay as they are"),
    # Invalid messages
    "badinv01": Expected("3.1.2.1", False, "400 Bad list"),
    "clerr": Expected("3.1.2.2", False, "400 Bad Content-Length", "a datagram cannot go on"),
    "quotbal": Expected("3.1.2.6", False, "400 Bad address", "we do not guess where the quotes end"),
    "ltgtruri": Expected("3.1.2.7", False, "400 Bad URI", "we do not strip the brackets"),
    "lwsruri": Expected("3.1.2.8", False, "400 Bad request line", "we do not strip the spaces"),
    "escruri": Expected("3.1.2.11", False, "400 Bad URI: headers in a Request-URI", "rejected, not ignored"),
    "regbadct": Expected("3.1.2.13", False, "400 Bad address", "headers in a Contact without brackets"),
    "badaspec": Expected("3.1.2.14", True, "200 OK", "lenient: spaces inside the brackets are ignored"),
    "badvers": Expected("3.1.2.16", False, "505 Version Not Supported"),
    "mismatch02": Expected("3.1.2.18", False, "400 Bad CSeq: another method", "400 rather than 501"),
    "bigcode": Expected("3.1.2.19", False, None, "responses that cannot be are dropped"),
    "scalar02": Expected("3.1.2.4", False, "400 Bad CSeq"),
    "scalarlg": Expected("3.1.2.5", False, None, "a response whose CSeq is too large is dropped"),
    # Transaction layer and application layer
    "insuf": Expected("3.3.1", False, "400 Missing From"),
    "unkscm": Expected("3.3.2", True, "416 Unsupported URI Scheme"),
    "unksm2": Expected("3.3.4", True, "405 Method Not Allowed", "parsed; we are no registrar"),
    "bext01": Expected("3.3.5", True, "420 Bad Extension"),
    "invut": Expected("3.3.6", True, "415 Unsupported Media Type"),
    "regaut01": Expected("3.3.7", True, "405 Method Not Allowed", "where users are asked for, 401"),
    "mcl01": Expected("3.3.9", False, "400 Bad message: content-length twice"),
    "bcast": Expected("3.3.10", True, None, "a response with another's Via below ours is dropped"),
    "zeromf": Expected("3.3.11", True, "483 Too Many Hops", "an endpoint might take it; we end loops"),
    "cparam01": Expected("3.3.12", True, "405 Method Not Allowed", "unknown parameters stay as they are"),
    "regescrt": Expected("3.3.14", True, "405 Method Not Allowed", "headers of a Contact in brackets are its own"),
    "sdp01": Expected("3.3.15", True, "406 Not Acceptable"),
}


def torture(name: str) -> bytes:
    """A message by its name."""
    for folder in ("valid", "invalid"):
        path = TORTURE / folder / f"{name}.dat"
        if path.exists():
            return path.read_bytes()
    pytest.skip(f"needs the torture messages ({TORTURE})")


@pytest.mark.parametrize("name", EXPECTED)
def test_what_comes_of_it(name: str) -> None:
    expected, data = EXPECTED[name], torture(name)
    try:
        parse_message(data)
    except SipError:
        assert not expected.parses
    else:
        assert expected.parses
    ladder = Ladder()
    ladder.agent.receive(data, PHONE, 0.0)
    answers = [sent.split(b"\r\n", 1)[0].decode() for _, sent in ladder.agent.take_outgoing()]
    assert answers == ([] if expected.says is None else [f"SIP/2.0 {expected.says}"])
    assert ladder.silent()
    assert ladder.agent.next_due_s is None


def test_every_message_that_is_there_has_its_outcome(data_dir: Path) -> None:
    assert {path.stem for path in (data_dir / "wire" / "torture").rglob("*.dat")} == set(EXPECTED)


@pytest.mark.parametrize("name", [name for name, expected in EXPECTED.items() if expected.parses])
def test_what_is_taken_says_the_same_when_it_is_written_again(name: str) -> None:
    message = parse_message(torture(name))
    again = parse_message(bytes(message))
    assert type(again) is type(message)
    assert (again.method, again.start_line, again.body) == (message.method, message.start_line, message.body)
    assert [line for line in again.headers if line[0] != "Content-Length"] == [
        line for line in message.headers if line[0].lower() not in {"content-length", "l"}
    ]


def test_what_they_say() -> None:
    dblreq = parse_message(torture("dblreq"))
    assert (dblreq.method, dblreq.body, dblreq.call_id[:6]) == ("REGISTER", b"", "dblreq")
    escnull = parse_message(torture("escnull"))
    assert [contact.uri.name for contact in escnull.addresses("contact")] == ["\0", "\0\0"]
    assert escnull.to.uri.name == "null-\0-null"
    mpart = parse_message(torture("mpart01"))
    assert (len(mpart.body), mpart.media_type) == (553, "multipart/mixed")
    noreason = parse_message(torture("noreason"))
    assert isinstance(noreason, Response)
    assert (noreason.status, noreason.reason) == (100, "")
    semiuri = parse_message(torture("semiuri"))
    assert isinstance(semiuri, Request)
    assert (semiuri.uri.name, semiuri.uri.host) == ("user;par=u@example.net", "example.com")
    assert semiuri.uri.parameters == ()
    assert semiuri.headers.values("accept")[-1] == "message/sipfrag"
    transports = parse_message(torture("transports"))
    assert [via.transport for via in transports.vias] == ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]
    spaces = parse_message(torture("badaspec")).to
    assert (spaces.display, str(spaces.uri)) == ("Watson, Thomas", "sip:t.watson@example.org")


def test_a_refusal_repeats_what_a_malformed_request_has() -> None:
    with pytest.raises(Malformed) as caught:
        parse_message(torture("insuf"))
    assert caught.value.method == "INVITE"
    ladder = Ladder()
    ladder.agent.receive(torture("insuf"), PHONE, 0.0)
    ((_, data),) = ladder.agent.take_outgoing()
    lines = data.decode().split("\r\n")
    assert "Via: SIP/2.0/UDP 192.0.2.95;branch=z9hG4bKkdj.insuf" in lines
    assert "CSeq: 193942 INVITE" in lines


def test_what_an_unknown_scheme_of_authorization_is_worth() -> None:
    ladder = Ladder(authenticate=lambda _request, _flow: Decision.CHALLENGE)
    ladder.agent.receive(torture("regaut01"), PHONE, 0.0)
    ((_, data),) = ladder.agent.take_outgoing()
    assert data.startswith(b"SIP/2.0 401 Unauthorized\r\n")


def test_both_of_two_requests_in_one_stream_are_seen() -> None:
    pieces = StreamReader().feed(torture("dblreq")[:-3])  # its second length is three short of its body
    assert [parse_message(piece).method for piece in pieces if piece.strip()][:2] == ["REGISTER", "INVITE"]
