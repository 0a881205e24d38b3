"""How a browser and we find each other: STUN and TURN servers, and where our media sockets are."""

from __future__ import annotations

import hmac
import time
from base64 import b64encode
from typing import Final

from infra.settings import Settings
from media_gateway.transports.rtc_guard import IceServer, Network

CREDENTIAL_S: Final = 12 * 3600
"""How long a TURN credential holds: longer than any call."""


def ice_servers(settings: Settings, *, now_s: float | None = None) -> list[IceServer]:
    """Return the servers of ICE_SERVERS.

    With TURN_SECRET the TURN credential is made for this moment, as coturn's `use-auth-secret` checks it: the name is
    the time at which it runs out, the password its HMAC-SHA1 (draft-uberti-behave-turn-rest-00, section 2.2).
    """
    stun = tuple(url for url in settings.ice_servers if url.startswith("stun"))
    turn = tuple(url for url in settings.ice_servers if url.startswith("turn"))
    servers = [IceServer(stun)] if stun else []
    if turn:
        servers.append(IceServer(turn, *_credential(settings, time.time() if now_s is None else now_s)))
    return servers


def _credential(settings: Settings, now_s: float) -> tuple[str, str] | tuple[None, None]:
    if settings.turn_secret is not None:
        name = str(int(now_s) + CREDENTIAL_S)
        digest = hmac.digest(settings.turn_secret.get_secret_value().encode(), name.encode(), "sha1")
        return name, b64encode(digest).decode()
    if settings.turn_username is not None and settings.turn_password is not None:
        return settings.turn_username, settings.turn_password.get_secret_value()
    return None, None


def media_network(settings: Settings) -> Network:
    """Return where media sockets are opened: on RTP_PORTS of WEBRTC_HOSTS, or of all the machine's addresses.

    Also on loopback where the server is: Firefox pairs no loopback address, Chromium no other without a network.
    """
    first, last = map(int, settings.rtp_ports.split("-"))
    local = settings.hearline_host in {"127.0.0.1", "::1", "localhost"}
    return Network(on_loopback=local, addresses=settings.webrtc_hosts, ports=range(first, last + 1))
