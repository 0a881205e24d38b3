"""Calls that change while they run: re-INVITE and UPDATE, from either side (RFC 3261, section 14; RFC 3311)."""

from __future__ import annotations

import pytest

from media_gateway.protocols.sip.events import Acked, Ended, Invite, Reinvite, ReinviteAccepted, ReinviteFailed
from tests.unit.sip_ladder import ANSWER, OFFER, PHONE, WIRE, Caller, Ladder, answer_to, only, starts

HOLD = OFFER + b"a=sendonly\r\n"
HELD = ANSWER + b"a=recvonly\r\n"


def test_hold_and_resume() -> None:
    ladder, caller = Ladder(), Caller()
    dialog = ladder.talking(caller)
    for offer, answer in ((HOLD, HELD), (OFFER, ANSWER)):
        assert starts(ladder.send(caller.request("INVITE", body=offer))) == ["100 Trying"]
        change = ladder.event(Reinvite)
        assert (change.dialog, change.offer, change.request.method) == (dialog, offer, "INVITE")
        assert ladder.agent.accept(change, answer, ladder.now_s)
        (ok,) = ladder.out()
        assert (starts([ok]), ok.body) == (["200 OK"], answer)
        ladder.send(caller.request("ACK"))
        assert ladder.event(Acked).answer is None
    assert ladder.wait(40) == []
    assert ladder.agent.dialogs() == [dialog]


def test_a_reinvite_without_an_offer_wants_ours() -> None:
    ladder, caller = Ladder(), Caller()
    ladder.talking(caller)
    ladder.send(caller.request("INVITE"))
    change = ladder.event(Reinvite)
    assert change.offer is None
    ladder.agent.accept(change, OFFER, ladder.now_s)
    ladder.send(caller.request("ACK", body=ANSWER))
    assert ladder.event(Acked).answer == ANSWER


def test_a_refused_reinvite_leaves_the_call_as_it_was() -> None:
    ladder, caller = Ladder(), Caller()
    dialog = ladder.talking(caller)
    ladder.send(caller.request("INVITE", body=HOLD))
    ladder.agent.refuse(ladder.event(Reinvite), 488, "Not Acceptable Here", ladder.now_s)
    assert starts(ladder.out()) == ["488 Not Acceptable Here"]
    ladder.send(caller.request("ACK", branch="z9hG4bK-c1-2-INVITE"))
    assert ladder.wait(40) == []
    assert ladder.agent.dialogs() == [dialog]
    assert ladder.silent()


def test_the_peer_moves_only_with_a_change_that_is_taken() -> None:
    ladder, caller = Ladder(), Caller()
    dialog = ladder.talking(caller)
    for host, taken in (("198.51.100.77", False), ("198.51.100.78", True)):
        caller.contact = f"<sip:ann@{host}:5070>"
        ladder.send(caller.request("INVITE", body=HOLD))
        change = ladder.event(Reinvite)
        if taken:
            ladder.agent.accept(change, HELD, ladder.now_s)
        else:
            ladder.agent.refuse(change, 488, "Not Acceptable Here", ladder.now_s)
        assert (dialog.remote_target.host == host) is taken


def test_a_reinvite_that_comes_again_is_one_change() -> None:
    ladder, caller = Ladder(), Caller()
    ladder.talking(caller)
    hold = caller.request("INVITE", body=HOLD)
    ladder.send(hold)
    ladder.event(Reinvite)
    assert starts(ladder.send(hold)) == ["100 Trying"]
    assert ladder.silent()


def test_a_cancelled_reinvite_leaves_the_call_as_it_was() -> None:
    ladder, caller = Ladder(), Caller()
    dialog = ladder.talking(caller)
    ladder.send(caller.request("INVITE", body=HOLD))
    change = ladder.event(Reinvite)
    assert starts(ladder.send(caller.request("CANCEL"))) == ["200 OK", "487 Request Terminated"]
    assert not ladder.agent.accept(change, HELD, ladder.now_s)
    assert ladder.silent()
    assert ladder.agent.dialogs() == [dialog]


def test_a_second_offer_while_one_is_open_has_to_wait() -> None:
    ladder, caller = Ladder(), Caller()
    ladder.talking(caller)
    ladder.send(caller.request("INVITE", body=HOLD))
    ladder.event(Reinvite)
    for method in ("INVITE", "UPDATE"):
        (sent,) = ladder.send(caller.request(method, body=OFFER))
        assert starts([sent]) == ["500 Server Internal Error"]
        assert 0 <= int(sent.headers.get("retry-after") or -1) <= 10
    assert ladder.silent()


def test_a_reinvite_before_the_first_answer_has_to_wait() -> None:
    ladder, caller = Ladder(), Caller()
    ladder.invited(caller)
    assert starts(ladder.send(caller.request("INVITE", body=HOLD))) == ["500 Server Internal Error"]
    assert starts(ladder.send(caller.request("UPDATE", body=HOLD))) == ["500 Server Internal Error"]


def test_a_reinvite_that_the_door_forgets_is_not_left_open() -> None:
    ladder, caller = Ladder(), Caller()
    ladder.talking(caller)
    ladder.send(caller.request("INVITE", body=HOLD))
    change = ladder.event(Reinvite)
    assert "500 Server Internal Error" in starts(ladder.wait(20))
    assert not ladder.agent.accept(change, HELD, ladder.now_s)


def test_a_reinvite_whose_ack_never_comes_ends_the_call() -> None:
    ladder, caller = Ladder(), Caller()
    ladder.talking(caller)
    ladder.send(caller.request("INVITE", body=HOLD))
    ladder.agent.accept(ladder.event(Reinvite), HELD, ladder.now_s)
    assert starts(ladder.wait(33))[-2:] == ["BYE", "BYE"]
    assert ladder.event(Ended).reason == "no-ack"


def test_update_without_a_body_is_answered_here_and_moves_the_peer() -> None:
    ladder, caller = Ladder(), Caller()
    dialog = ladder.talking(caller)
    caller.contact = "<sip:ann@198.51.100.77:5090>"
    assert starts(ladder.send(caller.request("UPDATE"))) == ["200 OK"]
    assert ladder.silent()
    assert dialog.remote_target.host == "198.51.100.77"


def test_update_without_a_contact_is_400() -> None:
    ladder, caller = Ladder(), Caller()
    ladder.talking(caller)
    caller.contact = ""
    assert starts(ladder.send(caller.request("UPDATE"))) == ["400 Missing Contact"]


def test_update_with_an_offer_is_the_doors() -> None:
    ladder, caller = Ladder(), Caller()
    ladder.talking(caller)
    assert ladder.send(caller.request("UPDATE", body=HOLD)) == []
    change = ladder.event(Reinvite)
    assert (change.request.method, change.offer) == ("UPDATE", HOLD)
    ladder.agent.accept(change, HELD, ladder.now_s)
    (ok,) = ladder.out()
    assert (starts([ok]), ok.body) == (["200 OK"], HELD)
    assert ladder.wait(40) == []  # it needs no ACK


def test_we_change_a_call() -> None:
    ladder, caller = Ladder(), Caller()
    dialog = ladder.talking(caller)
    assert ladder.agent.reinvite(dialog, HOLD, ladder.now_s)
    assert not ladder.agent.reinvite(dialog, HOLD, ladder.now_s)  # one at a time
    asked = only(ladder.out(), "INVITE")
    assert (asked.body, asked.media_type, asked.to.tag) == (HOLD, "application/sdp", "caller")
    ladder.send(answer_to(asked, 100, "Trying"))
    moved = "Contact: <sip:ann@198.51.100.78:5070>"
    sent = ladder.send(answer_to(asked, 200, "OK", moved, body=HELD))
    ack = only(sent, "ACK")
    assert (ack.cseq, ack.uri.host) == (asked.cseq, "198.51.100.78")
    assert ladder.event(ReinviteAccepted).answer == HELD
    assert starts(ladder.send(answer_to(asked, 200, "OK", moved, body=HELD))) == ["ACK"]  # lost on the way
    assert ladder.silent()
    assert ladder.agent.reinvite(dialog, OFFER, ladder.now_s)


def test_the_ack_goes_to_where_the_peer_has_moved() -> None:
    ladder, caller = Ladder(), Caller(rport=False)
    ladder.agent.reinvite(ladder.talking(caller), HOLD, ladder.now_s)
    asked = only(ladder.out(), "INVITE")
    ok = answer_to(asked, 200, "OK", "Contact: <sip:ann@198.51.100.78:5090>", body=HELD)
    for _ in range(2):
        ladder.agent.receive(ok, PHONE, ladder.now_s)
        ((flow, data),) = ladder.agent.take_outgoing()
        assert data.startswith(b"ACK sip:ann@198.51.100.78:5090 SIP/2.0\r\n")
        assert flow.remote == ("198.51.100.78", 5090)


def test_our_change_is_refused() -> None:
    ladder, caller = Ladder(), Caller()
    dialog = ladder.talking(caller)
    ladder.agent.reinvite(dialog, HOLD, ladder.now_s)
    asked = only(ladder.out(), "INVITE")
    ack = only(ladder.send(answer_to(asked, 488, "Not Acceptable Here")), "ACK")
    assert ack.vias == asked.vias  # the same transaction
    failed = ladder.event(ReinviteFailed)
    assert (failed.status, failed.reason) == (488, "Not Acceptable Here")
    assert starts(ladder.send(answer_to(asked, 488, "Not Acceptable Here"))) == ["ACK"]
    assert ladder.agent.dialogs() == [dialog]


@pytest.mark.parametrize(("status", "says_bye"), [(481, False), (408, True)])
def test_a_peer_that_knows_nothing_of_the_call_has_ended_it(status: int, says_bye: bool) -> None:
    ladder, caller = Ladder(), Caller()
    ladder.agent.reinvite(ladder.talking(caller), HOLD, ladder.now_s)
    sent = ladder.send(answer_to(only(ladder.out(), "INVITE"), status, "Gone"))
    assert starts(sent) == ["ACK", "BYE"] if says_bye else ["ACK"]
    assert ladder.event(Ended).reason == "gone"
    assert ladder.agent.dialogs() == []


def test_a_peer_that_says_nothing_has_ended_the_call() -> None:
    ladder, caller = Ladder(), Caller()
    ladder.agent.reinvite(ladder.talking(caller), HOLD, ladder.now_s)
    sent = starts(ladder.out() + ladder.wait(32))
    assert sent == ["INVITE"] * 7 + ["BYE"]  # Timer A: 0.5, 1, 2, 4, 8, 16
    assert ladder.event(Ended).reason == "gone"


def test_we_ask_for_something_by_update() -> None:
    ladder, caller = Ladder(), Caller()
    dialog = ladder.talking(caller)
    wanted = (b"<requestsnapshot/>", "application/rs-metadata-request")
    for status in (200, 415):
        disposition = ("Content-Disposition", "recording-session")
        assert ladder.agent.update(dialog, *wanted, ladder.now_s, headers=[disposition])
        assert not ladder.agent.update(dialog, *wanted, ladder.now_s)
        asked = only(ladder.out(), "UPDATE")
        assert (asked.body, asked.media_type) == wanted
        assert asked.headers.get("content-disposition") == "recording-session"
        ladder.send(answer_to(asked, status, "x"))
        if status == 200:
            assert ladder.silent()
    assert ladder.event(ReinviteFailed).status == 415
    assert ladder.agent.dialogs() == [dialog]


def test_both_change_the_call_at_once() -> None:
    ladder, caller = Ladder(), Caller()
    dialog = ladder.talking(caller)
    ladder.agent.reinvite(dialog, HOLD, ladder.now_s)
    ours = only(ladder.out(), "INVITE")
    assert starts(ladder.send(caller.request("INVITE", body=OFFER))) == ["491 Request Pending"]
    assert starts(ladder.send(caller.request("UPDATE", body=OFFER))) == ["491 Request Pending"]
    ladder.send(answer_to(ours, 491, "Request Pending"))
    assert ladder.event(ReinviteFailed).status == 491
    assert ladder.agent.reinvite(dialog, HOLD, ladder.now_s)


def test_a_bye_while_our_change_is_open_ends_it_and_a_late_200_is_acknowledged() -> None:
    ladder, caller = Ladder(), Caller()
    ladder.agent.reinvite(ladder.talking(caller), HOLD, ladder.now_s)
    asked = only(ladder.out(), "INVITE")
    assert starts(ladder.send(caller.request("BYE"))) == ["200 OK"]
    assert ladder.event(Ended).reason == "bye"
    assert starts(ladder.send(answer_to(asked, 200, body=HELD))) == ["ACK"]
    assert ladder.silent()


def test_a_bye_while_the_doors_answer_is_open() -> None:
    ladder, caller = Ladder(), Caller()
    ladder.talking(caller)
    ladder.send(caller.request("INVITE", body=HOLD))
    change = ladder.event(Reinvite)
    assert starts(ladder.send(caller.request("BYE"))) == ["200 OK", "487 Request Terminated"]
    assert ladder.event(Ended).reason == "bye"
    assert not ladder.agent.accept(change, HELD, ladder.now_s)


def test_answers_of_others_to_nothing_are_dropped() -> None:
    ladder, caller = Ladder(), Caller()
    ladder.agent.reinvite(ladder.talking(caller), HOLD, ladder.now_s)
    asked = only(ladder.out(), "INVITE")
    branch = asked.vias[0].branch.encode()
    assert ladder.send(answer_to(asked, 200).replace(branch, b"z9hG4bKguessed")) == []
    assert ladder.silent()


def test_two_calls_of_one_caller_do_not_meet() -> None:
    ladder = Ladder()
    one, two = Caller(call_id="c1"), Caller(call_id="c2")
    first, second = ladder.talking(one), ladder.talking(two)
    ladder.send(one.request("BYE"))
    assert ladder.event(Ended).dialog is first
    assert ladder.agent.dialogs() == [second]
    ladder.send(Caller(call_id="c1", tag="again").request("INVITE", body=OFFER, branch="z9hG4bK-again"))
    assert ladder.event(Invite).dialog is not first


def test_a_probe_is_an_options_in_the_dialog_and_any_answer_keeps_the_call() -> None:
    ladder, caller = Ladder(), Caller(route=("<sip:203.0.113.1;lr>",))
    dialog = ladder.talking(caller)
    for status in (200, 404, 405, 500, 503):
        assert ladder.agent.probe(dialog, ladder.now_s)
        asked = only(ladder.out(), "OPTIONS")
        assert (asked.sender.tag, asked.to.tag, asked.call_id) == (caller.to_tag, "caller", "c1")
        assert asked.headers.get("route") == "<sip:203.0.113.1;lr>"
        assert asked.body == b""
        assert not ladder.agent.probe(dialog, ladder.now_s), "one at a time"
        ladder.send(answer_to(asked, status))
        assert ladder.wait(60) == []
        assert ladder.silent()
    assert ladder.agent.dialogs() == [dialog]


def test_a_probe_that_nobody_answers_ends_the_call() -> None:
    ladder = Ladder()
    assert ladder.agent.probe(ladder.talking(Caller()), ladder.now_s)
    assert set(starts(ladder.wait(31.9))) == {"OPTIONS"}
    assert "BYE" in starts(ladder.wait(0.2))
    assert ladder.event(Ended).reason == "gone"


def test_a_probe_of_a_call_that_the_peer_does_not_know_ends_it() -> None:
    ladder = Ladder()
    ladder.agent.probe(ladder.talking(Caller()), ladder.now_s)
    assert ladder.send(answer_to(only(ladder.out(), "OPTIONS"), 481, "Call Does Not Exist")) == []
    assert ladder.event(Ended).reason == "gone"


def test_a_peer_that_drops_probes_but_speaks_meanwhile_is_there() -> None:
    ladder, caller = Ladder(), Caller()
    dialog = ladder.talking(caller)
    ladder.agent.probe(dialog, ladder.now_s)
    ladder.wait(10)
    assert starts(ladder.send(caller.request("INVITE", body=OFFER))) == ["100 Trying"], "and no glare"
    ladder.agent.accept(ladder.event(Reinvite), ANSWER, ladder.now_s)
    ladder.send(caller.request("ACK"))
    ladder.agent.take_events()
    ladder.wait(60)
    assert ladder.silent()
    assert ladder.agent.dialogs() == [dialog]


def test_a_call_that_ends_while_it_is_probed_ends_once() -> None:
    ladder, caller = Ladder(), Caller()
    ladder.agent.probe(ladder.talking(caller), ladder.now_s)
    ladder.send(caller.request("BYE"))
    assert ladder.event(Ended).reason == "bye"
    assert set(starts(ladder.wait(60))) == {"OPTIONS"}
    assert ladder.silent()
    assert ladder.agent.next_due_s is None


def test_a_session_timer_needs_no_probe() -> None:
    ladder, caller = Ladder(), Caller()
    dialog = ladder.talking(caller, "Supported: timer")
    assert not ladder.agent.probe(dialog, ladder.now_s)
    assert ladder.out() == []


def test_a_peer_that_cannot_be_reached_any_more_is_gone_after_three_probes() -> None:
    ladder, caller = Ladder(), Caller(flow=WIRE)
    dialog = ladder.talking(caller)
    ladder.agent.flow_lost(WIRE, ladder.now_s)
    for _ in range(3):
        assert ladder.silent()
        assert ladder.agent.probe(dialog, ladder.now_s)
        ((wanted, _),) = ladder.agent.take_outgoing()
        assert wanted.id == 0
        ladder.agent.flow_lost(wanted, ladder.now_s)
        ladder.wait(60)
    assert ladder.event(Ended).reason == "gone"
