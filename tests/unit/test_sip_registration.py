"""Being registered: challenged, refreshed, tried again, kept alive, taken back (RFC 3261, section 10; RFC 5626)."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from media_gateway.protocols.sip.digest import digest_response, parse_digest
from media_gateway.protocols.sip.events import Registered, RegistrationFailed, Unregistered
from media_gateway.protocols.sip.flow import Flow
from media_gateway.protocols.sip.grammar import SipError
from media_gateway.protocols.sip.message import Request, parse_message
from media_gateway.protocols.sip.registration import Registration
from tests.unit.sip_ladder import OURS, Ladder, answer_to, only, starts

REGISTRAR = Flow("udp", OURS, ("203.0.113.10", 5060))
WIRE = Flow("tls", OURS, ("203.0.113.10", 5061), 5)
ACCOUNT = Registration("sip:pbx.example", "sip:hearline@pbx.example", "hearline", "secret", keep_alive="none")
NONCE = 'WWW-Authenticate: Digest realm="pbx.example", nonce="{}", qop="auth", algorithm=SHA-256{}'


def challenge(request: Request, nonce: str = "n1", more: str = "") -> bytes:
    return answer_to(request, 401, "Unauthorized", NONCE.format(nonce, more))


def granted(request: Request, expires_s: int = 600) -> bytes:
    contact = (request.headers.get("contact") or "").partition(";expires")[0]
    others = f"Contact: <sip:desk@203.0.113.77:5060>;expires=60, {contact};expires={expires_s}"
    return answer_to(request, 200, "OK", others)


def began(account: Registration = ACCOUNT, flow: Flow = REGISTRAR) -> tuple[Ladder, Request]:
    ladder = Ladder()
    ladder.agent.register(account, flow, ladder.now_s)
    return ladder, only(ladder.out(), "REGISTER")


def registered(account: Registration = ACCOUNT, flow: Flow = REGISTRAR) -> Ladder:
    ladder, first = began(account, flow)
    second = only(ladder.send(challenge(first), flow), "REGISTER")
    ladder.send(granted(second), flow)
    ladder.event(Registered)
    return ladder


def sent_next(ladder: Ladder) -> Request:
    """The next request that goes out."""
    ((_, data),) = ladder.until_sent()
    found = parse_message(data)
    assert isinstance(found, Request)
    return found


#   endpoint                  registrar
#     |  REGISTER               |
#     |------------------------>|
#     |  401 (nonce)            |
#     |<------------------------|
#     |  REGISTER (response)    |
#     |------------------------>|
#     |  200 (expires)          |
#     |<------------------------|


def test_registered_with_a_password() -> None:
    ladder, first = began()
    assert str(first.uri) == "sip:pbx.example"
    assert str(first.to) == "<sip:hearline@pbx.example>"
    assert first.headers.get("contact") == "<sip:hearline@192.0.2.1:5060>;expires=600"
    second = only(ladder.send(challenge(first), REGISTRAR), "REGISTER")
    assert (second.call_id, second.cseq, second.sender.tag) == (first.call_id, first.cseq + 1, first.sender.tag)
    given = parse_digest(second.headers.get("authorization") or "")
    assert given is not None
    assert given["response"] == digest_response("SHA-256", "hearline", "pbx.example", "secret", "REGISTER", given)
    assert given["uri"] == "sip:pbx.example"
    ladder.send(granted(second), REGISTRAR)
    event = ladder.event(Registered)
    assert (event.registration, event.until_s) == (ACCOUNT, ladder.now_s + 600)
    assert "secret" not in repr(event)


def test_stays_registered_and_spares_the_challenge() -> None:
    ladder = registered()
    for count in range(2, 6):
        assert ladder.wait(299) == []  # not before half of the time
        due_s = ladder.agent.next_due_s
        assert due_s is not None
        assert ladder.now_s < due_s <= ladder.now_s - 299 + 540  # nor after nine tenths
        again = only(ladder.wait(due_s - ladder.now_s), "REGISTER")
        given = parse_digest(again.headers.get("authorization") or "")
        assert given is not None
        assert given["nc"] == f"{count:08x}"
        ladder.send(granted(again), REGISTRAR)
        ladder.event(Registered)


def test_the_registrars_time_counts_not_ours() -> None:
    ladder, first = began()
    ladder.send(granted(first, 60), REGISTRAR)
    assert ladder.event(Registered).until_s == ladder.now_s + 60
    assert starts(ladder.wait(54))[0] == "REGISTER"


@pytest.mark.parametrize(
    ("contacts", "expires_s"),
    [
        ("<sip:hearline@203.0.113.99:1024>;expires=45, <sip:desk@192.0.2.1:5060>;expires=7", 45),  # rewritten
        ("<sip:hearline@203.0.113.99:1024>;expires=45, <sip:hearline@192.0.2.1:5060>;expires=50", 50),
        ('"broken <sip:x@y>;expires=3', 600),
        ("<sip:hearline@192.0.2.1:5060>", 600),
        ("<sip:hearline@192.0.2.1:5060>;expires=99999999999999", 604_800),
    ],
)
def test_which_contact_is_ours(contacts: str, expires_s: int) -> None:
    ladder, first = began()
    ladder.send(answer_to(first, 200, "OK", f"Contact: {contacts}"), REGISTRAR)
    assert ladder.event(Registered).until_s == ladder.now_s + expires_s


def test_a_registrar_that_gives_no_time_is_not_hammered() -> None:
    ladder, first = began()
    ladder.send(granted(first, 0), REGISTRAR)
    ladder.event(Registered)
    assert ladder.wait(4.9) == []


def test_without_a_contact_in_the_answer_its_expires_counts() -> None:
    ladder, first = began()
    ladder.send(answer_to(first, 200, "OK", "Expires: 120"), REGISTRAR)
    assert ladder.event(Registered).until_s == ladder.now_s + 120


def test_a_nonce_that_grew_old_is_no_wrong_password() -> None:
    ladder = registered()
    again = sent_next(ladder)
    fresh = only(ladder.send(challenge(again, "n2", ", stale=true"), REGISTRAR), "REGISTER")
    given = parse_digest(fresh.headers.get("authorization") or "")
    assert given is not None
    assert (given["nonce"], given["nc"]) == ("n2", "00000001")
    ladder.send(granted(fresh), REGISTRAR)
    ladder.event(Registered)


def test_a_wrong_password_is_not_hammered_in() -> None:
    ladder, first = began()
    second = only(ladder.send(challenge(first), REGISTRAR), "REGISTER")
    assert ladder.send(challenge(second, "n2"), REGISTRAR) == []
    failed = ladder.event(RegistrationFailed)
    assert failed.status == 401
    assert failed.retry_at_s - ladder.now_s >= 15


def test_a_registrar_that_always_says_stale_is_left_alone() -> None:
    ladder, request = began()
    sent: list[object] = [request]
    for number in range(20):
        found = ladder.send(challenge(request, f"n{number}", ", stale=true"), REGISTRAR)
        if not found:
            break
        request = only(found, "REGISTER")
        sent.append(request)
    assert len(sent) <= 3
    assert ladder.event(RegistrationFailed).status == 401


def test_too_short_is_asked_again_with_the_registrars_least() -> None:
    ladder, first = began()
    sent = ladder.send(answer_to(first, 423, "Interval Too Brief", "Min-Expires: 3600"), REGISTRAR)
    assert only(sent, "REGISTER").headers.get("expires") == "3600"
    assert ladder.silent()


def test_a_least_that_nobody_can_keep_is_a_failure() -> None:
    ladder, first = began()
    assert ladder.send(answer_to(first, 423, "Interval Too Brief", "Min-Expires: 9999999999"), REGISTRAR) == []
    assert ladder.event(RegistrationFailed).status == 423


@pytest.mark.parametrize("change", [{"aor": "hearline"}, {"registrar": "pbx.example"}])
def test_an_account_without_addresses_is_refused_at_once(change: dict[str, str]) -> None:
    ladder = Ladder()
    with pytest.raises(SipError):
        ladder.agent.register(dataclasses.replace(ACCOUNT, **change), REGISTRAR, ladder.now_s)
    assert ladder.agent._bindings == {}


@pytest.mark.parametrize(
    ("status", "headers"), [(403, ()), (404, ()), (503, ()), (423, ()), (302, ("Contact: <sip:elsewhere>",))]
)
def test_failures_are_tried_again_more_and_more_seldom(status: int, headers: tuple[str, ...]) -> None:
    ladder, request = began()
    waits = []
    for _ in range(10):
        ladder.send(answer_to(request, status, "No", *headers), REGISTRAR)
        failed = ladder.event(RegistrationFailed)
        assert failed.status == status
        waits.append(failed.retry_at_s - ladder.now_s)
        request = only(ladder.wait(waits[-1]), "REGISTER")
    for number, wait_s in enumerate(waits):
        most_s = min(30 * 2**number, 1800)
        assert most_s / 2 <= wait_s <= most_s
    assert len(set(waits)) == len(waits)  # by chance, so that not all come back at once
    ladder.send(granted(request), REGISTRAR)
    ladder.event(Registered)


def test_retry_after_is_kept() -> None:
    ladder, first = began()
    ladder.send(answer_to(first, 503, "Busy", "Retry-After: 300 (soon);duration=9"), REGISTRAR)
    assert ladder.event(RegistrationFailed).retry_at_s >= ladder.now_s + 300


def test_a_registrar_that_says_nothing() -> None:
    ladder, _ = began()
    assert starts(ladder.wait(32)) == ["REGISTER"] * 10  # Timer E, to 4 s
    assert ladder.event(RegistrationFailed).status == 408


def test_a_lost_connection_is_asked_for_again() -> None:
    ladder = registered(flow=WIRE)
    ladder.agent.flow_lost(WIRE, ladder.now_s)
    failed = ladder.event(RegistrationFailed)
    assert failed.status == 503
    ladder.now_s = failed.retry_at_s
    ladder.agent.tick(ladder.now_s)
    ((wanted, data),) = ladder.agent.take_outgoing()
    assert wanted == dataclasses.replace(WIRE, id=0)
    assert data.startswith(b"REGISTER ")
    ladder.agent.flow_lost(wanted, ladder.now_s)  # not to be had
    failed = ladder.event(RegistrationFailed)
    ladder.now_s = failed.retry_at_s
    ladder.agent.tick(ladder.now_s)
    again = only(ladder.out(), "REGISTER")
    opened = dataclasses.replace(WIRE, id=6)
    ladder.send(granted(again), opened)
    ladder.event(Registered)
    ladder.agent.unregister(ACCOUNT, ladder.now_s)
    ((flow, _),) = ladder.agent.take_outgoing()
    assert flow == opened


def test_the_door_may_bring_a_new_connection_itself() -> None:
    ladder = registered(flow=WIRE)
    ladder.agent.flow_lost(WIRE, ladder.now_s)
    ladder.event(RegistrationFailed)
    opened = dataclasses.replace(WIRE, id=6)
    ladder.agent.register(ACCOUNT, opened, ladder.now_s)
    ((flow, data),) = ladder.agent.take_outgoing()
    assert (flow, data.startswith(b"REGISTER ")) == (opened, True)
    assert ladder.wait(0.0) == []


def test_taken_back_at_the_end() -> None:
    ladder = registered()
    assert ladder.agent.is_idle
    ladder.agent.unregister(ACCOUNT, ladder.now_s)
    assert not ladder.agent.is_idle
    last = only(ladder.out(), "REGISTER")
    assert last.headers.get("expires") == "0"
    assert (last.headers.get("contact") or "").endswith(";expires=0")
    ladder.send(answer_to(last, 200), REGISTRAR)
    assert ladder.event(Unregistered).registration == ACCOUNT
    assert ladder.agent.is_idle
    assert ladder.wait(10_000) == []
    assert ladder.agent._bindings == {}


def test_taken_back_from_a_registrar_that_says_nothing() -> None:
    ladder = registered()
    ladder.agent.unregister(ACCOUNT, ladder.now_s)
    ladder.wait(33)
    ladder.event(Unregistered)
    assert ladder.agent.next_due_s is None


def test_crlf_keeps_a_nat_open() -> None:
    ladder = registered(dataclasses.replace(ACCOUNT, keep_alive="crlf", expires_s=3600))
    ladder.now_s = 1000.0
    pings = []
    while ladder.now_s < 1270:
        due_s = ladder.agent.next_due_s
        assert due_s is not None
        ladder.now_s = due_s
        ladder.agent.tick(due_s)
        pings += [due_s for _, data in ladder.agent.take_outgoing() if data == b"\r\n\r\n"]
    gaps = [after - before for before, after in itertools.pairwise(pings)]
    assert all(24 <= gap <= 29 for gap in gaps)


def test_a_connection_that_pongs_no_more_is_lost() -> None:
    ladder = registered(dataclasses.replace(ACCOUNT, keep_alive="crlf", expires_s=3600), WIRE)

    def ping() -> None:
        assert ladder.until_sent() == [(WIRE, b"\r\n\r\n")]

    ping()  # nobody said that this registrar pongs
    assert ladder.agent.next_due_s is not None
    assert ladder.agent.next_due_s - ladder.now_s > 90
    ladder.agent.receive(b"\r\n", WIRE, ladder.now_s)
    ping()
    ladder.agent.receive(b"\r\n", WIRE, ladder.now_s + 1)
    ping()
    ladder.wait(10)
    assert ladder.event(RegistrationFailed).status == 503


def test_options_keep_a_nat_open_and_find_out_a_registrar_that_forgot() -> None:
    ladder = registered(dataclasses.replace(ACCOUNT, keep_alive="options", expires_s=3600))
    ping = sent_next(ladder)
    assert ping.method == "OPTIONS"
    ladder.send(answer_to(ping, 200), REGISTRAR)
    assert sent_next(ladder).method == "OPTIONS"
    assert "REGISTER" in starts(ladder.wait(33))
