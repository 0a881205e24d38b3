"""Session descriptions of telephones, PBXs and recorders: what is read, what is answered, what is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_gateway.protocols.sdes import KEY_BYTES, OFFERED, crypto_value, new_line, parse_crypto
from media_gateway.protocols.sdp import MAX_BYTES, MAX_SECTIONS, SdpError, SessionDescription, parse_sdp
from media_gateway.protocols.sdp_plan import (
    LocalMedia,
    acceptable,
    plan_answer,
    plan_from_answer,
    plan_offer,
)

HEAD = "v=0\no=- 42 7 IN IP4 192.0.2.9\ns=-\nc=IN IP4 192.0.2.9\nt=0 0\n"
KEY_80 = "1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
"""Of RFC 4568, section 6.1's example."""
OURS = LocalMedia("198.51.100.1", {index: 10_000 + 2 * index for index in range(8)})


def described(*lines: str, head: str = HEAD) -> SessionDescription:
    return parse_sdp((head + "\n".join(lines) + "\n").replace("\n", "\r\n").encode())


def answered(*lines: str, ours: LocalMedia = OURS, head: str = HEAD) -> list[str]:
    return plan_answer(described(*lines, head=head), ours).sdp.decode().splitlines()


def test_an_answer_mirrors_payload_types() -> None:
    answer = plan_answer(
        described(
            "m=audio 49170 RTP/AVP 18 110 8 0 99",
            "a=rtpmap:18 G729/8000",
            "a=rtpmap:110 OPUS/48000/2",
            "a=fmtp:110 useinbandfec=1;maxaveragebitrate=20000",
            "a=rtpmap:99 telephone-event/48000",
            "a=fmtp:99 0-16",
            "a=ptime:20",
        ),
        OURS,
    )
    (stream,) = answer.streams
    assert (stream.codec.name, stream.codec.payload_type, stream.codec.clock_hz) == ("opus", 110, 48_000)
    assert stream.codec.parameter("maxaveragebitrate") == "20000"
    assert stream.dtmf_payload_type == 99
    assert stream.remote == ("192.0.2.9", 49_170)
    assert stream.remote_rtcp == ("192.0.2.9", 49_171)
    assert (stream.direction, stream.port, stream.ptime_ms, stream.crypto) == ("sendrecv", 10_000, 20, None)
    lines = answer.sdp.decode().splitlines()
    assert "m=audio 10000 RTP/AVP 110 99" in lines
    assert "a=rtpmap:110 opus/48000/2" in lines
    assert "a=rtpmap:99 telephone-event/48000" in lines
    assert answer.sdp.endswith(b"\r\n")
    assert parse_sdp(answer.sdp).sections[0].codecs[0].name == "opus"


@pytest.mark.parametrize(("number", "name"), [(0, "PCMU"), (8, "PCMA"), (9, "G722")])
def test_static_payload_types_need_no_rtpmap(number: int, name: str) -> None:
    (stream,) = plan_answer(described(f"m=audio 4000 RTP/AVP {number}"), OURS).streams
    assert (stream.codec.name, stream.codec.payload_type, stream.codec.clock_hz) == (name, number, 8_000)


def test_the_offers_order_decides() -> None:
    (stream,) = plan_answer(described("m=audio 4000 RTP/AVP 3 8 0 9"), OURS).streams
    assert stream.codec.name == "PCMA"
    (stream,) = plan_answer(described("m=audio 4000 RTP/AVP 3 8 0 9"), replace(OURS, codecs=("PCMU",))).streams
    assert stream.codec.name == "PCMU"


def test_every_m_line_is_answered_in_its_order() -> None:
    lines = answered(
        "m=video 5000 RTP/AVP 96",
        "a=rtpmap:96 H264/90000",
        "a=mid:v",
        "m=audio 5002 RTP/AVP 0",
        "a=label:1",
        "m=image 5004 udptl t38",
        "m=audio 5006 RTP/AVP 4 18",
        "m=audio 5008 RTP/AVP 8",
        "a=label:2",
        "a=inactive",
        "m=application 5010 TCP/BFCP *",
        "m=audio 0 RTP/AVP 0",
        "m=audio 5012 UDP/TLS/RTP/SAVPF 0",
    )
    media = [line for line in lines if line.startswith("m=")]
    assert media == [
        "m=video 0 RTP/AVP 96",
        "m=audio 10002 RTP/AVP 0",
        "m=image 0 udptl t38",
        "m=audio 0 RTP/AVP 4 18",
        "m=audio 10008 RTP/AVP 8",
        "m=application 0 TCP/BFCP *",
        "m=audio 0 RTP/AVP 0",
        "m=audio 0 UDP/TLS/RTP/SAVPF 0",
    ]
    assert "a=mid:v" in lines
    assert [line for line in lines if line.startswith("a=label:")] == ["a=label:1", "a=label:2"]


def test_an_m_line_without_a_port_of_ours_is_refused() -> None:
    offer = described("m=audio 5000 RTP/AVP 0", "m=audio 5002 RTP/AVP 0")
    assert acceptable(offer, replace(OURS, ports={})) == (0, 1)
    answer = plan_answer(offer, replace(OURS, ports={1: 10_000}))
    assert [stream.index for stream in answer.streams] == [1]


def test_nothing_that_can_be_taken_is_488() -> None:
    with pytest.raises(SdpError) as refused:
        plan_answer(described("m=audio 5000 RTP/AVP 18", "m=video 5002 RTP/AVP 96"), OURS)
    assert refused.value.status == 488


def test_media_that_are_taken_back_are_answered_all_the_same() -> None:
    answer = plan_answer(described("m=audio 0 RTP/AVP 0"), OURS)
    assert answer.streams == ()
    assert b"m=audio 0 RTP/AVP 0" in answer.sdp


@pytest.mark.parametrize(
    ("theirs", "most", "ours"),
    [
        ("sendrecv", "sendrecv", "sendrecv"),
        ("sendonly", "sendrecv", "recvonly"),
        ("recvonly", "sendrecv", "sendonly"),
        ("inactive", "sendrecv", "inactive"),
        ("sendrecv", "recvonly", "recvonly"),
        ("recvonly", "recvonly", "inactive"),
        ("sendrecv", "sendonly", "sendonly"),
        ("sendonly", "inactive", "inactive"),
    ],
)
def test_directions(theirs: str, most: str, ours: str) -> None:
    local = replace(OURS, direction=most)  # type: ignore[arg-type]
    for lines in ((f"m=audio 5000 RTP/AVP 0\na={theirs}",), (f"a={theirs}\nm=audio 5000 RTP/AVP 0",)):
        answer = plan_answer(described(*lines), local)
        assert answer.streams[0].direction == ours
        assert f"a={ours}" in answer.sdp.decode().splitlines()


def test_a_sections_direction_goes_before_the_sessions() -> None:
    (stream,) = plan_answer(described("a=inactive", "m=audio 5000 RTP/AVP 0", "a=sendonly"), OURS).streams
    assert (stream.direction, stream.receives, stream.sends) == ("recvonly", True, False)


def test_hold_by_the_old_address() -> None:
    (stream,) = plan_answer(described("m=audio 5000 RTP/AVP 0", "c=IN IP4 0.0.0.0"), OURS).streams
    assert (stream.direction, stream.remote) == ("recvonly", None)


@pytest.mark.parametrize(
    ("attributes", "ptime_ms"),
    [
        ([], 20),
        (["a=ptime:10"], 10),
        (["a=ptime:30"], 30),
        (["a=ptime:40"], 40),
        (["a=ptime:60"], 60),
        (["a=ptime:120"], 60),
        (["a=ptime:25"], 20),
        (["a=ptime:5"], 10),
        (["a=ptime:0"], 20),
        (["a=ptime:many"], 20),
        (["a=ptime:20.0"], 20),
        (["a=maxptime:10"], 10),
        (["a=maxptime:150"], 20),
        (["a=ptime:60", "a=maxptime:40"], 40),
    ],
)
def test_packet_times(attributes: list[str], ptime_ms: int) -> None:
    answer = plan_answer(described("m=audio 5000 RTP/AVP 0", *attributes), OURS)
    assert answer.streams[0].ptime_ms == ptime_ms
    assert f"a=ptime:{ptime_ms}" in answer.sdp.decode().splitlines()


def test_where_reports_go() -> None:
    (own,) = plan_answer(described("m=audio 5000 RTP/AVP 0", "a=rtcp:6001"), OURS).streams
    (elsewhere,) = plan_answer(described("m=audio 5000 RTP/AVP 0", "a=rtcp:6001 IN IP4 192.0.2.10"), OURS).streams
    (shared,) = plan_answer(described("m=audio 5000 RTP/AVP 0", "a=rtcp:5000", "a=rtcp-mux"), OURS).streams
    assert own.remote_rtcp == ("192.0.2.9", 6001)
    assert elsewhere.remote_rtcp == ("192.0.2.10", 6001)
    assert (shared.rtcp_mux, shared.remote_rtcp) == (True, ("192.0.2.9", 5000))
    assert "a=rtcp-mux" in answered("m=audio 5000 RTP/AVP 0", "a=rtcp-mux")
    assert "a=rtcp-mux" not in answered("m=audio 5000 RTP/AVP 0")


def test_addresses() -> None:
    (stream,) = plan_answer(described("m=audio 5000/2 RTP/AVP 0", "c=IN IP4 203.0.113.5"), OURS).streams
    assert stream.remote == ("203.0.113.5", 5000)
    v6 = described("m=audio 5000 RTP/AVP 0", "c=IN IP6 2001:DB8:0::1")
    assert acceptable(v6, OURS) == ()
    answer = plan_answer(v6, replace(OURS, host="2001:db8::2"))
    assert answer.streams[0].remote == ("2001:db8::1", 5000)
    assert b"c=IN IP6 2001:db8::2\r\n" in answer.sdp
    name = described("m=audio 5000 RTP/AVP 0", "c=IN IP4 phone.example.com")
    assert plan_answer(name, OURS).streams[0].remote is None
    group = described("m=audio 5000 RTP/AVP 0", "c=IN IP4 224.2.1.1/127/3")
    assert plan_answer(group, OURS).streams[0].remote is None


def test_telephone_events_of_the_codecs_own_clock_go_first() -> None:
    offer = described(
        "m=audio 5000 RTP/AVP 96 97 101",
        "a=rtpmap:96 opus/48000/2",
        "a=rtpmap:101 telephone-event/48000",
        "a=rtpmap:97 telephone-event/8000",
    )
    assert plan_answer(offer, OURS).streams[0].dtmf_payload_type == 101


# -- encryption


def test_a_secured_profile_is_answered_with_a_key() -> None:
    answer = plan_answer(described("m=audio 5000 RTP/SAVP 0", f"a=crypto:{KEY_80}"), OURS)
    pair = answer.streams[0].crypto
    assert pair is not None
    assert (pair.tag, pair.suite, len(pair.ours)) == (1, "AES_CM_128_HMAC_SHA1_80", 30)
    assert pair.ours != pair.theirs
    assert "m=audio 10000 RTP/SAVP 0" in answer.sdp.decode()
    (theirs,) = parse_sdp(answer.sdp).sections[0].crypto
    assert (theirs.tag, theirs.key) == (1, pair.ours)
    assert "inline" not in repr(answer)
    assert repr(pair.ours) not in repr(answer)


def test_a_secured_profile_is_never_answered_in_clear() -> None:
    for profile in ("RTP/SAVP", "RTP/SAVPF"):
        for attributes in ([], ["a=crypto:1 F8_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"]):
            with pytest.raises(SdpError) as refused:
                plan_answer(described(f"m=audio 5000 {profile} 0", *attributes), OURS)
            assert refused.value.status == 488
    lines = answered("m=audio 5000 RTP/SAVP 0", "m=audio 5002 RTP/AVP 0")
    assert [line for line in lines if line.startswith("m=")] == ["m=audio 0 RTP/SAVP 0", "m=audio 10002 RTP/AVP 0"]


def test_keys_that_come_with_a_profile_in_clear_are_used() -> None:
    answer = plan_answer(described("m=audio 5000 RTP/AVP 0", f"a=crypto:{KEY_80}"), OURS)
    assert answer.streams[0].crypto is not None
    assert re.search(rb"m=audio 10000 RTP/AVP 0\r\n(a=.*\r\n)*a=crypto:1 AES_CM_128_HMAC_SHA1_80 ", answer.sdp)


def test_where_encryption_is_required_nothing_goes_in_clear() -> None:
    ours = replace(OURS, srtp="required")
    with pytest.raises(SdpError):
        plan_answer(described("m=audio 5000 RTP/AVP 0"), ours)
    assert plan_answer(described("m=audio 5000 RTP/SAVPF 0", f"a=crypto:{KEY_80}"), ours).streams[0].crypto


def test_the_first_suite_that_we_know_is_taken() -> None:
    lines = [
        "a=crypto:1 AES_192_CM_HMAC_SHA1_80 inline:" + "A" * 51,
        "a=crypto:2 AEAD_AES_256_GCM inline:" + "A" * 59,
        f"a=crypto:3 {KEY_80[2:]}",
    ]
    pair = plan_answer(described("m=audio 5000 RTP/SAVP 0", *lines), OURS).streams[0].crypto
    assert pair is not None
    assert (pair.tag, pair.suite, len(pair.ours)) == (2, "AEAD_AES_256_GCM", 44)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "1",
        "1 AES_CM_128_HMAC_SHA1_80",
        "x AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
        "1 AES_CM_128_HMAC_SHA1_80 inline:c2hvcnQ=",
        "1 AES_CM_128_HMAC_SHA1_80 inline:%%%",
        KEY_80 + "|2^20|1:4",  # a key index, which libsrtp is not told of
        KEY_80 + "|1:4",
        KEY_80 + ";inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
        KEY_80 + " UNENCRYPTED_SRTP",
        KEY_80 + " KDR=1",
    ],
)
def test_crypto_lines_that_are_left_out(value: str) -> None:
    assert parse_crypto(value) is None


def test_crypto_lines_that_are_taken() -> None:
    for value in (KEY_80, KEY_80 + "|2^31", KEY_80 + "|1048576 WSH=64"):
        line = parse_crypto(value)
        assert line is not None
        assert line.key == b"YS___semctl () {\t220;}\n}\nunles"
    for suite in KEY_BYTES:
        line = new_line(3, suite)
        assert parse_crypto(crypto_value(line)) == line


def test_keys_are_kept_as_long_as_theirs_stay() -> None:
    secured = described("m=audio 5000 RTP/SAVP 0", f"a=crypto:{KEY_80}")
    first = plan_answer(secured, OURS)
    again = plan_answer(secured, replace(OURS, before=first))
    assert again == first
    held = plan_answer(
        described("m=audio 5000 RTP/SAVP 0", f"a=crypto:{KEY_80}", "a=sendonly"), replace(OURS, before=first)
    )
    assert held.streams[0].crypto == first.streams[0].crypto
    assert (held.session_id, held.version) == (first.session_id, first.version + 1)
    other = crypto_value(new_line(1, "AES_CM_128_HMAC_SHA1_80"))
    moved = plan_answer(described("m=audio 5000 RTP/SAVP 0", f"a=crypto:{other}"), replace(OURS, before=held))
    pair = moved.streams[0].crypto
    assert pair is not None
    assert pair.ours != first.streams[0].crypto.ours  # type: ignore[union-attr]
    assert moved.version == held.version + 1


# -- late offer


def test_a_late_offer() -> None:
    offer = plan_offer(replace(OURS, ports={0: 12_000}))
    (section,) = parse_sdp(offer.sdp).sections
    assert section.port == 12_000
    assert [codec.name for codec in section.codecs] == [
        "opus", "G722", "PCMU", "PCMA", "telephone-event", "telephone-event",
    ]  # fmt: skip
    settled = plan_from_answer(
        offer, described("m=audio 6000 RTP/AVP 9 101", "a=rtpmap:101 telephone-event/8000", "a=sendonly")
    )
    (stream,) = settled.streams
    assert (stream.codec.name, stream.dtmf_payload_type, stream.direction) == ("G722", 101, "recvonly")
    assert (stream.port, stream.remote) == (12_000, ("192.0.2.9", 6000))
    assert settled.sdp == offer.sdp


def test_a_late_offer_that_is_secured() -> None:
    offer = plan_offer(replace(OURS, srtp="required"))
    lines = parse_sdp(offer.sdp).sections[0].crypto
    assert [line.suite for line in lines] == list(OFFERED)
    theirs = new_line(2, "AES_CM_128_HMAC_SHA1_80")
    answer = described("m=audio 6000 RTP/SAVP 0", f"a=crypto:{crypto_value(theirs)}")
    pair = plan_from_answer(offer, answer).streams[0].crypto
    assert pair is not None
    assert (pair.suite, pair.ours, pair.theirs) == ("AES_CM_128_HMAC_SHA1_80", lines[1].key, theirs.key)
    for refused in (
        described("m=audio 6000 RTP/SAVP 0"),
        described("m=audio 6000 RTP/AVP 0"),
        described("m=audio 6000 RTP/SAVP 0", f"a=crypto:{crypto_value(new_line(1, 'AES_CM_128_HMAC_SHA1_80'))}"),
    ):
        with pytest.raises(SdpError):
            plan_from_answer(offer, refused)


def test_an_offer_within_a_call_goes_on_as_it_was() -> None:
    before = plan_answer(
        described("m=audio 5000 RTP/SAVP 111", "a=rtpmap:111 opus/48000/2", f"a=crypto:{KEY_80}"), OURS
    )
    offer = plan_offer(replace(OURS, before=before))
    (section,) = parse_sdp(offer.sdp).sections
    assert section.profile == "RTP/SAVP"  # never in clear from now on
    assert section.crypto
    assert section.codecs[0].payload_type == 111
    assert (offer.session_id, offer.version) == (before.session_id, before.version + 1)


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("m=audio 0 RTP/AVP 0",),
        ("m=audio 6000 RTP/AVP 18",),
        ("m=video 6000 RTP/AVP 0",),
        ("m=audio 6000 RTP/SAVP 0", f"a=crypto:{KEY_80}"),
        ("m=audio 6000 RTP/AVP 0", "m=audio 6002 RTP/AVP 0"),
    ],
)
def test_answers_that_do_not_fit_our_offer(lines: tuple[str, ...]) -> None:
    with pytest.raises(SdpError):
        plan_from_answer(plan_offer(OURS), described(*lines))


# -- what is no description, and what vendors send


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0",
        b"garbage",
        b"v=1\r\no=- 1 1 IN IP4 192.0.2.1\r\n",
        b"v=0\r\n",
        b"v=0\r\no=nobody\r\n",
        b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nhello\r\n",
        b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nm=audio\r\n",
        b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nm=audio x RTP/AVP 0\r\n",
        b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nm=audio 65536 RTP/AVP 0\r\n",
        b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nm=audio 5000 RTP/AVP\r\n",
        b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nm=audio 5000 RTP/AVP 0\r\nc=IN IP4\r\n",
        b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nm=audio 5000 RTP/AVP 0\r\nc=IN IP4 2001:db8::1\r\n",
        b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n" + b"m=audio 5000 RTP/AVP 0\r\n" * (MAX_SECTIONS + 1),
        b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n" + b"a=x\r\n" * 1_001,
        b"v=0\r\n" + b"a" * MAX_BYTES,
    ],
)
def test_malformed_descriptions(data: bytes) -> None:
    with pytest.raises(SdpError) as refused:
        parse_sdp(data)
    assert refused.value.status == 400


def test_loose_forms_that_devices_send() -> None:
    loose = (
        b"\r\nv=0\no=x 1 1 IN IP4 192.0.2.1\ns= \nc=IN IP4 192.0.2.1 \nt=0 0\n"
        b"m=audio 4000 RTP/AVP 0 abc 300 111 \na=rtpmap:111  opus/48000/2 \na=rtpmap:nonsense\na=fmtp:x y\n\n\0"
    )
    (section,) = parse_sdp(loose).sections
    assert [codec.name for codec in section.codecs] == ["PCMU", "opus"]
    assert section.host == "192.0.2.1"


def sdp_in(path: Path) -> list[bytes]:
    """The descriptions inside a vendor's message."""
    text = path.read_bytes().replace(b"\r\n", b"\n")
    return re.findall(rb"^(v=0\n(?:[a-z]=.*(?:\n|$))+)", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "labels", "remotes"),
    [
        ("acme-siprec-offer", ["16777227", "16777228"], [("192.168.50.140", 20106), ("192.168.50.140", 20110)]),
        ("broadworks-offer", ["1"], [None]),
        ("cisco-siprec-offer", ["1", "2"], [("172.31.93.236", 10292), ("172.31.93.236", 10294)]),
        ("connectel-offer", ["1", "2"], [None, None]),
        ("non-siprec-payload", ["1"], [("172.31.93.236", 10292)]),
    ],
)
def test_recorders_offers(data_dir: Path, name: str, labels: list[str], remotes: list[object]) -> None:
    (text,) = sdp_in(data_dir / "wire" / "siprec" / f"{name}.txt")
    answer = plan_answer(parse_sdp(text), replace(OURS, direction="recvonly"))
    assert [stream.label for stream in answer.streams] == labels
    assert [stream.remote for stream in answer.streams] == remotes
    assert all(stream.direction == "recvonly" and stream.codec.name in {"PCMU", "PCMA"} for stream in answer.streams)


@pytest.mark.parametrize("name", ["sngrep_aaa.pcap", "ndpi_sip.pcap"])
def test_captured_descriptions(data_dir: Path, name: str) -> None:
    raw = (data_dir / "wire" / name).read_bytes()
    found = re.findall(rb"v=0\r\n(?:[a-z]=[^\r\n]*\r\n)+", raw)
    assert found
    for text in found:
        offer = parse_sdp(text)
        if acceptable(offer, OURS):
            assert plan_answer(offer, OURS).streams[0].codec.name in {"PCMU", "PCMA", "G722", "opus"}


LINES = st.sampled_from(
    [
        "v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "t=0 0", "c=IN IP4 192.0.2.1", "c=IN IP4 0.0.0.0", "c=IN IP6 ::1",
        "m=audio 5000 RTP/AVP 0 8 101", "m=audio 5000 RTP/SAVP 0", "m=video 1 RTP/AVP 9", "a=sendonly", "a=inactive",
        "a=rtpmap:101 telephone-event/8000", f"a=crypto:{KEY_80}", "a=ptime:30", "a=rtcp:9 IN IP4 1.2.3.4",
        "a=rtcp-mux", "a=mid:1", "a=label:x", "a=fmtp:101 0-15", "",
    ]
)  # fmt: skip


@given(st.one_of(st.binary(max_size=300), st.lists(st.one_of(LINES, st.text(max_size=30)), max_size=30)))
def test_whatever_comes_is_answered_or_refused(data: bytes | list[str]) -> None:
    text = data if isinstance(data, bytes) else ("v=0\r\no=- 1 1 IN IP4 1.1.1.1\r\n" + "\r\n".join(data)).encode()
    try:
        offer = parse_sdp(text)
        answer = plan_answer(offer, OURS)
    except SdpError:
        return
    again = parse_sdp(answer.sdp)
    assert len(again.sections) == len(offer.sections)
    for mine, theirs in zip(again.sections, offer.sections, strict=True):
        assert "SAVP" not in theirs.profile or not mine.port or mine.crypto
