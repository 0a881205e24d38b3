"""Messages: read in every shape the wire has, written so that others read the same."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_gateway.protocols.sip.grammar import (
    Address,
    SipError,
    Uri,
    Via,
    parse_address,
    parse_uri,
    parse_via,
    split_list,
)
from media_gateway.protocols.sip.message import Headers, Malformed, Request, Response, parse_message, serialise
from tests.unit.sip_captures import sip_in
from tests.unit.sip_ladder import OFFER, Caller


def message(*lines: str, body: bytes = b"") -> bytes:
    return "\r\n".join([*lines, "", ""]).encode() + body


COMPACT = message(
    "INVITE sip:bob@b.example SIP/2.0",
    "v: SIP/2.0/TCP a.example ;branch = z9hG4bK1 , SIP / 2.0 / UDP [2001:db8::9:1]:5062;branch=z9hG4bK2;received",
    "V: SIP/2.0/TLS c.example:5061",
    '  ;branch="z9hG4bK3"',
    'f:"A \\"quoted\\", name" <sip:ann@a.example>;tag=1 ; x = "y;z"',
    "t :Bob B  <sips:bob@b.example;transport=tcp>",
    "i:  one two".replace(" two", ""),
    "CSEQ: 0009",
    "\t INVITE",
    "m: <sip:ann@192.0.2.9>",
    "c: application/sdp; charset=utf-8",
    "k: timer,",
    "  replaces",
    "UnknownHeader: \tkept as it is; even, this",
    "l: 3",
    body=b"v=0 and more",
)


def test_a_message_in_short_words_and_folded_lines() -> None:
    found = parse_message(COMPACT)
    assert isinstance(found, Request)
    assert [(via.transport, via.host, via.port, via.branch) for via in found.vias] == [
        ("TCP", "a.example", None, "z9hG4bK1"),
        ("UDP", "2001:db8::9:1", 5062, "z9hG4bK2"),
        ("TLS", "c.example", 5061, "z9hG4bK3"),
    ]
    assert (found.sender.display, found.sender.tag) == ('A "quoted", name', "1")
    assert found.sender.parameter("x") == "y;z"
    assert (found.to.display, found.to.uri.scheme, found.to.tag) == ("Bob B", "sips", "")
    assert (found.call_id, found.cseq, found.method) == ("one", 9, "INVITE")
    assert (found.media_type, found.content_type) == ("application/sdp", "application/sdp; charset=utf-8")
    assert found.headers.tokens("supported") == {"timer", "replaces"}
    assert found.headers.get("unknownheader") == "kept as it is; even, this"
    assert found.body == b"v=0"


def test_a_reason_in_any_language_and_bytes_that_are_no_text() -> None:
    reason = "Ќема шанси 没有"
    head = Caller().request("OPTIONS").split(b"\r\n", 1)[1].replace(b'"Ann"', b'"\xff\xfe Ann"')
    found = parse_message(f"SIP/2.0 503 {reason}\r\n".encode() + head)
    assert isinstance(found, Response)
    assert found.reason == reason
    assert b'"\xff\xfe Ann"' in bytes(found)


def test_what_comes_before_a_message_and_behind_it_is_not_part_of_it() -> None:
    data = Caller().request("INVITE", body=OFFER)
    assert parse_message(b"\r\n\r\n" + data + b"INVITE again") == parse_message(data)


def test_without_a_length_a_datagram_ends_with_its_body() -> None:
    data = Caller().request("INVITE", body=OFFER).replace(f"Content-Length: {len(OFFER)}\r\n".encode(), b"")
    assert parse_message(data).body == OFFER


BROKEN = {
    "no end": (b"OPTIONS sip:a@b SIP/2.0\r\nVia: x", 400),
    "tag of the line": (b"OPTIONS  sip:a@b SIP/2.0", 400),
    "lower version": (b"SIP/1.0", 505),
    "two CSeqs": (b"CSeq: 1 OPTIONS\r\nCSeq: 1 OPTIONS", 400),
    "large CSeq": (b"CSeq: 2147483648 OPTIONS", 400),
    "negative length": (b"Content-Length: -5", 400),
    "length in other digits": ("Content-Length: ٣".encode(), 400),
    "hops": (b"Max-Forwards: 256", 400),
    "via": (b"Via: SIP/3.0/UDP x;branch=z9hG4bK1", 400),
    "no via": (b"", 400),
    "control character": (b"Subject: a\x00b", 400),
    "line feed alone": (b"Subject: a\nVia: b", 400),
    "two froms": (b"f: <sip:x@y>;tag=2", 400),
    "port": (b"Via: SIP/2.0/UDP x:99999;branch=z9hG4bK1", 400),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_malformed(case: str) -> None:
    line, status = BROKEN[case]
    data = Caller().request("OPTIONS")
    if case == "no end":
        data = line
    elif case == "tag of the line":
        data = line + data[data.index(b"\r\n") :]
    elif case == "lower version":
        data = data.replace(b"SIP/2.0\r\n", b"SIP/1.0\r\n", 1)
    elif line.startswith(b"CSeq: 2"):
        data = data.replace(b"CSeq: 1 OPTIONS", line)
    elif line.startswith((b"Via", b"Content-Length", b"Max-Forwards")) or not line:
        name = line.partition(b":")[0] or b"Via"
        start = data.index(name)
        data = data[:start] + (line + b"\r\n" if line else b"") + data[data.index(b"\r\n", start) + 2 :]
    else:
        data = data.replace(b"Call-ID", line + b"\r\nCall-ID")
    with pytest.raises(SipError) as caught:
        parse_message(data)
    assert caught.value.status == status


def test_too_much_of_anything_is_refused() -> None:
    whole = Caller().request("OPTIONS")
    for more in ([f"X-{n}: y" for n in range(300)], [f"Subject: {'x' * 20_000}"]):
        with pytest.raises(Malformed) as caught:
            parse_message(whole.replace(b"Call-ID", "\r\n".join([*more, "Call-ID"]).encode()))
        assert str(caught.value) == "400 Too Much Header"
    with pytest.raises(Malformed) as hops:
        parse_message(whole.replace(b"Call-ID", f"Via: {','.join(['SIP/2.0/UDP a'] * 200)}\r\nCall-ID".encode()))
    assert str(hops.value) == "400 Too Much Header"
    with pytest.raises(SipError) as large:
        parse_message(whole + bytes(70_000))
    assert large.value.status == 513


def test_a_line_that_holds_a_line_end_is_never_written() -> None:
    for bad in ("a\r\nVia: b", "a\nb", "a\0"):
        with pytest.raises(ValueError, match="control"):
            serialise("SIP/2.0 200 OK", [("Reason", bad)])


def test_what_is_in_logs_says_nothing_of_people() -> None:
    assert repr(parse_message(Caller().request("INVITE"))) == "<Request INVITE 1>"


# URIs and addresses

URIS = [
    "sip:alice@atlanta.example",
    "sip:alice:secret@atlanta.example:5060;transport=tcp;lr?Subject=a%20b&To=x",
    "sips:1212@gateway.example",
    "sip:+1-212-555-1212:1234@gateway.example;user=phone",
    "sip:user;par=u%40example.net@example.com",
    "sip:[2001:db8::1]:5061",
    "sip:%61lice@[::1];maddr=239.255.255.1;ttl=15",
    "sip:192.0.2.7",
    "sip:a.b-c_d!e~f*g'(h)&=+$,;?/@x.example",
    "tel:+1-201-555-0123",
    "tel:7042;phone-context=example.com;ext=1",
    "urn:service:sos",
    "isbn:2983792873",
]


@pytest.mark.parametrize("text", URIS)
def test_uris_come_out_as_they_went_in(text: str) -> None:
    assert str(parse_uri(text)) == text


def test_the_parts_of_a_uri() -> None:
    uri = parse_uri("SIP:%2B1555;ext=2:pw@[2001:DB8::1]:5061;Transport=TCP;lr?a=b")
    assert (uri.scheme, uri.name, uri.number, uri.password) == ("sip", "+1555;ext=2", "+1555", "pw")
    assert (uri.host, uri.port, uri.parameter("transport"), uri.parameter("lr")) == ("2001:DB8::1", 5061, "TCP", "")
    assert (uri.parameter("maddr"), uri.headers) == (None, "a=b")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip:",
        "sip:@host",
        "sip:a@",
        "sip:a@b@c",
        "sip:a b@c",
        "sip:a@b:port",
        "sip:a@b:65536",
        "sip:a@[::1",
        "sip:a@b;;lr",
        "sip:a%4@b",
        "tel:",
        "tel:abc!",
        "alice@example.com",
        "<sip:a@b>",
        "x:",
        "sip:a@b\r\nVia: c",
    ],
)
def test_what_is_no_uri(text: str) -> None:
    with pytest.raises(SipError):
        parse_uri(text)


@pytest.mark.parametrize(
    ("text", "display", "uri", "tag"),
    [
        ('"Bob, \\\\ \\"B\\"" <sip:b@x>;tag=1', 'Bob, \\ "B"', "sip:b@x", "1"),
        ("Bob  B <sip:b@x;y>;tag=1", "Bob B", "sip:b@x;y", "1"),
        ("<sip:b@x?a=b>", "", "sip:b@x?a=b", ""),
        ("sip:b@x;tag=1", "", "sip:b@x", "1"),
        ('"<not this>" <sip:b@x>', "<not this>", "sip:b@x", ""),
        ("<tel:+1555>;tag=2", "", "tel:+1555", "2"),
    ],
)
def test_addresses(text: str, display: str, uri: str, tag: str) -> None:
    found = parse_address(text)
    assert (found.display, str(found.uri), found.tag) == (display, uri, tag)
    assert parse_address(str(found)) == found


@pytest.mark.parametrize("text", ['"x <sip:b@x>', "<sip:b@x", "sip:b@x?c=d", "Bob sip:b@x", "<>", 'a "b" c <sip:x@y>'])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(SipError):
        parse_address(text)


def test_lists_are_parted_only_where_a_part_ends() -> None:
    assert split_list('"a, b" <sip:c,d@e>, <sip:f@g> , h') == ['"a, b" <sip:c,d@e>', "<sip:f@g>", "h"]
    for text in ("a,,b", ",", 'a, "b', "a, <b"):
        with pytest.raises(SipError):
            split_list(text)


# Round trips

TOKENS = st.text(string.ascii_letters + string.digits + "-.!%*_+`'~", min_size=1, max_size=12)
NAMES = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8)
HOSTS = st.sampled_from(["192.0.2.7", "2001:db8::1", "a.example", "x_y-z.example."])
PORTS = st.none() | st.integers(0, 65_535)
VALUES = st.none() | TOKENS | st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12)
PARAMETERS = st.lists(st.tuples(NAMES, VALUES), max_size=3).map(tuple)
URI_PARAMETERS = st.lists(st.tuples(NAMES, st.none() | NAMES), max_size=3).map(tuple)
SIP_URIS = st.builds(
    Uri,
    scheme=st.sampled_from(["sip", "sips"]),
    user=st.text(string.ascii_letters + "+;?&=$,/", min_size=1, max_size=12),
    host=HOSTS,
    port=PORTS,
    parameters=URI_PARAMETERS,
    password=st.none() | NAMES,
)
DISPLAYS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Z"]) | st.just(" "), max_size=16).map(
    lambda text: " ".join(text.split())
)
ADDRESSES = st.builds(Address, SIP_URIS, DISPLAYS, PARAMETERS)
VIAS = st.builds(Via, st.sampled_from(["UDP", "TCP", "TLS"]), HOSTS, PORTS, PARAMETERS)


@given(ADDRESSES)
def test_an_address_that_is_written_is_read(address: Address) -> None:
    assert parse_address(str(address)) == address


@given(VIAS)
def test_a_via_that_is_written_is_read(via: Via) -> None:
    assert parse_via(str(via)) == via


@given(
    SIP_URIS,
    ADDRESSES,
    ADDRESSES,
    st.lists(VIAS, min_size=1, max_size=3),
    st.integers(0, 2**31 - 1),
    st.binary(max_size=60),
    st.sampled_from(["INVITE", "BYE", "X-NEW"]),
    st.integers(100, 699) | st.none(),
)
def test_a_message_that_is_written_is_read(
    uri: Uri, sender: Address, to: Address, vias: list[Via], cseq: int, body: bytes, method: str, status: int | None
) -> None:
    lines = [("Via", str(via)) for via in vias]
    lines += [("From", str(sender)), ("To", str(to)), ("Call-ID", "x@y"), ("CSeq", f"{cseq} {method}")]
    start = f"{method} {uri} SIP/2.0" if status is None else f"SIP/2.0 {status} Why Not"
    found = parse_message(serialise(start, lines, body))
    assert (found.vias, found.sender, found.to) == (tuple(vias), sender, to)
    assert (found.cseq, found.method, found.body, found.call_id) == (cseq, method, body, "x@y")
    assert isinstance(found, Request if status is None else Response)
    if isinstance(found, Request):
        assert found.uri == uri
    again = parse_message(bytes(found))
    assert again == found


def test_headers_are_found_by_either_name() -> None:
    headers = Headers([("v", "a"), ("VIA", "b"), ("Subject", "c")])
    assert (headers.all("via"), headers.get("subject"), headers.get("from")) == (["a", "b"], "c", None)
    assert ("Via" in headers, "call-id" in headers) == (True, False)


# What others have sent

CAPTURES = {
    "ndpi_sip": 81,
    "sngrep_aaa": 81,
    "ppp_sip_non_default_port": 2,
    "ppp_sip_not_sdp": 1,
    "ppp_sip_reqs": 2,
    "ppp_sip_resp": 6,
}


@pytest.mark.parametrize("name", CAPTURES)
def test_captured_messages_are_read_and_written_again(name: str, data_dir: Path) -> None:
    captured = sip_in(data_dir / "wire" / f"{name}.pcap")
    assert len(captured) >= CAPTURES[name]
    for data in captured:
        if b"\r\n\r\n" not in data and not data.endswith(b"\r\n"):  # one was cut off
            with pytest.raises(SipError):
                parse_message(data)
            continue
        found = parse_message(data)
        again = parse_message(bytes(found))
        assert (again.start_line, again.vias, again.sender, again.to) == (
            found.start_line,
            found.vias,
            found.sender,
            found.to,
        )
        assert again.body == found.body
        if isinstance(found, Response):
            assert again.headers.get("www-authenticate") == found.headers.get("www-authenticate")
