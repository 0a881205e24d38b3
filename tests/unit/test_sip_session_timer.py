"""Session timers: who refreshes, how, and what happens when nobody does (RFC 4028)."""

from __future__ import annotations

import pytest

from media_gateway.protocols.sip.events import Ended, Reinvite, ReinviteAccepted
from media_gateway.protocols.sip.limits import Limits
from media_gateway.protocols.sip.message import Response
from tests.unit.sip_ladder import ANSWER, OFFER, Caller, Ladder, answer_to, only, starts


def answered(ladder: Ladder, caller: Caller, *headers: str) -> Response:
    """The 200 to a call with these headers, acknowledged."""
    invite = ladder.invited(caller, *headers)
    ladder.out()
    ladder.agent.accept(invite, ANSWER, ladder.now_s)
    (ok,) = ladder.out()
    assert isinstance(ok, Response)
    ladder.send(caller.request("ACK"))
    ladder.agent.take_events()
    return ok


@pytest.mark.parametrize(
    ("headers", "says", "requires"),
    [
        (("Session-Expires: 600;refresher=uac", "Supported: timer"), "600;refresher=uac", "timer"),
        (("x: 600 ; refresher=uas", "k: timer"), "600;refresher=uas", "timer"),
        (("Session-Expires: 600", "Supported: timer"), "600;refresher=uac", "timer"),
        (("Session-Expires: 600",), "600;refresher=uas", None),  # a proxy asked: the peer knows nothing of it
        (("Session-Expires: 60",), "90;refresher=uas", None),  # nor could it raise it
        (("Supported: timer",), "1800;refresher=uac", "timer"),
        (("Supported: timer", "Min-SE: 3600"), "3600;refresher=uac", "timer"),
        ((), None, None),
    ],
)
def test_what_is_agreed(headers: tuple[str, ...], says: str | None, requires: str | None) -> None:
    ok = answered(Ladder(), Caller(), *headers)
    assert ok.headers.get("session-expires") == says
    assert ok.headers.get("require") == requires


@pytest.mark.parametrize("value", ["x", "", "-5", "600;refresher=me", "600;;", "²"])
def test_a_header_that_says_nothing_is_400(value: str) -> None:
    data = Caller().request("INVITE", f"Session-Expires: {value}", "Supported: timer", body=OFFER)
    assert starts(Ladder().send(data))[0].startswith("400 ")


def test_too_short_is_422_with_our_least() -> None:
    ladder = Ladder(limits=Limits(min_session_s=300))
    (sent,) = ladder.send(Caller().request("INVITE", "Session-Expires: 200", "Supported: timer", body=OFFER))
    assert (starts([sent]), sent.headers.get("min-se")) == (["422 Session Interval Too Small"], "300")


def test_the_peer_refreshes_and_the_call_goes_on() -> None:
    ladder, caller = Ladder(), Caller()
    answered(ladder, caller, "Session-Expires: 600;refresher=uac", "Supported: timer")
    for method in ("UPDATE", "INVITE", "UPDATE"):
        assert ladder.wait(400) == []
        ladder.send(caller.request(method, "Session-Expires: 600;refresher=uac", "Supported: timer"))
        if method == "INVITE":
            ladder.agent.accept(ladder.event(Reinvite), ANSWER, ladder.now_s)
            (ok,) = ladder.out()
            assert ok.headers.get("session-expires") == "600;refresher=uac"
            ladder.send(caller.request("ACK"))
            ladder.agent.take_events()
    assert ladder.silent()
    assert len(ladder.agent.dialogs()) == 1


def test_the_peer_does_not_refresh_and_the_call_ends() -> None:
    ladder, caller = Ladder(), Caller()
    answered(ladder, caller, "Session-Expires: 600;refresher=uac", "Supported: timer")
    assert ladder.wait(567) == []
    assert starts(ladder.wait(2))[0] == "BYE"  # 32 s before the end
    assert ladder.event(Ended).reason == "session-expired"


def test_a_refresh_without_the_header_switches_the_timer_off() -> None:
    ladder, caller = Ladder(), Caller()
    answered(ladder, caller, "Session-Expires: 600;refresher=uac", "Supported: timer")
    ladder.send(caller.request("UPDATE"))
    assert ladder.wait(10_000) == []
    assert ladder.silent()


def test_an_update_before_the_answer_begins_no_session() -> None:
    ladder, caller = Ladder(), Caller()
    ladder.invited(caller)
    ladder.out()
    (ok,) = ladder.send(caller.request("UPDATE", "Session-Expires: 90;refresher=uac", "Supported: timer"))
    assert starts([ok]) == ["200 OK"]
    assert ladder.wait(120) == []
    assert ladder.silent()


def test_we_refresh_by_update_where_the_peer_takes_it() -> None:
    ladder, caller = Ladder(), Caller()
    answered(
        ladder, caller, "Session-Expires: 600;refresher=uas", "Supported: timer", "Allow: INVITE, ACK, BYE, UPDATE"
    )
    for _ in range(3):
        assert ladder.wait(299) == []
        update = only(ladder.wait(1), "UPDATE")
        assert update.body == b""
        assert update.headers.get("session-expires") == "600;refresher=uac"  # we are its client now
        ladder.send(answer_to(update, 200, "OK", "Session-Expires: 600;refresher=uac"))
        assert ladder.silent()


def test_we_refresh_by_reinvite_where_it_does_not() -> None:
    ladder, caller = Ladder(), Caller()
    answered(ladder, caller, "Session-Expires: 600;refresher=uas", "Supported: timer")
    asked = only(ladder.wait(300), "INVITE")
    assert asked.body == ANSWER  # what was agreed, once more
    assert starts(ladder.send(answer_to(asked, 200, "OK", "Session-Expires: 600;refresher=uac", body=OFFER))) == ["ACK"]
    assert ladder.event(ReinviteAccepted).answer == OFFER
    assert starts(ladder.wait(300)) == ["INVITE"]


def test_an_update_that_is_not_allowed_after_all_becomes_a_reinvite() -> None:
    ladder, caller = Ladder(), Caller()
    answered(ladder, caller, "Session-Expires: 600;refresher=uas", "Supported: timer", "Allow: UPDATE")
    update = only(ladder.wait(300), "UPDATE")
    assert starts(ladder.send(answer_to(update, 405, "Method Not Allowed"))) == ["INVITE"]


def test_the_peer_takes_over_the_refreshing() -> None:
    ladder, caller = Ladder(), Caller()
    answered(ladder, caller, "Session-Expires: 600;refresher=uas", "Supported: timer", "Allow: UPDATE")
    update = only(ladder.wait(300), "UPDATE")
    ladder.send(answer_to(update, 200, "OK", "Session-Expires: 600;refresher=uas"))
    assert ladder.wait(567) == []
    assert starts(ladder.wait(2))[0] == "BYE"


def test_a_peer_that_knows_nothing_of_timers_is_asked_on() -> None:
    ladder, caller = Ladder(), Caller()
    answered(ladder, caller, "Session-Expires: 600")
    for _ in range(3):
        asked = only(ladder.wait(300), "INVITE")
        ladder.send(answer_to(asked, 200, body=OFFER))
        ladder.event(ReinviteAccepted)


def test_too_short_for_the_peer_is_asked_again_with_its_least() -> None:
    ladder, caller = Ladder(), Caller()
    answered(ladder, caller, "Session-Expires: 600;refresher=uas", "Supported: timer", "Allow: UPDATE")
    update = only(ladder.wait(300), "UPDATE")
    ladder.send(answer_to(update, 422, "Session Interval Too Small", "Min-SE: 900"))
    again = only(ladder.wait(0.2), "UPDATE")
    assert again.headers.get("session-expires") == "900;refresher=uac"


def test_glare_of_a_refresh_is_tried_again_soon() -> None:
    ladder, caller = Ladder(), Caller()
    answered(ladder, caller, "Session-Expires: 600;refresher=uas", "Supported: timer")
    asked = only(ladder.wait(300), "INVITE")
    ladder.send(answer_to(asked, 491, "Request Pending"))
    assert ladder.silent()
    assert starts(ladder.wait(2.1))[0] == "INVITE"


def test_a_peer_that_has_vanished_is_found_out() -> None:
    ladder, caller = Ladder(), Caller()
    answered(ladder, caller, "Session-Expires: 600;refresher=uas", "Supported: timer", "Allow: UPDATE")
    sent = starts(ladder.wait(333))
    assert sent[0] == "UPDATE"
    assert "BYE" in sent
    assert ladder.event(Ended).reason == "gone"


def test_refreshes_that_go_wrong_for_long_end_the_call_in_time() -> None:
    ladder, caller = Ladder(), Caller()
    answered(ladder, caller, "Session-Expires: 90;refresher=uas", "Supported: timer", "Allow: UPDATE")
    while ladder.agent.dialogs():
        for request in ladder.wait(1):
            ladder.send(answer_to(request, 500 if request.method == "UPDATE" else 200, "x"))  # type: ignore[arg-type]
    assert ladder.event(Ended).reason == "session-expired"
    assert ladder.now_s - 1000 <= 62
