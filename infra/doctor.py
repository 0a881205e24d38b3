"""What is in order on this machine and what is not, in words that say what to do."""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import socket
import ssl
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import aiohttp
import asyncpg
from cryptography import x509

from infra.bus.streams import BusError, open_redis
from infra.settings import Settings
from infra.store.database import StoreAway, missing_migrations

FREE_DISK_BYTES = 1024**3
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_RENEW_BEFORE: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `ok` is None where it is a choice, not a fault."""

    name: str
    ok: bool | None
    detail: str


def check_machine(settings: Settings) -> list[Check]:
    """Look at Python and the data directory."""
    version = ".".join(map(str, sys.version_info[:3]))
    checks = [Check("python", sys.version_info >= (3, 11), version)]
    data_dir = settings.hearline_data_dir
    nearest = next(path for path in (data_dir, *data_dir.parents) if path.exists())
    writable = os.access(nearest, os.W_OK)
    checks.append(Check("data directory", writable, f"{data_dir}" if writable else f"{nearest} is not writable"))
    free = shutil.disk_usage(nearest).free
    checks.append(Check("disk", free > FREE_DISK_BYTES, f"{free / 1024**3:.1f} GiB free"))
    return checks


async def check_server(settings: Settings) -> Check:
    """Look whether Hearline runs at the configured place and is ready, or could run there."""
    url = f"http://{settings.hearline_host}:{settings.hearline_port}"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
            session.get(f"{url}/readyz") as reply,
        ):
            state = await reply.json(content_type=None)
            away = [name for name, check in state["checks"].items() if not check["ok"]]
    except aiohttp.ClientConnectorError:
        port = check_port(settings)
        return Check("server", port.ok, f"not running; {port.detail}")
    except (aiohttp.ClientError, TimeoutError, ValueError, LookupError, TypeError, AttributeError):
        return Check("server", False, f"something else than Hearline answers at {url}: set HEARLINE_PORT")
    return Check("server", not away, f"running at {url}, " + (f"without {', '.join(away)}" if away else "ready"))


def check_port(settings: Settings) -> Check:
    """Look whether the port can be listened on."""
    place = f"{settings.hearline_host}:{settings.hearline_port}"
    try:
        family, _, _, _, address = socket.getaddrinfo(
            settings.hearline_host, settings.hearline_port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return Check("port", False, f"{place} cannot be listened on ({error.strerror}): set HEARLINE_PORT")
    return Check("port", True, f"{place} is free")


async def check_database(database_url: str) -> Check:
    """Look whether PostgreSQL answers and has all migrations."""
    try:
        connection = await asyncpg.connect(database_url, timeout=5)
    except (*StoreAway, asyncpg.PostgresError, ValueError) as error:
        return Check("postgresql", False, f"refuses: {_first_line(error)}")
    try:
        version = await connection.fetchval("SHOW server_version")
        missing = await missing_migrations(connection)
    finally:
        await connection.close()
    note = "up to date" if missing <= 0 else f"{missing} migrations to apply: run `hearline migrate`"
    return Check("postgresql", missing <= 0, f"{version.split()[0]}, {note}")


async def check_redis(redis_url: str) -> Check:
    """Look whether Redis answers and keeps what it is given."""
    try:
        client = open_redis(redis_url, timeout_s=3)
        try:
            version = (await client.info("server"))["redis_version"]
            append_only = (await client.info("persistence"))["aof_enabled"]
        finally:
            await client.aclose()
    except (*BusError, ValueError) as error:
        return Check("redis", False, f"refuses: {_first_line(error)}")
    if not append_only:
        return Check("redis", False, f"{version}, but a crash would lose audio: set `appendonly yes`")
    return Check("redis", True, f"{version}, append-only file on")


def check_twilio(settings: Settings) -> list[Check]:
    """Look whether Twilio could reach and would be believed."""
    if settings.twilio_token is None:
        return [Check("twilio", None, "TWILIO_AUTH_TOKEN is not set: Twilio cannot call in, `hearline call` can")]
    url = settings.public_base_url
    if url is None:
        return [Check("twilio", False, "PUBLIC_BASE_URL is not set: Twilio's signatures cover it")]
    if not url.startswith("https://"):
        return [Check("twilio", False, f"{url}: Twilio streams to wss:// only, so this must be https://")]
    return [Check("twilio", True, f"number -> {url}/twilio/voice")]


def check_sip(settings: Settings) -> list[Check]:
    """Look where the SIP door is, for whom it is open, and whether they can reach it."""
    if not settings.sip_is_open:
        return [Check("sip", None, "no SIP door: SIP_TRUNKS, SIP_USERS or SIP_REGISTER opens one")]
    host = settings.sip_host or settings.hearline_host
    place = f"{host}:{settings.sip_port}"
    who = []
    if settings.sip_trunks:
        who.append(f"without a password {', '.join(settings.sip_trunks)}")
    if settings.sip_users:
        who.append(f"by password {', '.join(settings.sip_passwords)}")
    if settings.sip_register:
        who.append(f"the server at {settings.sip_register.partition('@')[2]}, where it registers")
    if not who:
        checks = [Check("sip", False, f"{place} is open for nobody: set SIP_TRUNKS, SIP_USERS or SIP_REGISTER")]
    elif any(ipaddress.ip_network(network).prefixlen == 0 for network in settings.sip_trunks):
        checks = [Check("sip", False, f"{place} takes calls from everybody: SIP_TRUNKS names all addresses")]
    elif host in _LOOPBACK and not _sip_peers_are_here(settings):
        checks = [Check("sip", False, f"{place} is reached from this machine alone: set SIP_HOST")]
    else:
        checks = [Check("sip", True, f"{place} (UDP, TCP) takes calls: {'; '.join(who)}")]
    if settings.sip_tls_cert is not None or settings.sip_tls_key is not None:
        checks.append(_check_sip_tls(settings))
    first, last = map(int, settings.rtp_ports.split("-"))
    checks.append(Check("rtp", last > first, f"{settings.rtp_ports}: room for {(last - first + 1) // 2} SIP calls"))
    return checks


def _sip_peers_are_here(settings: Settings) -> bool:
    """Return whether a door on loopback is what was meant: it was asked for, or all who are named are here."""
    if settings.sip_trunks:
        return all(ipaddress.ip_network(network).is_loopback for network in settings.sip_trunks)
    if settings.sip_register:
        return re.search(r"@(127\.|\[::1\]|localhost\b)", settings.sip_register) is not None
    return settings.sip_host is not None


def check_audiosocket(settings: Settings) -> list[Check]:
    """Look where the AudioSocket door is, and for whom it is open."""
    host, trunks = settings.audiosocket_host, settings.audiosocket_trunks
    if host is None:
        return [Check("audiosocket", None, "no AudioSocket door: AUDIOSOCKET_HOST opens one")]
    place = f"{host}:{settings.audiosocket_port}"
    if any(ipaddress.ip_network(network).prefixlen == 0 for network in trunks):
        return [
            Check("audiosocket", False, f"{place} takes calls from everybody: AUDIOSOCKET_TRUNKS names all addresses")
        ]
    if host in _LOOPBACK and not all(ipaddress.ip_network(network).is_loopback for network in trunks):
        return [Check("audiosocket", False, f"{place} is reached from this machine alone: set AUDIOSOCKET_HOST")]
    who = f"announced calls{', and unannounced ones from ' + ', '.join(trunks) if trunks else ''}"
    return [Check("audiosocket", True, f"{place} takes {who}")]


def _check_sip_tls(settings: Settings) -> Check:
    certificate, key = settings.sip_tls_cert, settings.sip_tls_key
    if certificate is None or key is None:
        return Check("sip tls", False, "both SIP_TLS_CERT and SIP_TLS_KEY are needed")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
        until = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        return Check("sip tls", False, f"SIP_TLS_CERT and SIP_TLS_KEY cannot be used: {_first_line(error)}")
    left = until - datetime.now(UTC)
    detail = f"port {settings.sip_tls_port}, certificate good until {until:%Y-%m-%d}"
    return Check("sip tls", left > _RENEW_BEFORE, detail if left > _RENEW_BEFORE else f"{detail}: renew it")


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
