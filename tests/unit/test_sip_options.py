"""What the settings make of the SIP door, and what doctor says of it."""

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from infra.doctor import check_sip
from infra.settings import Settings, SettingsError, read_settings
from media_gateway.transports.sip.options import Account, SipUnusable, sip_options
from tests.certificates import write_certificate


def settings(**values: Any) -> Settings:
    return read_settings(**{"sip_port": 5060, **values})


def test_without_a_setting_there_is_no_door() -> None:
    assert sip_options(settings()) is None
    (check,) = check_sip(settings())
    assert (check.name, check.ok) == ("sip", None)


def test_it_listens_where_the_server_does_unless_told_otherwise() -> None:
    found = sip_options(settings(sip_trunks="192.0.2.0/24", hearline_host="192.0.2.1"))
    assert found is not None
    assert (found.host, found.port, found.trunks) == ("192.0.2.1", 5060, ("192.0.2.0/24",))
    elsewhere = sip_options(settings(sip_host="192.0.2.2"))
    assert elsewhere is not None
    assert elsewhere.host == "192.0.2.2"


@pytest.mark.parametrize(
    ("register", "account"),
    [
        ("sip:me@pbx.test", Account("me", "pbx.test", 5060, "udp", "secret")),
        ("sip:me@pbx.test:5070;transport=tcp", Account("me", "pbx.test", 5070, "tcp", "secret")),
        ("sip:me@pbx.test;transport=tls", Account("me", "pbx.test", 5061, "tls", "secret")),
        ("sips:me@[2001:db8::1]", Account("me", "2001:db8::1", 5061, "tls", "secret")),
    ],
)
def test_an_account_is_read_from_its_address(register: str, account: Account) -> None:
    found = sip_options(settings(sip_register=register, sip_register_password="secret"))
    assert found is not None
    assert found.account == account
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    "values",
    [
        {"sip_register": "pbx.test"},
        {"sip_register": "sip:pbx.test"},
        {"sip_register": "sip:me@pbx.test;transport=ws"},
        {"sip_users": "name"},
        {"sip_users": "name:"},
        {"sip_trunks": "everyone"},
        {"sip_srtp": "never"},
    ],
)
def test_what_cannot_be_meant_is_refused(values: dict[str, str]) -> None:
    with pytest.raises(SettingsError):
        settings(**values)


def test_users_have_passwords_that_nobody_sees() -> None:
    read = settings(sip_users="pbx:a:b, desk:c")
    assert read.sip_passwords == {"pbx": "a:b", "desk": "c"}
    assert "a:b" not in repr(read)


def test_doctor_says_for_whom_it_is_open() -> None:
    def said(**values: Any) -> tuple[bool | None, str]:
        check = check_sip(settings(**values))[0]
        return check.ok, check.detail

    assert said(sip_host="192.0.2.1") == (
        False,
        "192.0.2.1:5060 is open for nobody: set SIP_TRUNKS, SIP_USERS or SIP_REGISTER",
    )
    assert said(sip_trunks="192.0.2.0/24") == (
        False,
        "127.0.0.1:5060 is reached from this machine alone: set SIP_HOST",
    )
    alone = (False, "127.0.0.1:5060 is reached from this machine alone: set SIP_HOST")
    assert said(sip_users="pbx:secret") == alone
    assert said(sip_register="sip:me@pbx.test") == alone
    assert said(sip_users="pbx:secret", sip_host="127.0.0.1")[0] is True
    assert said(sip_register="sip:me@127.0.0.1:5070;transport=tcp")[0] is True
    ok, detail = said(sip_host="192.0.2.1", sip_trunks="0.0.0.0/0")
    assert ok is False
    assert "everybody" in detail
    ok, detail = said(sip_host="192.0.2.1", sip_users="pbx:secret", sip_register="sip:me@pbx.test:5070")
    assert ok is True
    assert "by password pbx" in detail
    assert "pbx.test:5070" in detail
    assert "secret" not in detail


def test_a_certificate_has_to_be_readable_and_good(tmp_path: Path) -> None:
    with pytest.raises(SipUnusable, match="both"):
        sip_options(settings(sip_host="192.0.2.1", sip_tls_cert=tmp_path / "cert.pem"))
    with pytest.raises(SipUnusable, match="cannot be used"):
        sip_options(settings(sip_host="192.0.2.1", sip_tls_cert=tmp_path / "no.pem", sip_tls_key=tmp_path / "no.key"))
    certificate, key = write_certificate(tmp_path)
    values = {"sip_host": "192.0.2.1", "sip_trunks": "192.0.2.0/24", "sip_tls_cert": certificate, "sip_tls_key": key}
    found = sip_options(settings(**values))
    assert found is not None
    assert found.tls is not None
    checks = {check.name: check for check in check_sip(settings(**values))}
    assert checks["sip tls"].ok is True
    write_certificate(tmp_path, days=2)
    checks = {check.name: check for check in check_sip(settings(**values))}
    assert checks["sip tls"].ok is False
    assert f"{dt.datetime.now(dt.UTC) + dt.timedelta(days=2):%Y-%m-%d}" in checks["sip tls"].detail
