"""Whether an AudioHook handshake is signed with the secret that Genesys Cloud and this server share.

The signature is held against the public address, never against headers that a proxy may have changed.
"""

from __future__ import annotations

import time
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from infra.telemetry import logger
from media_gateway.protocols.http_signature import SignatureError, verify

log = logger(__name__)

_MAX_NONCES: Final = 10_000
_USUAL_PORTS: Final = {"https": 443, "http": 80}


class SignedHandshake:
    """A check of handshakes. Copies are known by their nonce, in this process."""

    def __init__(self, secret: str, public_base_url: str, *, clock_s: Callable[[], float] = time.time) -> None:
        """`secret`: base64, as Genesys Cloud has it. `public_base_url`: what Genesys calls this server."""
        url = urlsplit(public_base_url)
        self._secret = b64decode(secret)
        self._authority = url.netloc.rpartition("@")[2].lower().removesuffix(f":{_USUAL_PORTS.get(url.scheme)}")
        self._path = url.path.rstrip("/")
        self._clock_s = clock_s
        self._nonces: OrderedDict[str, float] = OrderedDict()

    def __call__(self, request: web.Request) -> bool:
        """Return whether the handshake is signed as it should be, and no copy."""
        now_s = self._clock_s()
        headers = {name.lower(): ", ".join(request.headers.getall(name)) for name in request.headers}
        try:
            signed = verify(
                headers,
                target=self._path + request.raw_path,
                authority=self._authority,
                secret=self._secret,
                now_s=now_s,
            )
        except SignatureError as error:
            log.info("audiohook signature refused", reason=str(error))
            return False
        while self._nonces and (len(self._nonces) >= _MAX_NONCES or next(iter(self._nonces.values())) < now_s):
            self._nonces.popitem(last=False)
        if signed.nonce in self._nonces:
            log.info("audiohook signature refused", reason="a copy")
            return False
        self._nonces[signed.nonce] = now_s + signed.valid_s
        return True
