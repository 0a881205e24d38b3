"""Who may call: networks, users, the registrar; and by default nobody."""

import pytest

from media_gateway.transports.sip.trust import Origin, Trust


def test_by_default_nobody_may_call() -> None:
    trust = Trust()
    assert not trust.is_open
    assert trust.described() == "nobody"
    assert {trust.origin(address, "udp") for address in ("127.0.0.1", "::1", "10.0.0.1")} == {"stranger"}


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("192.0.2.7", "trunk"),
        ("::ffff:192.0.2.7", "trunk"),
        ("192.0.3.7", "stranger"),
        ("2001:db8::5", "trunk"),
        ("fe80::1%eth0", "stranger"),
        ("pbx.example", "stranger"),
        ("", "stranger"),
    ],
)
def test_networks_may_call_without_a_password(address: str, origin: Origin) -> None:
    assert Trust(["192.0.2.0/24", "2001:db8::/32"]).origin(address, "tcp", 3) == origin


def test_the_registrars_calls_come_in_while_we_are_registered_there() -> None:
    trust = Trust()
    trust.registered("198.51.100.5", "udp", 0)
    assert trust.origin("198.51.100.5", "udp") == "registrar"
    assert trust.origin("198.51.100.6", "udp") == "stranger"
    trust.unregistered()
    assert trust.origin("198.51.100.5", "udp") == "stranger"


def test_a_registrar_asked_over_tls_is_not_believed_in_a_datagram() -> None:
    trust = Trust()
    trust.registered("198.51.100.5", "tls", 4)
    assert trust.origin("198.51.100.5", "udp") == "stranger"
    assert trust.origin("198.51.100.5", "tcp", 9) == "stranger"
    assert trust.origin("198.51.100.5", "tls", 4) == "registrar", "over our own connection"
    assert trust.origin("198.51.100.5", "tls", 7) == "registrar", "over one that it made"
    assert trust.origin("198.51.100.6", "tls", 7) == "stranger"


def test_it_says_for_whom_it_is_open_without_passwords() -> None:
    trust = Trust(["10.0.0.0/8"], {"pbx": "hunter2", "desk": "hunter3"})
    assert trust.is_open
    assert trust.described() == "without a password 10.0.0.0/8; 2 SIP users by password"
