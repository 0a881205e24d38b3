"""Where the AudioSocket door is open, for whom, and what is said about it."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from infra.doctor import check_audiosocket
from infra.settings import Settings, SettingsError, read_settings
from media_gateway.transports.audiosocket import Address, address_of


def settings(**values: Any) -> Settings:
    return read_settings(_env_file=None, **values)


def test_by_default_there_is_no_door() -> None:
    assert address_of(settings()) is None
    (check,) = check_audiosocket(settings())
    assert check.ok is None


def test_the_door_is_where_it_is_told_to_be() -> None:
    assert address_of(settings(audiosocket_host="10.0.0.1")) == Address("10.0.0.1", 9092)
    assert address_of(settings(audiosocket_host="::1", audiosocket_port=9093)) == Address("::1", 9093)


@pytest.mark.parametrize(
    ("values", "is_fine", "says"),
    [
        ({"audiosocket_host": "10.0.0.1"}, True, "announced calls"),
        (
            {"audiosocket_host": "10.0.0.1", "audiosocket_trunks": "10.0.0.0/24"},
            True,
            "unannounced ones from 10.0.0.0/24",
        ),
        ({"audiosocket_host": "127.0.0.1", "audiosocket_trunks": "127.0.0.1"}, True, "127.0.0.1"),
        ({"audiosocket_host": "127.0.0.1", "audiosocket_trunks": "10.0.0.0/24"}, False, "this machine alone"),
        ({"audiosocket_host": "0.0.0.0", "audiosocket_trunks": "0.0.0.0/0"}, False, "everybody"),
        ({"audiosocket_host": "::", "audiosocket_trunks": "::/0"}, False, "everybody"),
    ],
)
def test_the_doctor_says_for_whom_it_is_open(values: dict[str, str], is_fine: bool, says: str) -> None:
    (check,) = check_audiosocket(settings(**values))
    assert check.ok is is_fine
    assert says in check.detail


@pytest.mark.parametrize(
    "values",
    [
        {"audiosocket_trunks": "10.0.0.1/24"},
        {"audiosocket_trunks": "nobody"},
        {"audiosocket_port": "70000"},
        {"audiohook_client_secret": "no base64!"},
        {"audiohook_client_secret": b64encode(b"too short").decode()},
    ],
)
def test_what_cannot_be_meant_is_refused(values: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as refusal:
        settings(**values)
    assert str(refusal.value).startswith(next(iter(values)).upper())


def test_a_good_secret_is_kept_secret() -> None:
    secret = b64encode(b"a secret shared with Genesys Cloud").decode()
    told = settings(audiohook_client_secret=secret)
    assert told.audiohook_client_secret is not None
    assert told.audiohook_client_secret.get_secret_value() == secret
    assert secret not in repr(told)
