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
    "dblreq": Expected("3.1.1.8", True, "405 Method Not Allowed", "one request; what is behind its length is ignored"),
    "escnull": Expected("3.1.1.4", True, "405 Method Not Allowed", "escaped nulls are part of a name"),
    "mpart01": Expected("3.1.1.11", True, "405 Method Not Allowed", "binary parts; MESSAGE is not ours"),
    "noreason": Expected("3.1.1.13", True, None, "an empty reason is one; the response is to nothing of ours"),
    "semiuri": Expected("3.1.1.9", True, "200 OK", "the semicolon is part of the user"),
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


# The other messages of the RFC, as short as what they are about allows.

REST = "Call-ID: {}\r\nCSeq: 8 {}\r\nMax-Forwards: 70\r\nContact: <sip:caller@h5.example>\r\nContent-Length: 0\r\n\r\n"
VIA = "Via: SIP/2.0/UDP 198.51.100.9:5070;branch=z9hG4bKkdjuw\r\n"
FROM = "From: <sip:caller@example.net>;tag=323\r\n"
TO = "To: sip:user@example.com\r\n"


def short(method: str, line: str = "", *, via: str = VIA, sender: str = FROM, to: str = TO, rest: str = REST) -> bytes:
    """A message with one odd part."""
    line = line or f"{method} sip:user@example.com SIP/2.0"
    return f"{line}\r\n{via}{sender}{to}{rest.format('short', method)}".encode()


METHOD = "!odd-Method0123456789_*+`.%indeed'~"
USER = "1_odd.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
LONG = "x" * 2000
WHITE = (
    "INVITE sip:user@example.com;unknownparam SIP/2.0\r\n"
    "TO :\r\n sip:user@chair.example ;   x    = 19n\r\n"
    'from   : "J Rosenberg \\\\\\""       <sip:jd@example.com>\r\n  ;\r\n  tag = 98asjd8\r\n'
    "MaX-fOrWaRdS: 0068\r\n"
    "Call-ID: wsinv.one\r\n"
    "Content-Length   : 0\r\n"
    "cseq: 0009\r\n  INVITE\r\n"
    "Via  : SIP  /   2.0\r\n /UDP\r\n    198.51.100.9;branch=390skdjuw\r\n"
    "s :\r\n"
    "NewFangledHeader:   newfangled value\r\n continued newfangled value\r\n"
    "UnknownHeaderWithUnusualValue: ;;,,;;,;\r\n"
    "Route:\r\n <sip:services.example.com;lr;unknownwith=value;unknown-no-value>\r\n"
    "v:  SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n"
    " SIP  /    2.0   / UDP  192.168.255.111   ; branch=\r\n z9hG4bK30239\r\n"
    'm:"Quoted string \\"\\"" <sip:jd@example.com> ; newparam =\r\n      newvalue ;\r\n  secondparam ; q = 0.33\r\n\r\n'
)
OLD = (
    "INVITE sip:UserB@example.com SIP/2.0\r\n"
    "Via: SIP/2.0/UDP iftgw.example.com\r\n"
    "From: <sip:+1303@ift.example>\r\n"
    "Record-Route: <sip:UserB@example.com;maddr=ss1.example.com>\r\n"
    "To: sip:+1650@ss1.example.com;user=phone\r\n"
    "Call-ID: inv2543.1717@ift\r\n"
    "CSeq: 56 INVITE\r\n"
    "Contact: LittleGuy <sip:UserA@ift.example>\r\n\r\n"
)
OTHERS: dict[str, tuple[str, bytes, str | None]] = {
    "wsinv": ("3.1.1.1", WHITE.encode(), "100 Trying"),
    "intmeth": (
        "3.1.1.2",
        short(METHOD, f"{METHOD} sip:{USER}@example.com SIP/2.0"),
        "501 Not Implemented",
    ),
    "esc01": ("3.1.1.3", short("INVITE", "INVITE sip:sips%3Auser%40example.com@example.net SIP/2.0"), "100 Trying"),
    "esc02": (
        "3.1.1.5",
        short("RE%47IST%45R", sender='From: "%Z%45" <sip:r@e.example>;tag=f\r\n'),
        "501 Not Implemented",
    ),
    "lwsdisp": ("3.1.1.6", short("OPTIONS", sender="From: caller<sip:caller@example.com>;tag=323\r\n"), "200 OK"),
    "longreq": (
        "3.1.1.7",
        short("INVITE", to=f'To: "{LONG}" <sip:user@example.com;{LONG}={LONG};{LONG}>;{LONG}="{LONG}"\r\n'),
        "100 Trying",
    ),
    "unreason": ("3.1.1.12", short("INVITE", "SIP/2.0 200 = 2**3 * 5**2 \u043d\u043e"), None),
    "ncl": (
        "3.1.2.3",
        short("INVITE", rest=REST.replace("Content-Length: 0", "Content-Length: -999")),
        "400 Bad Content-Length",
    ),
    "lwsstart": ("3.1.2.9", short("INVITE", "INVITE  sip:user@example.com  SIP/2.0"), "400 Bad request line"),
    "trws": ("3.1.2.10", short("OPTIONS", "OPTIONS sip:user@example.com SIP/2.0  "), "400 Bad request line"),
    "baddate": ("3.1.2.12", short("INVITE", to=f"{TO}Date: Fri, 01 Jan 2010 16:00:00 EST\r\n"), "100 Trying"),
    "baddn": ("3.1.2.15", short("OPTIONS", sender="From: Bell, Alexander <sip:a@b.example>;tag=4\r\n"), "200 OK"),
    "mismatch01": ("3.1.2.17", short("INVITE", "OPTIONS sip:u@e.example SIP/2.0"), "400 Bad CSeq: another method"),
    "badbranch": ("3.2.1", short("OPTIONS", via="Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK\r\n"), "200 OK"),
    "novelsc": (
        "3.3.3",
        short("OPTIONS", "OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0"),
        "416 Unsupported URI Scheme",
    ),
    "multi01": ("3.3.8", short("INVITE", to=f"{TO}{FROM}{TO}CSeq: 59 INVITE\r\n"), "400 Bad message"),
    "cparam02": ("3.3.13", short("REGISTER", to=f"{TO}Contact: <sip:+19@gw1.example;x>\r\n"), "405 Method Not Allowed"),
    "inv2543": (
        "3.4.1",
        OLD.encode(),
        "100 Trying",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_comes_of_the_others(name: str) -> None:
    _, data, says = OTHERS[name]
    ladder = Ladder()
    ladder.agent.receive(data, PHONE, 0.0)
    answers = [sent.split(b"\r\n", 1)[0].decode() for _, sent in ladder.agent.take_outgoing()]
    assert len(answers) == (says is not None)
    assert all(answer.startswith(f"SIP/2.0 {says}") for answer in answers)


def test_the_short_tortuous_invite_is_understood() -> None:
    found = parse_message(OTHERS["wsinv"][1])
    assert isinstance(found, Request)
    assert [via.branch for via in found.vias] == ["390skdjuw", "z9hG4bK9ikj8", "z9hG4bK30239"]
    assert (found.sender.display, found.sender.tag) == ('J Rosenberg \\"', "98asjd8")
    (contact,) = found.addresses("contact")
    assert (contact.display, contact.parameter("newparam"), contact.parameter("q")) == (
        'Quoted string ""',
        "newvalue",
        "0.33",
    )
    assert found.headers.get("unknownheaderwithunusualvalue") == ";;,,;;,;"
    assert found.headers.get("newfangledheader") == "newfangled value continued newfangled value"


def test_odd_names_are_kept_to_the_letter() -> None:
    found = parse_message(OTHERS["intmeth"][1])
    assert isinstance(found, Request)
    assert (found.method, str(found.uri)) == (METHOD, f"sip:{USER}@example.com")
    escaped = parse_message(OTHERS["esc01"][1])
    assert isinstance(escaped, Request)
    assert escaped.uri.name == "sips:user@example.com"
