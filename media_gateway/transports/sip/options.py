"""What the SIP door is told by the settings, and what it says of itself."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, cast

from infra.settings import Settings
from media_gateway.protocols.sip.grammar import parse_uri

Way = Literal["udp", "tcp", "tls"]
_PORTS: Final[dict[Way, int]] = {"udp": 5060, "tcp": 5060, "tls": 5061}


class SipUnusable(Exception):
    """The SIP door cannot be opened as it is set up; `str(error)` says what to change."""


@dataclass(frozen=True, slots=True)
class Account:
    """Ours at a registrar."""

    user: str
    host: str
    port: int
    way: Way
    password: str = field(repr=False)

    @property
    def place(self) -> str:
        """Where it is, in a word."""
        return f"{self.host}:{self.port} ({self.way})"

    @property
    def domain(self) -> str:
        """The registrar's own address, as URIs write it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.way] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class SipOptions:
    """Where the door is, for whom it is open, and how."""

    host: str = "127.0.0.1"
    port: int = 5060
    tls_port: int = 5061
    tls: ssl.SSLContext | None = None
    public_host: str | None = None
    trunks: tuple[str, ...] = ()
    users: dict[str, str] = field(default_factory=dict, repr=False)
    account: Account | None = None
    srtp: Literal["allowed", "required"] = "allowed"
    rtp_ports: range = range(10_000, 11_000)


def sip_options(settings: Settings) -> SipOptions | None:
    """Return what the settings say; None: there is no SIP door.

    Raises:
        SipUnusable: a certificate cannot be read.
    """
    if not settings.sip_is_open:
        return None
    first, last = map(int, settings.rtp_ports.split("-"))
    return SipOptions(
        host=settings.sip_host or settings.hearline_host,
        port=settings.sip_port,
        tls_port=settings.sip_tls_port,
        tls=_server_tls(settings.sip_tls_cert, settings.sip_tls_key),
        public_host=settings.sip_public_host,
        trunks=settings.sip_trunks,
        users=settings.sip_passwords,
        account=_account(settings),
        srtp=settings.sip_srtp,
        rtp_ports=range(first, last + 1),
    )


def _server_tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise SipUnusable("SIP over TLS needs both SIP_TLS_CERT and SIP_TLS_KEY")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise SipUnusable(f"SIP_TLS_CERT and SIP_TLS_KEY cannot be used: {error.strerror or error}") from None
    return context


def _account(settings: Settings) -> Account | None:
    if settings.sip_register is None:
        return None
    uri = parse_uri(settings.sip_register)
    way = cast("Way", uri.parameter("transport") or ("tls" if uri.scheme == "sips" else "udp"))
    password = settings.sip_register_password
    return Account(
        user=uri.name,
        host=uri.host,
        port=uri.port or _PORTS[way],
        way=way,
        password=password.get_secret_value() if password else "",
    )
