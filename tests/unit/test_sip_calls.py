"""Calls as ladder diagrams: set up, taken back, ended; what comes twice; what is refused."""

from __future__ import annotations

import pytest

from media_gateway.protocols.sip.dialog import DialogState
from media_gateway.protocols.sip.events import Acked, Cancelled, Ended, InfoKey, Invite
from media_gateway.protocols.sip.flow import Flow
from media_gateway.protocols.sip.limits import Limits
from media_gateway.protocols.sip.message import Response
from tests.unit.sip_ladder import ANSWER, OFFER, OURS, PHONE, WIRE, Caller, Ladder, answer_to, only, over, starts

#   caller                    endpoint                  door
#     |  INVITE (offer)          |                        |
#     |------------------------->|  Invite                |
#     |  100 Trying              |----------------------->|
#     |<-------------------------|  ring                  |
#     |  180 Ringing             |<-----------------------|
#     |<-------------------------|  accept(answer)        |
#     |  200 OK (answer)         |<-----------------------|
#     |<-------------------------|                        |
#     |  ACK                     |  Acked                 |
#     |------------------------->|----------------------->|
#     |  BYE                     |  Ended("bye")          |
#     |------------------------->|----------------------->|
#     |  200 OK                  |                        |
#     |<-------------------------|                        |


def test_a_call_from_its_invite_to_the_callers_bye() -> None:
    ladder, caller = Ladder(), Caller()
    assert starts(ladder.send(caller.request("INVITE", body=OFFER))) == ["100 Trying"]
    invite = ladder.event(Invite)
    assert (invite.offer, invite.flow, invite.request.uri.number, invite.user) == (OFFER, PHONE, "+15550100", "")
    assert invite.dialog.state is DialogState.EARLY
    caller.to_tag = invite.dialog.local.tag

    assert ladder.agent.ring(invite, ladder.now_s)
    (ringing,) = ladder.out()
    assert starts([ringing]) == ["180 Ringing"]
    assert ringing.to.tag == caller.to_tag

    assert ladder.agent.accept(invite, ANSWER, ladder.now_s)
    (ok,) = ladder.out()
    assert isinstance(ok, Response)
    assert (ok.status, ok.body, ok.media_type, ok.to.tag) == (200, ANSWER, "application/sdp", caller.to_tag)
    assert ok.headers.get("contact") == "<sip:+15550100@192.0.2.1:5060>"
    assert "INVITE" in (ok.headers.get("allow") or "")

    assert ladder.send(caller.request("ACK")) == []
    acked = ladder.event(Acked)
    assert acked.answer is None
    assert acked.dialog.state is DialogState.CONFIRMED
    assert ladder.agent.dialogs() == [invite.dialog]

    assert starts(ladder.send(caller.request("BYE"))) == ["200 OK"]
    assert ladder.event(Ended).reason == "bye"
    assert ladder.agent.dialogs() == []
    assert ladder.wait(40) == []
    assert ladder.agent.next_due_s is None  # nothing is left of it


def test_an_invite_that_comes_three_times_is_one_call() -> None:
    ladder, caller = Ladder(), Caller()
    invite = caller.request("INVITE", body=OFFER)
    ladder.send(invite)
    first = ladder.event(Invite)
    assert starts(ladder.send(invite)) == ["100 Trying"]
    ladder.agent.ring(first, ladder.now_s)
    ladder.out()
    assert starts(ladder.send(invite)) == ["180 Ringing"]
    assert ladder.silent()
    assert len(ladder.agent.dialogs()) == 1


def test_a_200_is_said_again_until_its_ack_comes() -> None:
    ladder, caller = Ladder(), Caller()
    invite = ladder.invited(caller)
    ladder.agent.accept(invite, ANSWER, ladder.now_s)
    ladder.out()
    assert starts(ladder.wait(1.5)) == ["200 OK"] * 2
    ladder.send(caller.request("ACK"))
    assert ladder.wait(60) == []


@pytest.mark.parametrize("flow", [PHONE, WIRE], ids=["udp", "tcp"])
def test_the_200s_come_at_the_rfcs_intervals_over_every_transport(flow: Flow) -> None:
    ladder, caller = Ladder(), Caller(flow=flow)
    invite = ladder.invited(caller)
    began_s = ladder.now_s
    ladder.agent.accept(invite, ANSWER, began_s)
    ladder.out()
    times = []
    while (due_s := ladder.agent.next_due_s or 0) < began_s + 32:
        times += [due_s - began_s for m in ladder.wait(due_s - ladder.now_s) if isinstance(m, Response)]
    assert times == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]


def test_a_call_whose_ack_never_comes_is_given_up_with_a_bye() -> None:
    ladder, caller = Ladder(), Caller()
    invite = ladder.invited(caller)
    ladder.agent.accept(invite, ANSWER, ladder.now_s)
    ladder.out()
    sent = ladder.wait(32)
    assert starts(sent)[-1] == "BYE"
    assert ladder.event(Ended).reason == "no-ack"


def test_late_offer_our_offer_is_in_the_200_and_the_answer_in_the_ack() -> None:
    ladder, caller = Ladder(), Caller()
    invite = ladder.invited(caller, body=b"")
    assert invite.offer is None
    ladder.agent.accept(invite, OFFER, ladder.now_s)
    ladder.send(caller.request("ACK", body=ANSWER))
    assert ladder.event(Acked).answer == ANSWER


def test_a_bye_that_comes_again_gets_its_200_again() -> None:
    ladder, caller = Ladder(), Caller()
    ladder.talking(caller)
    bye = caller.request("BYE")
    assert starts(ladder.send(bye)) == ["200 OK"]
    ladder.event(Ended)
    assert starts(ladder.send(bye)) == ["200 OK"]
    assert ladder.silent()
    assert starts(ladder.send(caller.request("BYE"))) == ["481 Call/Transaction Does Not Exist"]


def test_cancel_is_answered_and_ends_the_invite_with_487() -> None:
    ladder, caller = Ladder(), Caller()
    invite = ladder.invited(caller)
    to_tag, caller.to_tag = caller.to_tag, ""
    sent = ladder.send(caller.request("CANCEL"))
    assert starts(sent) == ["200 OK", "487 Request Terminated"]
    assert {m.to.tag for m in sent} == {to_tag}
    assert ladder.event(Cancelled).reason == "cancelled"
    assert not ladder.agent.accept(invite, ANSWER, ladder.now_s)
    assert starts(ladder.wait(2)) == ["487 Request Terminated"] * 2  # Timer G: 0.5, 1.5
    ladder.send(caller.request("ACK", to_tag=to_tag, branch="z9hG4bK-c1-1-INVITE"))
    assert ladder.wait(60) == []
    assert ladder.silent()


def test_cancel_after_the_answer_changes_nothing() -> None:
    ladder, caller = Ladder(), Caller()
    ladder.talking(caller)
    assert starts(ladder.send(caller.request("CANCEL", to_tag=""))) == ["200 OK"]
    assert ladder.silent()
    assert len(ladder.agent.dialogs()) == 1


def test_cancel_of_nothing_is_481() -> None:
    ladder = Ladder()
    assert starts(ladder.send(Caller().request("CANCEL"))) == ["481 Call/Transaction Does Not Exist"]


def test_somebody_elses_cancel_is_not_the_callers() -> None:
    ladder, caller = Ladder(), Caller()
    ladder.invited(caller)
    other = Flow("udp", OURS, ("203.0.113.66", 5060))
    assert starts(ladder.send(caller.request("CANCEL", to_tag=""), other)) == ["481 Call/Transaction Does Not Exist"]
    assert ladder.silent()


def test_a_refusal_is_said_again_until_its_ack_comes() -> None:
    ladder, caller = Ladder(), Caller()
    invite = ladder.invited(caller)
    assert ladder.agent.refuse(invite, 486, "Busy Here", ladder.now_s, headers=[("Retry-After", "30")])
    (busy,) = ladder.out()
    assert (starts([busy]), busy.headers.get("retry-after")) == (["486 Busy Here"], "30")
    assert starts(ladder.wait(1)) == ["486 Busy Here"]
    ladder.send(caller.request("ACK", branch="z9hG4bK-c1-1-INVITE"))
    assert ladder.wait(60) == []
    assert ladder.silent()
    assert ladder.agent.next_due_s is None


def test_over_tcp_a_refusal_is_said_once() -> None:
    ladder, caller = Ladder(), Caller(flow=WIRE)
    invite = ladder.invited(caller)
    ladder.agent.refuse(invite, 486, "Busy Here", ladder.now_s)
    ladder.out()
    assert ladder.wait(60) == []


def test_an_invite_by_two_ways_is_one_call_and_482() -> None:
    ladder, caller = Ladder(), Caller()
    ladder.invited(caller)
    other = caller.request("INVITE", body=OFFER, cseq=1, branch="z9hG4bK-by-another-way", to_tag="")
    assert starts(ladder.send(other)) == ["482 Loop Detected"]
    assert ladder.silent()


def test_nobody_answers_and_the_caller_hears_480() -> None:
    ladder, caller = Ladder(limits=Limits(ring_s=100)), Caller()
    invite = ladder.invited(caller)
    ladder.agent.ring(invite, ladder.now_s)
    ladder.out()
    assert starts(ladder.wait(99)) == ["180 Ringing"]  # each minute
    assert starts(ladder.wait(1)) == ["480 Temporarily Unavailable"]
    assert ladder.event(Cancelled).reason == "unanswered"


def test_the_callers_own_expires_is_kept() -> None:
    ladder, caller = Ladder(), Caller()
    ladder.invited(caller, "Expires: 20")
    assert starts(ladder.wait(20)) == ["487 Request Terminated"]
    assert ladder.event(Cancelled).reason == "expired"


def test_a_call_that_we_end() -> None:
    ladder, caller = Ladder(), Caller()
    dialog = ladder.talking(caller)
    ladder.agent.bye(dialog, ladder.now_s, reason='SIP;cause=200;text="done"')
    bye = only(ladder.out(), "BYE")
    assert str(bye.uri) == "sip:ann@198.51.100.9:5070"
    assert (bye.sender.tag, bye.to.tag, bye.call_id) == (caller.to_tag, "caller", "c1")
    assert bye.headers.get("reason") == 'SIP;cause=200;text="done"'
    assert starts(ladder.wait(4)) == ["BYE", "BYE", "BYE"]  # Timer E: 0.5, 1.5, 3.5
    ladder.send(answer_to(bye, 200))
    assert ladder.event(Ended).reason == "hung-up"
    assert ladder.wait(60) == []
    assert ladder.agent.next_due_s is None


def test_a_call_that_we_end_is_under_way_until_its_bye_is_answered() -> None:
    ladder, caller = Ladder(), Caller()
    dialog = ladder.talking(caller)
    assert not ladder.agent.is_idle
    ladder.agent.bye(dialog, ladder.now_s)
    bye = only(ladder.out(), "BYE")
    assert not ladder.agent.is_idle
    ladder.send(answer_to(bye, 200))
    assert ladder.agent.is_idle


def test_a_bye_that_nobody_answers_ends_the_call_all_the_same() -> None:
    ladder, caller = Ladder(), Caller()
    ladder.agent.bye(ladder.talking(caller), ladder.now_s)
    ladder.wait(32)
    assert ladder.event(Ended).reason == "failed"


def test_both_hang_up_at_once_and_it_ends_once() -> None:
    ladder, caller = Ladder(), Caller()
    ladder.agent.bye(ladder.talking(caller), ladder.now_s)
    ours = only(ladder.out(), "BYE")
    assert starts(ladder.send(caller.request("BYE"))) == ["200 OK"]
    assert ladder.event(Ended).reason == "bye"
    ladder.send(answer_to(ours, 481, "Gone"))
    assert ladder.silent()


def test_a_bye_of_ours_waits_for_the_ack() -> None:
    ladder, caller = Ladder(), Caller()
    invite = ladder.invited(caller)
    ladder.agent.accept(invite, ANSWER, ladder.now_s)
    ladder.out()
    ladder.agent.bye(invite.dialog, ladder.now_s)
    assert ladder.out() == []
    sent = ladder.send(caller.request("ACK"))
    assert starts(sent) == ["BYE"]


def test_a_bye_of_ours_before_the_answer_refuses_the_call() -> None:
    ladder, caller = Ladder(), Caller()
    invite = ladder.invited(caller)
    ladder.out()
    ladder.agent.bye(invite.dialog, ladder.now_s)
    assert starts(ladder.out()) == ["480 Temporarily Unavailable"]


def test_a_bye_before_the_answer_takes_the_call_back() -> None:
    ladder, caller = Ladder(), Caller()
    invite = ladder.invited(caller)
    ladder.agent.ring(invite, ladder.now_s)
    ladder.out()
    assert starts(ladder.send(caller.request("BYE"))) == ["200 OK", "487 Request Terminated"]
    assert ladder.event(Cancelled).reason == "cancelled"


def test_a_request_out_of_order_is_500_and_of_no_dialog_481() -> None:
    ladder, caller = Ladder(), Caller()
    ladder.talking(caller)
    caller.cseq = 10
    assert starts(ladder.send(caller.request("OPTIONS"))) == ["200 OK"]
    assert starts(ladder.send(caller.request("BYE", cseq=5))) == ["500 Server Internal Error"]
    assert starts(ladder.send(caller.request("BYE", to_tag="guessed"))) == ["481 Call/Transaction Does Not Exist"]
    assert starts(ladder.send(caller.request("PRACK", "RAck: 1 1 INVITE"))) == ["481 Call/Transaction Does Not Exist"]
    assert len(ladder.agent.dialogs()) == 1


def test_every_proxy_that_asked_for_it_stays_on_the_path() -> None:
    ladder = Ladder()
    caller = Caller(route=("<sip:198.51.100.9:5070;lr>", "<sip:203.0.113.8;lr;x=1>"))
    invite = ladder.invited(caller)
    ladder.agent.accept(invite, ANSWER, ladder.now_s)
    (ok,) = ladder.out()
    assert ok.headers.all("record-route") == list(caller.route)
    ladder.send(caller.request("ACK"))
    ladder.agent.bye(invite.dialog, ladder.now_s)
    bye = only(ladder.out(), "BYE")
    assert bye.headers.all("route") == list(caller.route)
    assert str(bye.uri) == "sip:ann@198.51.100.9:5070"


def test_a_strict_router_gets_its_own_uri_in_the_request_line() -> None:
    ladder, caller = Ladder(), Caller(route=("<sip:203.0.113.8>",))
    ladder.agent.bye(ladder.talking(caller), ladder.now_s)
    ((flow, _),) = taken = ladder.agent.take_outgoing()
    assert flow.remote == ("203.0.113.8", 5060)
    assert taken[0][1].startswith(b"BYE sip:203.0.113.8 SIP/2.0\r\n")
    assert b"Route: <sip:ann@198.51.100.9:5070>\r\n" in taken[0][1]


@pytest.mark.parametrize(
    ("contact", "rport", "source", "goes_to"),
    [
        ("<sip:ann@198.51.100.9:5070>", True, THEM := ("198.51.100.9", 5070), THEM),
        ("<sip:ann@198.51.100.200>", False, THEM, ("198.51.100.200", 5060)),
        ("<sip:ann@8.8.4.4:5080>", False, ("8.8.8.8", 5070), ("8.8.4.4", 5080)),
        ("<sip:ann@192.168.1.7:5060>", False, ("8.8.8.8", 31_000), ("8.8.8.8", 31_000)),
        ("<sip:ann@8.8.8.8:5060>", True, ("8.8.8.8", 31_000), ("8.8.8.8", 31_000)),
        ("<sip:ann@phone.example>", False, THEM, THEM),
        ("<sip:ann@[2001:db8::7]:5062>", False, ("2001:db8::8", 5060), ("2001:db8::7", 5062)),
    ],
    ids=["same", "other host", "public", "behind NAT", "NAT with rport", "name", "IPv6"],
)
def test_where_our_requests_go_over_udp(
    contact: str, rport: bool, source: tuple[str, int], goes_to: tuple[str, int]
) -> None:
    ladder, caller = Ladder(), Caller(contact=contact, rport=rport, flow=Flow("udp", OURS, source))
    if ":" in source[0]:
        caller.flow = PHONE  # the Via is written with it
    invite_flow = Flow("udp", OURS, source)
    ladder.agent.receive(caller.request("INVITE", body=OFFER), invite_flow, ladder.now_s)
    invite = ladder.event(Invite)
    caller.to_tag = invite.dialog.local.tag
    ladder.agent.accept(invite, ANSWER, ladder.now_s)
    ladder.send(caller.request("ACK"), invite_flow)
    ladder.agent.take_outgoing()
    ladder.agent.bye(invite.dialog, ladder.now_s)
    ((flow, _),) = ladder.agent.take_outgoing()
    assert flow.remote == goes_to


@pytest.mark.parametrize(
    ("via", "goes_to", "says"),
    [
        ("198.51.100.9:5070;branch=z9hG4bK1;rport", ("198.51.100.9", 31_000), ";rport=31000;received=198.51.100.9"),
        ("198.51.100.9:5070;branch=z9hG4bK1", ("198.51.100.9", 5070), ""),
        ("192.168.1.7;branch=z9hG4bK1", ("198.51.100.9", 5060), ";received=198.51.100.9"),
        ("phone.example:5080;branch=z9hG4bK1;maddr=203.0.113.1", ("198.51.100.9", 5080), ";received=198.51.100.9"),
    ],
)
def test_where_answers_go_over_udp(via: str, goes_to: tuple[str, int], says: str) -> None:
    ladder = Ladder()
    flow = Flow("udp", OURS, ("198.51.100.9", 31_000))
    request = Caller().request("OPTIONS").replace(b"198.51.100.9:5070;branch=z9hG4bK-c1-1-OPTIONS;rport", via.encode())
    ladder.agent.receive(request, flow, ladder.now_s)
    ((to, data),) = ladder.agent.take_outgoing()
    assert to.remote == goes_to
    line = data.split(b"\r\n")[1].decode()
    assert line.endswith(says or "branch=z9hG4bK1")


def test_over_a_connection_all_goes_over_the_connection() -> None:
    ladder = Ladder(contact=lambda _flow: ("media.example", 5061))
    flow = over("tls", 7)
    caller = Caller(flow=flow, contact="<sip:ann@198.51.100.9:5070;transport=tls>")
    invite = ladder.invited(caller)
    ladder.agent.accept(invite, ANSWER, ladder.now_s)
    ((to, data),) = ladder.agent.take_outgoing()
    assert to == flow
    assert b"Contact: <sip:+15550100@media.example:5061;transport=tls>\r\n" in data
    ladder.send(caller.request("ACK"), flow)
    ladder.agent.bye(invite.dialog, ladder.now_s)
    ((to, data),) = ladder.agent.take_outgoing()
    assert to == flow
    assert b"Via: SIP/2.0/TLS media.example:5061;branch=z9hG4bK" in data


def test_a_caller_by_sips_gets_a_sips_contact() -> None:
    ladder, caller = Ladder(), Caller(flow=over("tls"), contact="<sips:ann@198.51.100.9:5070>")
    ladder.send(caller.request("INVITE", body=OFFER, uri="sips:+15550100@192.0.2.1"), caller.flow)
    ladder.agent.accept(ladder.event(Invite), ANSWER, ladder.now_s)
    (ok,) = ladder.out()
    assert ok.headers.get("contact") == "<sips:+15550100@192.0.2.1:5060>"


def test_a_call_outlives_its_connection_and_its_bye_asks_for_a_new_one() -> None:
    ladder, flow = Ladder(), over("tcp", 3)
    caller = Caller(flow=flow, contact="<sip:ann@198.51.100.9:5070;transport=tcp>")
    dialog = ladder.talking(caller)
    ladder.agent.flow_lost(flow, ladder.now_s)
    assert ladder.silent()
    ladder.agent.bye(dialog, ladder.now_s)
    ((to, data),) = ladder.agent.take_outgoing()
    assert (to.kind, to.remote, to.id) == ("tcp", ("198.51.100.9", 5070), 0)
    assert data.startswith(b"BYE ")
    ladder.agent.flow_lost(to, ladder.now_s)  # and there is none to be had
    assert ladder.event(Ended).reason == "failed"


def test_a_call_comes_back_over_another_connection() -> None:
    ladder, first, second = Ladder(), over("tcp", 3), over("tcp", 4)
    caller = Caller(flow=first)
    dialog = ladder.talking(caller)
    ladder.agent.flow_lost(first, ladder.now_s)
    ladder.send(caller.request("OPTIONS"), second)
    ladder.agent.bye(dialog, ladder.now_s)
    ((to, _),) = ladder.agent.take_outgoing()
    assert to == second


def test_a_caller_whose_connection_breaks_while_it_rings_has_gone() -> None:
    ladder, caller = Ladder(), Caller(flow=WIRE)
    ladder.invited(caller)
    ladder.agent.flow_lost(WIRE, ladder.now_s)
    assert ladder.event(Cancelled).reason == "flow-lost"


@pytest.mark.parametrize(
    ("content_type", "body", "digit", "duration_ms"),
    [
        ("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n", "5", 160),
        ("application/dtmf-relay", b"Signal= *\r\nDuration= 100", "*", 100),
        ("application/dtmf-relay", b"Signal=11\r\n", "#", None),
        ("application/dtmf; charset=x", b"d", "D", None),
        ("application/dtmf", b"0\r\n", "0", None),
    ],
)
def test_keys_by_info(content_type: str, body: bytes, digit: str, duration_ms: int | None) -> None:
    ladder, caller = Ladder(), Caller()
    ladder.talking(caller)
    info = caller.request("INFO", body=body, content_type=content_type)
    assert starts(ladder.send(info)) == ["200 OK"]
    assert starts(ladder.send(info)) == ["200 OK"]  # once more on the wire is once in the call
    key = ladder.event(InfoKey)
    assert (key.digit, key.duration_ms) == (digit, duration_ms)


@pytest.mark.parametrize(
    ("content_type", "body", "says"),
    [
        ("application/dtmf-relay", b"Signal=16\r\n", "400 Bad Key"),
        ("application/dtmf-relay", b"\xff\xfe", "400 Bad Key"),
        ("text/plain", b"5", "415 Unsupported Media Type"),
    ],
)
def test_infos_that_are_no_keys(content_type: str, body: bytes, says: str) -> None:
    ladder, caller = Ladder(), Caller()
    ladder.talking(caller)
    assert starts(ladder.send(caller.request("INFO", body=body, content_type=content_type))) == [says]
    assert ladder.silent()


REFUSED = {
    "scheme": (("OPTIONS",), {"uri": "gopher:us"}, "416 Unsupported URI Scheme"),
    "extension": (("INVITE", "Require: 100rel"), {}, "420 Bad Extension"),
    "extension of a proxy": (("OPTIONS", "Proxy-Require: sec-agree"), {}, "420 Bad Extension"),
    "body": (("INVITE",), {"body": b"x", "content_type": "text/plain"}, "415 Unsupported Media Type"),
    "compressed body": (("INVITE", "Content-Encoding: gzip"), {"body": b"x"}, "415 Unsupported Media Type"),
    "taste": (("INVITE", "Accept: text/html"), {}, "406 Not Acceptable"),
    "REFER": (("REFER", "Refer-To: <sip:x@y>"), {}, "405 Method Not Allowed"),
    "MESSAGE": (("MESSAGE",), {"body": b"hi", "content_type": "text/plain"}, "405 Method Not Allowed"),
    "REGISTER": (("REGISTER",), {}, "405 Method Not Allowed"),
    "SUBSCRIBE": (("SUBSCRIBE", "Event: dialog"), {}, "489 Bad Event"),
    "NOTIFY": (("NOTIFY", "Event: keep-alive"), {}, "489 Bad Event"),
    "unheard of": (("NEWMETHOD",), {}, "501 Not Implemented"),
    "BYE of nothing": (("BYE",), {}, "481 Call/Transaction Does Not Exist"),
    "session": (("INVITE", "Session-Expires: 30", "Supported: timer"), {}, "422 Session Interval Too Small"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_leaves_nothing_behind(case: str) -> None:
    what, options, says = REFUSED[case]
    ladder = Ladder()
    sent = ladder.send(Caller().request(*what, **options))  # type: ignore[arg-type]
    assert starts(sent) == [says]
    assert sent[0].to.tag
    assert ladder.silent()
    assert ladder.agent.next_due_s is None
    if says[:3] in {"405", "501", "489"}:
        assert "INVITE" in sent[0].headers.tokens("allow") or "invite" in sent[0].headers.tokens("allow")


def test_what_a_refusal_says_of_what_would_do() -> None:
    ladder = Ladder()
    (sent,) = ladder.send(Caller().request("INVITE", "Require: 100rel, timer, foo"))
    assert sent.headers.tokens("unsupported") == {"100rel", "foo"}
    (sent,) = ladder.send(Caller(call_id="c2").request("INVITE", body=b"x", content_type="text/plain"))
    assert {"application/sdp", "multipart/mixed"} <= sent.headers.tokens("accept")
    (sent,) = ladder.send(Caller(call_id="c3").request("INVITE", "Session-Expires: 30", "Supported: timer"))
    assert sent.headers.get("min-se") == "90"


def test_loops_end_here() -> None:
    data = Caller().request("INVITE", body=OFFER).replace(b"Max-Forwards: 70", b"Max-Forwards: 0")
    assert starts(Ladder().send(data)) == ["483 Too Many Hops"]


def test_an_optional_body_of_another_kind_is_passed_over() -> None:
    ladder = Ladder()
    optional = "Content-Disposition: render; handling=optional"
    ladder.send(Caller().request("INVITE", optional, body=b"x", content_type="text/plain"))
    invite = ladder.event(Invite)
    assert (invite.offer, invite.request.body) == (None, b"x")


def test_a_multipart_body_is_handed_on_whole() -> None:
    ladder = Ladder()
    body = b"--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b--\r\n"
    ladder.send(Caller().request("INVITE", "Require: siprec", body=body, content_type="multipart/mixed;boundary=b"))
    invite = ladder.event(Invite)
    assert (invite.offer, invite.request.body) == (None, body)
    assert invite.request.content_type == "multipart/mixed;boundary=b"


def test_tel_numbers_can_be_called() -> None:
    ladder = Ladder()
    ladder.send(Caller().request("INVITE", body=OFFER, uri="tel:+1-555-0100;phone-context=x"))
    assert ladder.event(Invite).request.uri.number == "+1-555-0100"


def test_options_say_what_is_possible() -> None:
    ladder = Ladder()
    (sent,) = ladder.send(Caller().request("OPTIONS"))
    assert starts([sent]) == ["200 OK"]
    assert sent.headers.tokens("accept") >= {"application/sdp"}
    assert sent.headers.tokens("supported") == {"timer", "siprec"}
    assert sent.headers.tokens("allow") == {"invite", "ack", "cancel", "bye", "options", "update", "info"}


def test_when_the_house_is_full_new_calls_get_503_and_the_others_go_on() -> None:
    ladder = Ladder(limits=Limits(dialogs=2))
    callers = [Caller(call_id=f"c{n}") for n in range(3)]
    dialogs = [ladder.talking(caller) for caller in callers[:2]]
    (sent,) = ladder.send(callers[2].request("INVITE", body=OFFER))
    assert starts([sent]) == ["503 Service Unavailable"]
    assert sent.headers.get("retry-after") == "10"
    assert ladder.agent.dialogs() == dialogs
    assert starts(ladder.send(callers[0].request("BYE"))) == ["200 OK"]
    assert starts(ladder.send(callers[2].request("INVITE", body=OFFER))) == ["100 Trying"]


def test_two_hundred_calls_leave_nothing_behind() -> None:
    ladder = Ladder()
    for number in range(200):
        caller = Caller(call_id=f"c{number}")
        ladder.talking(caller)
        ladder.send(caller.request("BYE"))
        ladder.event(Ended)
    ladder.wait(40)
    stack = ladder.agent._stack
    assert (len(stack.servers), len(stack.clients), len(stack._invites), stack.timers.next_due_s) == (0, 0, 0, None)
    assert ladder.agent._calls == {}


def test_timers_of_calls_that_are_over_do_not_pile_up() -> None:
    ladder = Ladder()
    for number in range(400):
        caller = Caller(call_id=f"c{number}")
        ladder.talking(caller, "Session-Expires: 1800", "Supported: timer")
        ladder.send(caller.request("BYE"))
        ladder.event(Ended)
        ladder.wait(1)
    assert len(ladder.agent._stack.timers._heap) < 330


def test_a_caller_of_before_rfc_3261_is_understood() -> None:
    ladder, caller = Ladder(), Caller(rport=False)
    branch = b";branch=z9hG4bK-c1-1-INVITE"
    invite = caller.request("INVITE", body=OFFER).replace(branch, b"")
    ladder.send(invite)
    first = ladder.event(Invite)
    assert starts(ladder.send(invite)) == ["100 Trying"]
    ladder.agent.refuse(first, 486, "Busy Here", ladder.now_s)
    ladder.out()
    caller.to_tag = first.dialog.local.tag
    ladder.send(caller.request("ACK", branch="x").replace(b";branch=x", b""))
    assert ladder.wait(60) == []
