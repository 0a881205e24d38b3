"""SIPREC bodies and metadata: vendors' own, variants of the standard, broken and hostile ones."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_gateway.protocols.siprec import (
    MAX_METADATA_BYTES,
    BodyError,
    Link,
    MetadataError,
    Offer,
    Participant,
    Session,
    address_host,
    address_user,
    display_name,
    parse_metadata,
    read_offer,
)
from media_gateway.protocols.siprec_call import MAX_KEPT, Heard, RecordedCall

VECTORS = Path(__file__).parent.parent / "vectors" / "siprec"
DRAFT_TYPE = 'multipart/mixed;boundary="a b:(c)\'+_,-./=?"'


def offer_of(data_dir: Path, name: str) -> Offer:
    body = (data_dir / "wire" / "siprec" / name).read_bytes()
    boundary = re.search(rb"^--(\S+)", body, re.MULTILINE)
    if boundary is None:
        return read_offer("application/sdp", body)
    return read_offer(f"multipart/mixed;boundary={boundary[1].decode()}", body)


def labels_of(offer: Offer) -> list[str]:
    return [label.decode() for label in re.findall(rb"a=label:(\S+)", offer.sdp or b"")]


def heard(offer: Offer) -> list[tuple[list[str | None], bool]]:
    assert offer.metadata is not None
    call = RecordedCall().updated(offer.metadata)
    return [([one.name or one.user for one in on.participants], on.mixed) for on in call.heard(labels_of(offer))]


@pytest.mark.parametrize(
    ("name", "people"),
    [
        ("acme-siprec-offer.txt", [(["9000"], False), (["1002"], False)]),
        ("cisco-siprec-offer.txt", [(["7301"], False), (["7300"], False)]),
        ("connectel-offer.txt", [(["test_user"], False), (["0760516936"], False)]),
        ("broadworks-offer.txt", [([], True)]),
    ],
)
def test_vendors_streams_belong_to_their_participants(
    data_dir: Path, name: str, people: list[tuple[list[str], bool]]
) -> None:
    offer = offer_of(data_dir, name)

    assert offer.sdp is not None
    assert offer.problem is None
    assert offer.sdp.startswith(b"v=0")
    assert heard(offer) == people


def test_vendors_sessions_and_callers_are_read(data_dir: Path) -> None:
    cisco = offer_of(data_dir, "cisco-siprec-offer.txt").metadata
    assert cisco is not None
    assert cisco.sessions == (
        Session(
            "kQNhKFdEEeeJ9tD/VsPGWA==",
            "e9fffff2020a598b86962867715db0cf;remote=cd0f7093d62c5f0697098fd69a4aa57b",
            started_at=datetime(2017, 6, 23, 12, 16, 6, 40_000, tzinfo=UTC),
        ),
    )
    assert len(cisco.presences) == 2
    acme = offer_of(data_dir, "acme-siprec-offer.txt").metadata
    assert acme is not None
    assert [one.calling for one in acme.participants] == [True, False]


@pytest.mark.parametrize("name", ["non-siprec-payload.txt", "sample-sdps.txt"])
def test_a_plain_session_description_has_no_metadata(data_dir: Path, name: str) -> None:
    offer = offer_of(data_dir, name)

    assert offer.sdp is not None
    assert (offer.metadata, offer.problem) == (None, None)


def test_drafts_of_the_standard_are_read() -> None:
    offer = read_offer(DRAFT_TYPE, (VECTORS / "drafts.body").read_bytes())

    assert offer.metadata is not None
    assert offer.metadata.groups == ("g-1",)
    assert offer.metadata.sessions == (
        Session("cs-1", None, "g-1", started_at=datetime(2025, 10, 22, 9, 16, 48, tzinfo=UTC)),
    )
    assert offer.metadata.participants[0] == Participant(
        "p-1", "sip:%2B4930123456@trunk.example.com;user=phone", "Jürgen Groß"
    )
    assert offer.metadata.participants[0].user == "+4930123456"
    assert heard(offer) == [(["Jürgen Groß"], False), (["anna"], False)]


def test_a_third_stream_with_both_is_spare() -> None:
    offer = read_offer("multipart/mixed;boundary=three", (VECTORS / "three-streams.body").read_bytes())

    assert offer.metadata is not None
    on = RecordedCall().updated(offer.metadata).heard(labels_of(offer))
    assert [(len(one.participants), one.mixed, one.spare) for one in on] == [
        (1, False, False),
        (1, False, False),
        (2, True, True),
    ]


def test_two_senders_on_one_stream_are_mixed_on_it() -> None:
    offer = read_offer("multipart/mixed;boundary=one", (VECTORS / "one-stream.body").read_bytes())

    assert heard(offer) == [(["Robert", "Clara"], True)]
    assert offer.metadata is not None
    assert not RecordedCall().updated(offer.metadata).heard(["1"])[0].spare


def update(name: str) -> bytes:
    return (VECTORS / f"update-{name}.xml").read_bytes()


def names(call: RecordedCall, *labels: str) -> list[list[str | None]]:
    return [[one.name for one in on.participants] for on in call.heard(labels)]


def test_updates_change_what_they_name_and_nothing_else() -> None:
    call = RecordedCall().updated(parse_metadata(update("1-complete")))
    assert names(call, "1", "2") == [["Robert"], ["Clara"]]

    call = call.updated(parse_metadata(update("2-name")))
    assert names(call, "1", "2") == [["Robert Miller"], ["Clara"]]

    call = call.updated(parse_metadata(update("3-hold")))
    assert names(call, "1", "2") == [["Robert Miller"], []]
    assert len(call.present) == 2

    call = call.updated(parse_metadata(update("4-transfer")))
    assert names(call, "1", "2") == [["Robert Miller"], ["Oscar"]]
    assert [one.name for one in call.present] == ["Robert Miller", "Oscar"]
    assert not call.is_torn()

    call = call.updated(parse_metadata(update("1-complete")))
    assert names(call, "1", "2") == [["Robert"], ["Clara"]]
    assert call.gone == frozenset()


def test_the_same_document_again_changes_nothing() -> None:
    call = RecordedCall()
    for name in ("1-complete", "2-name", "3-hold", "4-transfer"):
        news = parse_metadata(update(name))
        call = call.updated(news)
        assert call.updated(news) == call


def test_a_partial_document_without_its_first_shows_that_something_is_lost() -> None:
    assert RecordedCall().updated(parse_metadata(update("4-transfer"))).is_torn()


def xml(inside: str) -> bytes:
    return f"<recording>{inside}</recording>".encode()


TWO = (
    '<participant id="a"><nameID aor="sip:1@x"/></participant><participant id="b"><nameID aor="sip:2@x"/></participant>'
)


@pytest.mark.parametrize(
    ("inside", "labels", "users"),
    [
        # nobody is linked: in the order of the streams, whatever the order of the offer
        (TWO + '<stream id="s"><label>1</label></stream><stream id="t"><label>0</label></stream>', "01", ["2", "1"]),
        # not even streams are named
        (TWO, "xy", ["1", "2"]),
        # who is who cannot be guessed
        (TWO, "xyz", [None, None, None]),
        # one stream has everybody
        (TWO, "x", ["12"]),
        # labels in the body of the INVITE, but none in the metadata
        (TWO + '<stream id="s"/><stream id="t"/>', "01", ["1", "2"]),
        # linked, but the label is unknown
        (TWO + '<participantstreamassoc participant_id="a"><send>s</send></participantstreamassoc>', "1", [None]),
        # attributes only
        ('<session id="q"><participant id="a" name="N"><aor>sip:7@x</aor></participant></session>', "1", ["7"]),
        ('<participant participantid="a"><nameID aor="tel:+49-30-1;x=y"/></participant>', "1", ["+49-30-1"]),
    ],
)
def test_what_is_missing_is_guessed(inside: str, labels: str, users: list[str | None]) -> None:
    call = RecordedCall().updated(parse_metadata(xml(inside)))

    on = call.heard(list(labels))

    assert ["".join(one.user or "?" for one in each.participants) or None for each in on] == users


def test_a_single_stream_of_which_nothing_is_known_may_have_anybody_on_it() -> None:
    assert RecordedCall().heard(["1"]) == (Heard((), mixed=True),)
    assert RecordedCall().heard(["1", "2"]) == (Heard((), mixed=False), Heard((), mixed=False))


def test_a_link_that_ends_without_names_ends_them_all() -> None:
    call = RecordedCall(links={"a": Link("a", ("s", "t"), ("u",))})

    news = parse_metadata(
        xml('<datamode>partial</datamode><participantstreamassoc participant_id="a"><disassociate-time/>'
            "</participantstreamassoc>")
    )  # fmt: skip

    assert call.updated(news).links == {"a": Link("a")}


def test_a_client_that_names_ever_more_people_is_not_remembered_for_it() -> None:
    call = RecordedCall()
    for block in range(4):
        people = "".join(f'<participant id="{block}.{number}"/>' for number in range(MAX_KEPT))
        call = call.updated(parse_metadata(xml(f"<datamode>partial</datamode>{people}")))

    assert len(call.participants) == MAX_KEPT
    assert "0.0" in call.participants


BOMB = b'<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><recording>&b;</recording>'
OUTSIDE = b'<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]><recording>&a;</recording>'


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"no xml",
        b"<recording>",
        b"<recording></other>",
        b"<html/>",
        b"<recording>\x00</recording>",
        b"<recording>\xff</recording>",
        b'<?xml version="1.0" encoding="no-such-code"?><recording/>',
        b'<?xml version="1.0" encoding="utf-7"?><recording/>',
        BOMB,
        OUTSIDE,
        b"<!DOCTYPE recording><recording/>",
        b"<recording>&undefined;</recording>",
        b"<recording>" + b"<a>" * 40 + b"</a>" * 40 + b"</recording>",
        b"<recording>" + b"<a/>" * 6_000 + b"</recording>",
        b"<recording>" + b" " * MAX_METADATA_BYTES + b"</recording>",
    ],
)
def test_what_is_no_metadata_is_refused(document: bytes) -> None:
    with pytest.raises(MetadataError):
        parse_metadata(document)


@pytest.mark.parametrize("document", [b"\r\n <?xml version='1.0'?><recording/>\r\n\0", b"\xef\xbb\xbf<recording/>"])
def test_what_stands_around_the_document_does_no_harm(document: bytes) -> None:
    assert parse_metadata(document).participants == ()


def test_broken_metadata_leaves_the_media_as_good_as_it_is() -> None:
    body = b"--b\r\nc:application/sdp\r\n\r\nv=0\r\n\r\n--b\r\nContent-Type: application/rs-metadata\r\n\r\n<rec"

    offer = read_offer("multipart/mixed;boundary=b", body)

    assert offer.sdp == b"v=0\r\n"
    assert offer.metadata is None
    assert offer.problem == "no well-formed XML"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/mixed;boundary=b", b"v=0\r\n"),
        ("multipart/mixed;boundary=b", b"--b\r\nc:application/sdp\r\n\r\nv=0\r\n" * 2),
    ],
)
def test_a_broken_body_is_a_bad_request(content_type: str, body: bytes) -> None:
    with pytest.raises(BodyError):
        read_offer(content_type, body)


def test_no_body_is_no_offer() -> None:
    assert read_offer("", b"") == Offer(None, None)


@pytest.mark.parametrize(
    ("aor", "user", "host"),
    [
        ("sip:9000@192.168.50.102", "9000", "192.168.50.102"),
        ("sips:+49%2030@[2001:DB8::1]:5061;user=phone", "+49 30", "2001:db8::1"),
        ("SIP:alice:secret@Example.COM:5060?x=y", "alice", "example.com"),
        ("sip:+1555;phone-context=x@h", "+1555", "h"),
        ("tel:+49-30-123;ext=7", "+49-30-123", None),
        ("+4930123", "+4930123", None),
        ("sip:sbc.example.com", None, None),
        ("sip:@h", None, "h"),
        ("", None, None),
        (None, None, None),
    ],
)
def test_addresses_have_a_user_and_a_host(aor: str | None, user: str | None, host: str | None) -> None:
    assert (address_user(aor), address_host(aor)) == (user, host)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("test_user;lang=en-US;id=22", "test_user"),
        ("  Anna\n\tMaria\u202e\x1b[31m ", "Anna Maria [31m"),
        ("Miller; Bob", "Miller; Bob"),
        ("x" * 1_000, "x" * 120),
        (" ", None),
        (None, None),
    ],
)
def test_names_are_fit_to_be_shown(text: str | None, shown: str | None) -> None:
    assert display_name(text) == shown


@given(st.binary(max_size=300))
def test_whatever_comes_as_metadata_is_read_or_refused(document: bytes) -> None:
    try:
        parse_metadata(document)
    except MetadataError:
        pass


_TAGS = "recording datamode group session participant nameID name aor stream label send recv mode x:y".split()
_TAGS += ["associate-time", "disassociate-time", "participantstreamassoc", "participantsessionassoc"]
_ATTRIBUTES = "id participant_id session_id stream_id session aor name".split()


def element(tag: str, attributes: dict[str, str], inside: list[str]) -> str:
    told = "".join(f" {name}='{value}'" for name, value in attributes.items())
    return f"<{tag}{told}>{''.join(inside)}</{tag}>"


_TREES = st.recursive(
    st.sampled_from(["a", "b", " ", "&amp;", "2020-01-01"]),
    lambda inner: st.builds(
        element,
        st.sampled_from(_TAGS),
        st.dictionaries(st.sampled_from(_ATTRIBUTES), st.sampled_from("abc")),
        st.lists(inner, max_size=4),
    ),
    max_leaves=25,
)


@given(st.lists(st.tuples(st.sampled_from(["", "partial", "complete"]), _TREES, _TREES), max_size=4))
def test_whatever_is_told_of_a_call_adds_up(documents: list[tuple[str, str, str]]) -> None:
    call = RecordedCall()
    for mode, first, second in documents:
        news = parse_metadata(xml(f"<datamode>{mode}</datamode>{first}{second}"))
        call = call.updated(news)
        assert call.updated(news) == call or not news.complete
    for labels in ([], ["a"], ["a", None], ["a", "b", "c"]):
        on = call.heard(labels)
        assert len(on) == len(labels)
        assert all(set(each.participants) <= set(call.present) for each in on)
