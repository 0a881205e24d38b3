"""Who calls and whom, as an INVITE says it."""

import pytest

from media_gateway.protocols.sip.message import Request, parse_message
from media_gateway.transports.sip.identity import Parties, is_plain, parties


def invite(
    *headers: str,
    uri: str = "sip:+15550199@198.51.100.1",
    to: str | None = None,
    sender: str = "<sip:1001@pbx.test>",
    call_id: str = "one",
) -> Request:
    lines = [
        f"INVITE {uri} SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1",
        f"From: {sender};tag=1",
        f"To: {to or f'<{uri}>'}",
        f"Call-ID: {call_id}",
        "CSeq: 1 INVITE",
        "Contact: <sip:192.0.2.1>",
        *headers,
        "",
        "",
    ]
    request = parse_message("\r\n".join(lines).encode("utf-8", "surrogateescape"))
    assert isinstance(request, Request)
    return request


def test_from_and_the_request_uri_say_it() -> None:
    assert parties(invite()) == Parties("1001", "+15550199")
    assert parties(invite(uri="tel:+15550199")).called == "+15550199"
    assert parties(invite(uri="sip:+15550199;phone-context=x@h")).called == "+15550199"


def test_an_asserted_identity_goes_before_from() -> None:
    asserted = invite("P-Asserted-Identity: <sip:+15550100@pbx.test>, <tel:+15550101>")
    assert parties(asserted).caller == "+15550100"
    assert parties(invite("P-Asserted-Identity: nonsense <")).caller == "1001"
    assert parties(invite("P-Asserted-Identity: <sip:anonymous@pbx.test>")).caller == "1001"


@pytest.mark.parametrize("privacy", ["id", "user;id", "Id;critical"])
def test_who_wants_to_stay_unknown_does(privacy: str) -> None:
    request = invite("P-Asserted-Identity: <sip:+15550100@pbx.test>", f"Privacy: {privacy}")
    assert parties(request) == Parties(None, "+15550199")


def test_anonymous_is_nobodys_number() -> None:
    request = invite(sender='"Anonymous" <sip:anonymous@anonymous.invalid>')
    assert parties(request).caller is None


def test_a_call_to_our_own_name_at_a_registrar_is_for_the_number_in_to() -> None:
    request = invite(uri="sip:hearline@192.0.2.9:5060", to="<sip:+15550199@pbx.test>")
    assert parties(request, ours="hearline").called == "+15550199"
    assert parties(request).called == "hearline"
    same = invite(uri="sip:hearline@192.0.2.9:5060", to="<sip:hearline@pbx.test>")
    assert parties(same, ours="hearline").called == "hearline"


def test_what_cannot_be_stored_is_no_name() -> None:
    assert is_plain(invite())
    assert not is_plain(invite(call_id="x" * 256))
    assert not is_plain(invite(call_id="caf\udcff"))
    assert not is_plain(invite(sender='<sip:a@b>;tag="caf\u00e9"'))


def test_numbers_are_printable() -> None:
    odd = invite(sender="<sip:+1555%00%1b0100@pbx.test>", uri="sip:%ff%fe@198.51.100.1")
    assert parties(odd).caller == "+15550100"
    assert parties(odd).called is None or str(parties(odd).called).encode()
