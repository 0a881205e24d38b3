"""One-time stream tokens."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import infra.tokens
from infra.tokens import (
    MAX_TOKEN_CHARS,
    SpentHere,
    StreamGrant,
    StreamTokens,
    TokenError,
    client_identity,
    twilio_call_id,
    user_of_client,
)

SECRET = "a secret of the server"
GRANT = StreamGrant(twilio_call_id("CA1"), "CA1", "+15550100", "+15550199", UUID(int=7))


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


def tokens(secret: str = SECRET, clock: Clock | None = None, spent: SpentHere | None = None) -> StreamTokens:
    clock = clock or Clock()
    return StreamTokens(secret, spent or SpentHere(clock_s=clock), ttl_s=60, clock_s=clock)


@pytest.mark.parametrize("bridged", [True, False])
@pytest.mark.parametrize("returning", [True, False])
async def test_a_token_says_what_was_put_in(bridged: bool, returning: bool) -> None:
    book, grant = tokens(), replace(GRANT, bridged=bridged, returning=returning)
    assert await book.redeem(book.seal(grant)) == grant


async def test_a_token_of_the_version_before_is_a_call_that_we_listen_to(monkeypatch: pytest.MonkeyPatch) -> None:
    claims = [GRANT.call_id.bytes, GRANT.tenant_id.bytes, int(Clock()()) + 9, "CA1", "+15550100", "+15550199"]
    monkeypatch.setattr(infra.tokens, "_encode_claims", lambda _: msgspec.msgpack.encode(claims))
    assert await tokens().redeem(tokens().seal(GRANT)) == GRANT


async def test_a_token_opens_one_stream() -> None:
    book = tokens()
    token = book.seal(GRANT)
    await book.redeem(token)
    with pytest.raises(TokenError, match="used before"):
        await book.redeem(token)
    await book.redeem(book.seal(GRANT))  # another token for the same call is another stream


async def test_a_token_runs_out() -> None:
    clock = Clock()
    book = tokens(clock=clock)
    token = book.seal(GRANT)
    clock.now_s += 61
    with pytest.raises(TokenError, match="run out"):
        await book.redeem(token)


async def test_a_token_of_another_server_is_refused() -> None:
    with pytest.raises(TokenError, match="not a stream token"):
        await tokens("quite another secret").redeem(tokens().seal(GRANT))


@pytest.mark.parametrize("token", ["", "A", "====", "é" * 40, "x" * 451, "AAAA" * 20, "\x00"])
async def test_nonsense_is_refused(token: str) -> None:
    with pytest.raises(TokenError, match="not a stream token"):
        await tokens().redeem(token)


async def test_a_changed_token_is_refused() -> None:
    book = tokens()
    token = book.seal(GRANT)
    for place in range(0, len(token) - 1, 7):
        forged = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        with pytest.raises(TokenError):
            await book.redeem(forged)


def test_a_token_tells_nothing() -> None:
    book = tokens()
    assert "15550100" not in book.seal(GRANT)
    assert book.seal(GRANT) != book.seal(GRANT)


@settings(max_examples=50)
@given(st.text(max_size=64), st.none() | st.text(max_size=400), st.none() | st.text(max_size=400))
def test_a_token_fits_into_a_parameter(call_sid: str, from_number: str | None, to_number: str | None) -> None:
    if len(call_sid.encode("utf-8", "ignore")) > 64:
        return
    book = tokens()
    grant = StreamGrant(UUID(int=1), call_sid, from_number, to_number, bridged=True, returning=True)
    assert len(book.seal(grant)) <= MAX_TOKEN_CHARS


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="16 characters"):
        tokens("short")


async def test_memory_of_spent_tokens_is_bounded() -> None:
    clock = Clock()
    spent = SpentHere(3, clock_s=clock)
    assert [await spent.spend(name, ttl) for name, ttl in (("a", 9), ("b", 5), ("c", 9), ("a", 9))] == [
        True,
        True,
        True,
        False,
    ]
    assert await spent.spend("d", 9)  # full: b, which runs out first, is forgotten
    assert not await spent.spend("c", 9)
    clock.now_s += 10
    assert await spent.spend("a", 9)


def test_one_call_has_one_id() -> None:
    assert twilio_call_id("CA1") == twilio_call_id("CA1") != twilio_call_id("CA2")
    assert twilio_call_id("CA1", UUID(int=1)) != twilio_call_id("CA1", UUID(int=2))


def test_a_user_has_a_name_that_twilio_takes() -> None:
    user = uuid4()
    assert client_identity(user).isalnum()
    assert user_of_client(f"client:{client_identity(user)}") == user
    for other in (
        "",
        "client:",
        client_identity(user),
        "client:ann",
        f"client:{user}",
        f"sip:{user.hex}@x",
        "+15550100",
    ):
        assert user_of_client(other) is None
