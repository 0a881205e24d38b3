"""Offers of browsers, and what is not one; our answers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from aiortc.sdp import SessionDescription
from hypothesis import given
from hypothesis import strategies as st

from media_gateway.protocols.rtc_sdp import (
    MAX_CANDIDATES,
    Candidate,
    OfferRefused,
    Ours,
    answer,
    parse_candidate,
    parse_fragment,
    parse_offer,
)

FINGERPRINT = ":".join(["AB"] * 32)
SESSION = ["v=0", "o=- 46117 2 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0 1 2", "a=msid-semantic: WMS x"]
AUDIO = [
    "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126",
    "c=IN IP4 0.0.0.0",
    "a=rtcp:9 IN IP4 0.0.0.0",
    "a=candidate:1467250027 1 udp 2122260223 192.168.1.4 46243 typ host generation 0 network-id 1 network-cost 10",
    "a=candidate:842163049 1 udp 1677729535 198.51.100.3 46243 typ srflx raddr 192.168.1.4 rport 46243 generation 0",
    "a=candidate:1 1 udp 2122260223 7cb4ee14-8f41-4c1a-9f3c-1d3c0e6bd1a1.local 5000 typ host",
    "a=candidate:2 1 tcp 1518280447 192.168.1.4 9 typ host tcptype active generation 0",
    "a=ice-ufrag:EsAw",
    "a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1",
    "a=ice-options:trickle",
    f"a=fingerprint:sha-256 {FINGERPRINT}",
    "a=setup:actpass",
    "a=mid:0",
    "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    "a=sendrecv",
    "a=msid:stream track",
    "a=rtcp-mux",
    "a=rtcp-rsize",
    "a=rtpmap:111 opus/48000/2",
    "a=rtcp-fb:111 transport-cc",
    "a=fmtp:111 minptime=10;useinbandfec=1",
    "a=rtpmap:63 red/48000/2",
    "a=rtpmap:9 G722/8000",
    "a=rtpmap:110 telephone-event/48000",
    "a=rtpmap:126 telephone-event/8000",
    "a=ssrc:3735928559 cname:o/i14u9pJrxRKAsu",
]
VIDEO = ["m=video 9 UDP/TLS/RTP/SAVPF 96", "c=IN IP4 0.0.0.0", "a=mid:1", "a=sendrecv", "a=rtpmap:96 VP8/90000"]
DATA = ["m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "c=IN IP4 0.0.0.0", "a=mid:2", "a=sctp-port:5000"]
OURS = Ours(
    session_id=42,
    ufrag="ours",
    password="x" * 22,
    fingerprints=[("sha-256", FINGERPRINT)],
    candidates=["1 1 udp 2130706431 127.0.0.1 40000 typ host"],
    default=("127.0.0.1", 40_000),
    ssrc=7,
    cname="us",
)


def text(*sections: list[str]) -> str:
    return "\r\n".join(line for section in (SESSION, *sections) for line in section) + "\r\n"


def changed(old: str, new: str | None) -> str:
    """The audio offer with the lines that begin with `old` replaced, or left out."""
    lines = [new if line.startswith(old) else line for line in AUDIO]
    return text([line for line in lines if line is not None])


def test_a_browsers_offer() -> None:
    offer = parse_offer(text(AUDIO))
    assert (offer.audio, offer.opus, offer.keys) == (0, 111, 110)
    assert (offer.direction, offer.setup, offer.is_bundled) == ("sendrecv", "active", True)
    assert (offer.ufrag, offer.password) == ("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1")
    assert offer.fingerprints == (("sha-256", FINGERPRINT),)
    assert offer.candidates == (
        Candidate("1467250027", 2122260223, "192.168.1.4", 46243, "host"),
        Candidate("842163049", 1677729535, "198.51.100.3", 46243, "srflx"),
    )


def test_what_the_session_says_holds_for_the_section() -> None:
    moved = [line for line in AUDIO if line.startswith(("a=ice-", "a=fingerprint", "a=setup"))]
    rest = [line for line in AUDIO if line not in moved]
    offer = parse_offer(text(moved, rest))
    assert (offer.ufrag, offer.setup, offer.fingerprints) == ("EsAw", "active", (("sha-256", FINGERPRINT),))


def test_line_ends_and_case_do_not_matter() -> None:
    lenient = (
        text(AUDIO).replace("\r\n", "\n").replace("opus/48000", "OPUS/48000").replace(FINGERPRINT, FINGERPRINT.lower())
    )
    assert parse_offer(lenient) == parse_offer(text(AUDIO))


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("sendrecv", "sendrecv"), ("sendonly", "recvonly"), ("recvonly", "sendonly"), ("inactive", "inactive")],
)
def test_directions_face_each_other(theirs: str, ours: str) -> None:
    offer = parse_offer(changed("a=sendrecv", f"a={theirs}"))
    assert offer.direction == ours
    said = answer(offer, OURS)
    assert f"a={ours}\r\n" in said
    assert ("a=ssrc:7" in said) == (ours in {"sendrecv", "sendonly"})


@pytest.mark.parametrize(("theirs", "ours"), [("actpass", "active"), ("active", "passive"), ("passive", "active")])
def test_one_of_the_two_begins_the_handshake(theirs: str, ours: str) -> None:
    offer = parse_offer(changed("a=setup", f"a=setup:{theirs}"))
    assert f"a=setup:{ours}\r\n" in answer(offer, OURS)


@pytest.mark.parametrize(
    ("offer", "why"),
    [
        ("", "not a session description"),
        ("hello", "not a session description"),
        ("v=0", "no audio"),
        (text(), "no audio"),
        (text(VIDEO, DATA), "no audio"),
        (text(["m=audio"]), "media line"),
        (changed("m=audio", "m=audio 9 RTP/AVP 111"), "no Opus"),
        (changed("m=audio", "m=audio 9 UDP/TLS/RTP/SAVPF 0 8"), "no Opus"),
        (changed("m=audio", "m=audio 0 UDP/TLS/RTP/SAVPF 111"), "no Opus"),
        (changed("a=rtpmap:111", "a=rtpmap:111 opus/8000"), "no Opus"),
        (changed("a=rtpmap:111", "a=rtpmap:999 opus/48000/2"), "no Opus"),
        (changed("a=ice-ufrag", None), "ICE"),
        (changed("a=ice-ufrag", "a=ice-ufrag:a b"), "ICE"),
        (changed("a=ice-pwd", "a=ice-pwd:short"), "ICE"),
        (changed("a=fingerprint", None), "fingerprint"),
        (changed("a=fingerprint", "a=fingerprint:sha-1 " + ":".join(["AB"] * 20)), "fingerprint"),
        (changed("a=fingerprint", "a=fingerprint:sha-256 AB:CD"), "fingerprint"),
        (changed("a=fingerprint", f"a=fingerprint:sha-256 {FINGERPRINT[:-1]}X"), "fingerprint"),
        (changed("a=setup", None), "DTLS"),
        (changed("a=setup", "a=setup:holdconn"), "DTLS"),
        (changed("a=rtcp-mux", None), "RTCP"),
        (changed("a=mid", "a=mid:0 1"), "media id"),
        ("v=0\r\n" + "m=audio 0 x 1\r\n" * 100, "too many"),
        ("v=0\r\n" + "a" * 70_000, "too long"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_refused(offer: str, why: str) -> None:
    with pytest.raises(OfferRefused, match=why):
        parse_offer(offer)


def test_the_first_audio_with_opus_is_answered_and_the_rest_turned_down() -> None:
    phone = ["m=audio 9 UDP/TLS/RTP/SAVPF 0", "a=mid:4"]
    second = [line.replace("a=mid:0", "a=mid:5") for line in AUDIO]
    offer = parse_offer(text(VIDEO, phone, AUDIO, second, DATA))
    assert offer.audio == 2
    description = SessionDescription.parse(answer(offer, OURS))
    assert [media.kind for media in description.media] == ["video", "audio", "audio", "audio", "application"]
    assert [media.port for media in description.media] == [0, 0, 40_000, 0, 0]
    assert [media.rtp.muxId for media in description.media] == ["1", "4", "0", "5", "2"]
    assert [group.items for group in description.group] == [["0"]]


def test_the_answer_is_read_by_others_as_we_mean_it() -> None:
    said = answer(parse_offer(text(AUDIO)), replace(OURS, with_keys=True))
    (media,) = SessionDescription.parse(said).media
    assert [(codec.payloadType, codec.mimeType) for codec in media.rtp.codecs] == [
        (111, "audio/opus"),
        (110, "audio/telephone-event"),
    ]
    assert media.rtp.codecs[0].parameters["useinbandfec"] == 1
    assert media.rtcp_mux
    assert media.dtls is not None
    assert (media.dtls.role, media.dtls.fingerprints[0].value) == ("client", FINGERPRINT)
    assert (media.ice.usernameFragment, media.ice.password) == ("ours", "x" * 22)
    assert [(found.ip, found.port) for found in media.ice_candidates] == [("127.0.0.1", 40_000)]
    assert media.ice_candidates_complete
    assert media.ssrc[0].ssrc == 7
    assert {"a=ptime:20", "a=maxptime:60", "a=ice-options:trickle"} <= set(said.splitlines())


def test_keys_are_not_taken_unasked() -> None:
    assert "telephone-event" not in answer(parse_offer(text(AUDIO)), OURS)


@pytest.mark.parametrize("prefix", ["", "candidate:", "a=candidate:"])
def test_candidates(prefix: str) -> None:
    found = parse_candidate(f"{prefix}1 1 UDP 2122260223 2001:DB8:0:0::1 5000 typ host generation 0")
    assert found == Candidate("1", 2122260223, "2001:db8::1", 5000, "host")


@pytest.mark.parametrize(
    "value",
    [
        "1 1 tcp 1 192.0.2.1 9 typ host tcptype active",
        "1 2 udp 1 192.0.2.1 5000 typ host",
        "1 1 udp 1 somewhere.local 5000 typ host",
        "1 1 udp 1 example.org 5000 typ host",
        "1 1 udp 1 192.0.2.1 0 typ host",
        "1 1 udp 1 192.0.2.1 65536 typ host",
        "1 1 udp 4294967296 192.0.2.1 5000 typ host",
        "1 1 udp 1 224.0.0.251 5353 typ host",
        "1 1 udp 1 255.255.255.255 5000 typ host",
        "1 1 udp 1 0.0.0.0 5000 typ host",
        "1 1 udp 1 ff02::1 5000 typ host",
    ],
)
def test_candidates_of_no_use(value: str) -> None:
    assert parse_candidate(value) is None


@pytest.mark.parametrize(
    "value", ["", "candidate:", "1 1 udp", "1 1 udp x 192.0.2.1 5000 typ host", "a\r\nb", "x" * 9000]
)
def test_what_is_no_candidate(value: str) -> None:
    with pytest.raises(ValueError, match="malformed"):
        parse_candidate(value)


def test_only_so_many_candidates_are_taken() -> None:
    many = [f"a=candidate:1 1 udp 1 192.0.2.1 {port} typ host" for port in range(5000, 5100)]
    assert len(parse_offer(text(AUDIO, many)).candidates) <= MAX_CANDIDATES


def test_fragments() -> None:
    lines = [
        "a=ice-ufrag:EsAw",
        "a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1",
        "m=audio 9 UDP/TLS/RTP/SAVPF 0",
        "a=mid:0",
        "a=candidate:1 1 udp 2122260223 192.0.2.1 5000 typ host",
        "a=candidate:1 1 udp 2122260223 hidden.local 5000 typ host",
        "a=end-of-candidates",
    ]
    fragment = "\r\n".join(lines) + "\r\n"
    found = parse_fragment(fragment)
    assert found.ufrag == "EsAw"
    assert found.candidates == (Candidate("1", 2122260223, "192.0.2.1", 5000, "host"),)


@pytest.mark.parametrize(
    "fragment", ["", "\r\n", "hello", "a=candidate:x", "a=candidate:1 1 udp 1 192.0.2.1 5 typ host\n" * 40]
)
def test_what_is_no_fragment(fragment: str) -> None:
    with pytest.raises(ValueError, match=r"malformed|too many"):
        parse_fragment(fragment)


LINES = st.sampled_from([*SESSION, *AUDIO, *VIDEO, *DATA, "", "a=", "m=", "a=setup:", "a=rtpmap:", "a=fingerprint:"])


@given(st.lists(st.one_of(LINES, LINES.map(lambda line: line[:-3]), st.text(max_size=30)), max_size=40))
def test_no_offer_makes_us_stumble(lines: list[str]) -> None:
    try:
        offer = parse_offer("\r\n".join(["v=0", *lines]))
    except OfferRefused:
        return
    assert "\n\n" not in answer(offer, OURS).replace("\r", "")


@given(st.text(max_size=200))
def test_no_text_makes_us_stumble(said: str) -> None:
    for parse in (parse_offer, parse_candidate, parse_fragment):
        try:
            parse(said)
        except (OfferRefused, ValueError):
            pass
