"""Streams whose tokens are revoked."""

from typing import Any, cast

from infra.model import DEFAULT_TENANT
from media_gateway.senders import Sender, Senders


async def test_a_stream_that_cannot_be_cut_off_keeps_no_other() -> None:
    senders = Senders(cast("Any", None))
    sender = Sender(None, DEFAULT_TENANT, "sender", b"d")
    ended: list[str] = []

    async def broken() -> None:
        raise RuntimeError("a fault")

    async def fine() -> None:
        ended.append("fine")

    with senders.held(sender, broken), senders.held(sender, fine):
        await senders._end({b"d"})
    assert ended == ["fine"]
