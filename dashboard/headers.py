"""The headers that every answer carries."""

from __future__ import annotations

import re
from typing import Final

from aiohttp import web

from infra.settings import Settings

_HOST: Final = re.compile(r"[A-Za-z0-9.-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")
_POLICY: Final = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'{sockets}; worker-src 'self'; media-src 'self' blob:; object-src 'none'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
_FIXED: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_HSTS: Final = "max-age=31536000"


class SecurityHeaders:
    """Adds them; a signal of aiohttp (on_response_prepare)."""

    def __init__(self, settings: Settings) -> None:
        self._https = is_https(settings)

    async def add(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add what the answer does not say itself."""
        headers = response.headers
        for name, value in _FIXED.items():
            headers.setdefault(name, value)
        headers.setdefault("Content-Security-Policy", content_security_policy(request.host))
        if self._https:
            headers.setdefault("Strict-Transport-Security", _HSTS)
        if request.path.startswith(("/api/", "/ws/")):
            headers.setdefault("Cache-Control", "no-store")


def content_security_policy(host: str) -> str:
    """Return the policy for a page of this host. Its sockets are named, for browsers whose 'self' leaves them out."""
    sockets = f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    return _POLICY.format(sockets=sockets)


def is_https(settings: Settings) -> bool:
    """Return whether people reach this server over TLS."""
    return (settings.public_base_url or "").startswith("https://")
