"""Who may speak on a stream: the side that was announced, wherever its NAT puts it, and nobody else."""

from __future__ import annotations

import pytest

from media_gateway.protocols.rtp_source import PATIENCE_S, Source, canonical

PHONE = ("192.0.2.9", 6_000)
STRANGER = ("203.0.113.66", 6_000)


def admitted(source: Source, address: tuple[str, int], packets: int, *, since_s: float = 0.0, first: int = 0) -> int:
    """How many of so many packets, 20 ms apart, are taken."""
    return sum(source.admits(address, first + number & 0xFFFF, since_s + number * 0.02) for number in range(packets))


def test_the_announced_address_speaks_and_is_spoken_to() -> None:
    source = Source(PHONE, "192.0.2.9")
    assert source.target == PHONE
    assert source.taken is None
    assert admitted(source, PHONE, 50) == 50
    assert source.taken == PHONE


def test_strangers_say_nothing_before_and_after() -> None:
    source = Source(PHONE, "192.0.2.9")
    assert admitted(source, STRANGER, 1_000) == 0
    assert admitted(source, ("192.0.2.10", 6_000), 1_000, since_s=20) == 0
    assert admitted(source, PHONE, 1, since_s=40) == 1
    assert admitted(source, STRANGER, 1_000, since_s=41) == 0
    assert admitted(source, ("192.0.2.9", 6_001), 1_000, since_s=61) == 0
    assert source.target == PHONE


def test_another_port_of_the_same_host_has_to_wait() -> None:
    source, other = Source(PHONE, "192.0.2.9"), ("192.0.2.9", 7_000)
    assert admitted(source, other, 140) == 0
    assert admitted(source, other, 100, since_s=2.8, first=140) == 90
    assert source.target == other
    assert admitted(source, ("192.0.2.9", 7_002), 1_000, since_s=5) == 0
    assert source.admits(PHONE, 1, 26)  # whoever was announced comes before all
    assert not source.admits(other, 500, 26.02)


def test_another_port_never_gets_in_beside_the_announced_one() -> None:
    source, other = Source(PHONE, "192.0.2.9"), ("192.0.2.9", 7_000)
    assert admitted(source, other, 100) == 0
    assert source.admits(PHONE, 1, 2.1)
    assert admitted(source, other, 1_000, since_s=2.2, first=100) == 0


def test_of_two_that_send_at_once_neither_gets_in() -> None:
    source, theirs = Source(("10.0.0.5", 6_000), "8.8.4.4"), ("8.8.8.8", 6_000)
    for number in range(1_000):
        now_s = number * 0.02
        assert not source.admits(theirs, number, now_s)
        assert not source.admits(STRANGER, number, now_s + 0.01)
    assert admitted(source, theirs, 200, since_s=20.0, first=1_000) > 0  # the stranger has given up


def test_packets_here_and_there_prove_nothing() -> None:
    source, other = Source(PHONE, None), ("192.0.2.9", 7_000)
    for number in range(20):
        assert not source.admits(other, number, number * 0.6)
    for number in range(400):  # numbers that do not follow on
        assert not source.admits(other, number * 1_000 & 0xFFFF, 20 + number * 0.02)
    assert admitted(source, other, 100, since_s=40 + PATIENCE_S) == 0


def test_behind_a_nat_the_signallings_host_speaks() -> None:
    source = Source(("10.0.0.5", 6_000), "198.51.100.7")
    assert source.target == ("10.0.0.5", 6_000)
    assert admitted(source, STRANGER, 100) == 0
    mapped = ("198.51.100.7", 43_210)
    assert admitted(source, mapped, 10) == 10
    assert source.target == mapped
    assert admitted(source, ("198.51.100.7", 43_211), 1_000, since_s=1) == 0
    assert source.admits(mapped, 11, 22)


def test_behind_a_nat_and_a_proxy_somebody_has_to_wait() -> None:
    mapped = ("8.8.4.4", 43_210)
    source = Source(("10.0.0.5", 6_000), "9.9.9.9")
    assert admitted(source, mapped, 140) == 0
    assert admitted(source, mapped, 100, since_s=2.8, first=140) == 90
    assert admitted(source, STRANGER, 1_000, since_s=5) == 0
    between_neighbours = Source(("10.0.0.5", 6_000), "10.0.0.2")
    assert admitted(between_neighbours, ("10.0.0.9", 6_000), 1_000) == 0


@pytest.mark.parametrize("signalled_from", ["198.51.100.7", None])
def test_without_an_announced_address(signalled_from: str | None) -> None:
    source = Source(None, signalled_from)
    assert source.target is None
    if signalled_from is not None:
        assert admitted(source, STRANGER, 10) == 0
    assert admitted(source, ("198.51.100.7", 5), 10) == 10
    assert admitted(source, STRANGER, 10, since_s=1) == 0


def test_a_new_announcement_ends_the_old_one() -> None:
    source = Source(PHONE, "192.0.2.9")
    assert source.admits(PHONE, 1, 0)
    source.announce(PHONE, "192.0.2.9")
    assert source.taken == PHONE
    moved = ("192.0.2.20", 8_000)
    source.announce(moved, "192.0.2.9")
    assert (source.taken, source.target) == (None, moved)
    assert not source.admits(PHONE, 2, 0.02) or source.target == PHONE  # the signalling's host may be behind a NAT
    assert source.admits(moved, 1, 0.04)
    assert not source.admits(PHONE, 3, 0.06)


def test_nobody_far_away_sends_us_to_ourselves() -> None:
    source = Source(("127.0.0.1", 6_379), "192.0.2.9")
    assert source.target is None
    assert Source(("127.0.0.1", 6_000), "127.0.0.1").target == ("127.0.0.1", 6_000)
    assert Source(("::1", 6_000), "2001:db8::1").target is None


def test_authentic_packets_move_the_stream_when_the_old_address_is_silent() -> None:
    source = Source(PHONE, "192.0.2.9")
    source.authentic(PHONE, 0)
    roamed = ("203.0.113.8", 5_000)
    source.authentic(roamed, 0.5)  # a copy sent from elsewhere takes nothing away
    assert source.target == PHONE
    source.authentic(roamed, 1.6)
    assert source.target == roamed


def test_addresses_in_one_form() -> None:
    assert canonical("::ffff:192.0.2.1") == "192.0.2.1"
    assert canonical("2001:DB8:0:0::1") == "2001:db8::1"
    assert canonical("fe80::1%eth0") == "fe80::1"
    assert canonical("host") is None
    assert canonical(None) is None
