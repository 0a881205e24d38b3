"""Digest: the examples of the RFCs, who gets in, and what no longer counts (RFC 7616, RFC 8760)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_gateway.protocols.sip.agent import Decision
from media_gateway.protocols.sip.digest import Credentials, digest_response, digest_text, parse_digest
from media_gateway.protocols.sip.events import Ended, Invite
from media_gateway.protocols.sip.flow import Flow
from media_gateway.protocols.sip.limits import Limits
from media_gateway.protocols.sip.message import Request, Response, parse_message
from media_gateway.protocols.sip.registration import Registration
from tests.unit.sip_ladder import OFFER, OURS, PHONE, Caller, Ladder, answer_to, only, starts

USERS = {"ann": "open sesame"}
URI = "sip:+15550100@192.0.2.1"


def challenged(request: Request, _flow: Flow) -> Decision:
    """The policy where everybody has to say who it is."""
    return Decision.CHALLENGE


def test_the_example_of_rfc_7616() -> None:
    fields = {
        "uri": "/dir/index.html",
        "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        "nc": "00000001",
        "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        "qop": "auth",
    }
    who = ("Mufasa", "http-auth@example.org", "Circle of Life", "GET")
    assert digest_response("MD5", *who, fields) == "8ca523f5e9506fed4657c9700eebdbec"
    sha = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
    assert digest_response("SHA-256", *who, fields) == sha


def test_the_example_of_rfc_2069_has_no_qop() -> None:
    fields = {"uri": "/dir/index.html", "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093"}
    answer = digest_response("MD5", "Mufasa", "testrealm@host.com", "CircleOfLife", "GET", fields)
    assert answer == "1949323746fe6a43ef61f9606e7febea"


class Knock:
    """A caller that is asked for its password."""

    def __init__(self, ladder: Ladder, flow: Flow = PHONE, algorithm: str = "SHA-256") -> None:
        self.ladder, self.flow, self.algorithm = ladder, flow, algorithm
        self.calls = 0

    def call(self, *headers: str) -> list[Request | Response]:
        self.calls += 1
        return self.ladder.send(Caller(call_id=f"k{self.calls}").request("INVITE", *headers, body=OFFER), self.flow)

    def challenge(self) -> dict[str, str]:
        (sent,) = self.call()
        assert starts([sent]) == ["401 Unauthorized"]
        both = [parse_digest(value) for value in sent.headers.all("www-authenticate")]
        assert [each and each["algorithm"] for each in both] == ["SHA-256", "MD5"]
        (found,) = [each for each in both if each and each["algorithm"] == self.algorithm]
        return found

    def proof(self, challenge: dict[str, str], count: int = 1, **changed: str) -> str:
        """The Authorization line for a challenge."""
        password = changed.pop("password", "open sesame")
        fields = {
            "username": "ann",
            "realm": challenge["realm"],
            "nonce": challenge["nonce"],
            "uri": URI,
            "qop": "auth",
            "nc": f"{count:08x}",
            "cnonce": "0a4f113b",
            "algorithm": self.algorithm,
        }
        fields |= changed
        args = (fields["username"], fields["realm"], password, "INVITE")
        response = digest_response(fields["algorithm"], *args, fields)
        return f"Authorization: {digest_text([*fields.items(), ('response', response)])}"


@pytest.mark.parametrize("algorithm", ["SHA-256", "MD5"])
def test_a_user_calls(algorithm: str) -> None:
    ladder = Ladder(authenticate=challenged, users=USERS)
    knock = Knock(ladder, algorithm=algorithm)
    challenge = knock.challenge()
    assert ladder.silent()
    assert starts(knock.call(knock.proof(challenge))) == ["100 Trying"]
    assert ladder.event(Invite).user == "ann"
    assert starts(knock.call(knock.proof(challenge, 2))) == ["100 Trying"]  # the nonce serves again, counted


def stale(messages: list[Request | Response]) -> bool | None:
    """Whether a 401 says that only the nonce was wrong; None where it is no 401."""
    (sent,) = messages
    if starts([sent]) != ["401 Unauthorized"]:
        return None
    return (parse_digest(sent.headers.get("www-authenticate") or "") or {}).get("stale") == "true"


def test_a_count_that_was_used_is_stale() -> None:
    ladder = Ladder(authenticate=challenged, users=USERS)
    knock = Knock(ladder)
    challenge = knock.challenge()
    assert stale(knock.call(knock.proof(challenge, 3))) is None
    for used in (3, 2, 1):
        assert stale(knock.call(knock.proof(challenge, used))) is True
    assert stale(knock.call(knock.proof(challenge, 4))) is None


def test_a_nonce_grows_old() -> None:
    ladder = Ladder(authenticate=challenged, users=USERS, limits=Limits(nonce_s=60))
    knock = Knock(ladder)
    challenge = knock.challenge()
    ladder.now_s += 61
    assert stale(knock.call(knock.proof(challenge))) is True
    assert stale(knock.call(knock.proof(knock.challenge()))) is None


def test_a_nonce_is_good_at_one_address_only() -> None:
    ladder = Ladder(authenticate=challenged, users=USERS)
    knock = Knock(ladder)
    challenge = knock.challenge()
    knock.flow = Flow("udp", OURS, ("203.0.113.5", 5060))
    assert stale(knock.call(knock.proof(challenge))) is True


def test_counts_that_had_to_make_room_do_not_come_back() -> None:
    ladder = Ladder(authenticate=challenged, users=USERS, limits=Limits(nonces=2, stranger_burst=1000))
    knock = Knock(ladder)
    challenges = []
    for _ in range(4):
        challenges.append(knock.challenge())
        assert stale(knock.call(knock.proof(challenges[-1]))) is None
        ladder.now_s += 1
    assert stale(knock.call(knock.proof(challenges[0]))) is True
    assert stale(knock.call(knock.proof(challenges[3], 2))) is None


WRONG = {
    "password": {"password": "guess"},
    "user": {"username": "bob"},
    "realm": {"realm": "elsewhere"},
    "no count": {"nc": "1"},
    "qop": {"qop": "auth-int"},
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_credentials_are_asked_for_again(case: str) -> None:
    ladder = Ladder(authenticate=challenged, users=USERS)
    knock = Knock(ladder)
    assert stale(knock.call(knock.proof(knock.challenge(), **WRONG[case]))) is False
    assert ladder.silent()


@pytest.mark.parametrize(
    "line",
    [
        "Authorization: NoOneKnowsThisScheme opaque-data=here",
        "Authorization: Digest",
        'Authorization: Digest username="ann", username="bob"',
        "Authorization: Digest ,,,",
        'Authorization: Digest username="ann',
        'Authorization: Digest realm="hearline", nonce="é", algorithm=ROT13, nc=00000001, qop=auth, response="x"',
        'Authorization: Digest realm="hearline", nonce="é", uri="x", cnonce="y", nc=00000001, qop=auth, response="é"',
    ],
)
def test_credentials_that_are_none(line: str) -> None:
    assert stale(Knock(Ladder(authenticate=challenged, users=USERS)).call(line)) is not None


def test_whoever_guesses_passwords_is_soon_not_answered() -> None:
    ladder = Ladder(authenticate=challenged, users=USERS, limits=Limits(stranger_burst=10, stranger_rate_per_s=1))
    knock = Knock(ladder)
    challenge = knock.challenge()
    answers = [knock.call(knock.proof(challenge, n + 1, password=f"guess {n}")) for n in range(100)]
    assert sum(map(len, answers)) == 9
    assert ladder.refused == {"wrong-password": 9, "silenced": 91}
    ladder.now_s += 5
    assert len([n for n in range(10) if knock.call()]) == 5


def test_a_user_may_call_as_often_as_it_likes() -> None:
    ladder = Ladder(authenticate=challenged, users=USERS, limits=Limits(stranger_burst=10, stranger_rate_per_s=1))
    knock = Knock(ladder)
    for _ in range(100):
        assert starts(knock.call(knock.proof(knock.challenge()))) == ["100 Trying"]


def test_requests_in_the_call_need_no_password_again() -> None:
    ladder = Ladder(authenticate=challenged, users=USERS)
    knock = Knock(ladder)
    knock.call(knock.proof(knock.challenge()))
    invite = ladder.event(Invite)
    ladder.agent.accept(invite, OFFER, ladder.now_s)
    ladder.out()
    caller = Caller(call_id="k2", to_tag=invite.dialog.local.tag, cseq=1)
    ladder.send(caller.request("ACK"))
    ladder.agent.take_events()
    assert starts(ladder.send(caller.request("BYE"))) == ["200 OK"]
    assert ladder.event(Ended).reason == "bye"


# We prove ourselves


CHALLENGE = 'WWW-Authenticate: Digest realm="pbx", nonce="n1", qop="auth,auth-int", opaque="o", algorithm={}'


@pytest.mark.parametrize("status", [401, 407])
def test_our_request_in_a_call_is_challenged(status: int) -> None:
    ladder, caller = Ladder(), Caller()
    registration = Registration("sip:198.51.100.9", "sip:us@198.51.100.9", "us", "secret")
    ladder.agent.register(registration, PHONE, ladder.now_s)
    ladder.out()
    ladder.agent.bye(ladder.talking(caller), ladder.now_s)
    first = only(ladder.out(), "BYE")
    line = CHALLENGE.format("SHA-256")
    if status == 407:
        line = line.replace("WWW-", "Proxy-")
    second = only(ladder.send(answer_to(first, status, "Prove It", line)), "BYE")
    assert second.cseq == first.cseq + 1
    given = parse_digest(second.headers.get("authorization" if status == 401 else "proxy-authorization") or "")
    assert given is not None
    assert (given["username"], given["nc"], given["qop"], given["opaque"]) == ("us", "00000001", "auth", "o")
    assert given["response"] == digest_response("SHA-256", "us", "pbx", "secret", "BYE", given)
    ladder.send(answer_to(second, 401, "Prove It", line))
    assert ladder.event(Ended).reason == "hung-up"  # asked twice is refused


def test_our_change_of_a_call_is_challenged_and_then_taken() -> None:
    ladder, caller = Ladder(), Caller()
    ladder.agent.register(Registration("sip:198.51.100.9", "sip:us@pbx", "us", "secret"), PHONE, ladder.now_s)
    ladder.out()
    ladder.agent.reinvite(ladder.talking(caller), OFFER, ladder.now_s)
    first = only(ladder.out(), "INVITE")
    sent = ladder.send(answer_to(first, 401, "Prove It", CHALLENGE.format("MD5")))
    assert starts(sent) == ["ACK", "INVITE"]
    assert starts(ladder.send(answer_to(sent[1], 200, body=OFFER))) == ["ACK"]  # type: ignore[arg-type]


def test_nobody_gets_a_proof_of_our_password_by_calling_themselves_our_registrar() -> None:
    ladder, caller = Ladder(), Caller(contact="<sip:ann@203.0.113.10>")
    registrar = Flow("udp", OURS, ("203.0.113.10", 5060))
    ladder.agent.register(Registration("sip:203.0.113.10", "sip:us@203.0.113.10", "us", "secret"), registrar, 1000.0)
    ladder.out()
    ladder.agent.bye(ladder.talking(caller), ladder.now_s)
    ((flow, data),) = ladder.agent.take_outgoing()
    bye = parse_message(data)
    assert isinstance(bye, Request)
    assert flow.remote == PHONE.remote
    assert ladder.send(answer_to(bye, 401, "Prove It", CHALLENGE.format("MD5"))) == []


def test_without_a_password_a_challenge_is_a_refusal() -> None:
    ladder, caller = Ladder(), Caller()
    ladder.agent.bye(ladder.talking(caller), ladder.now_s)
    bye = only(ladder.out(), "BYE")
    assert ladder.send(answer_to(bye, 401, "Prove It", CHALLENGE.format("MD5"))) == []
    assert ladder.event(Ended).reason == "hung-up"


@given(st.dictionaries(st.sampled_from("username realm nonce uri cnonce opaque".split()), st.text(max_size=20)))
def test_what_is_written_is_read(fields: dict[str, str]) -> None:
    assert parse_digest(digest_text(fields.items())) == fields


@given(st.text(max_size=80) | st.text(alphabet='Digest ="\\,abc', max_size=40).map("Digest ".__add__))
def test_nothing_that_comes_raises(text: str) -> None:
    parse_digest(text)
    ladder = Ladder(authenticate=challenged, users=USERS)
    ladder.agent.receive(
        Caller().request("OPTIONS", "Authorization: X").replace(b"X", text.encode("utf-8", "replace")), PHONE, 0.0
    )


def test_of_two_challenges_the_stronger_one_is_answered() -> None:
    ladder, caller = Ladder(), Caller()
    ladder.agent.bye(ladder.talking(caller), ladder.now_s)
    bye = only(ladder.out(), "BYE")
    lines = [CHALLENGE.format(name) for name in ("MD5", "SHA-256", "SHA-512-256")]
    ladder.agent.take_events()
    mine = Credentials("us", "secret")
    response = parse_message(answer_to(bye, 401, "Prove It", *lines))
    assert isinstance(response, Response)
    assert mine.take(response)
    assert "algorithm=SHA-256" in mine.header("BYE", "sip:x", ladder.agent._stack.rng)[0][1]
