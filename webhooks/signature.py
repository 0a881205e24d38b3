"""Who posted this form? Twilio's signature, checked with Twilio's own validator.

The signature covers the address under which Twilio knows us, so it is computed over PUBLIC_BASE_URL + path + query,
never over a Host header. Source: https://www.twilio.com/docs/usage/webhooks/webhooks-security
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web
from multidict import CIMultiDictProxy, MultiDict
from twilio.request_validator import RequestValidator, get_signature_algorithm

from infra.problem import problem
from infra.telemetry import logger

log = logger(__name__)

_SIGNATURE: Final = "X-Twilio-Signature"
_SETTINGS: Final = "X-Twilio-Webhooks-Signature-Settings"

_SID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

Form = MultiDict[str]


class FormError(Exception):
    """A request that is not a signed form of Twilio's; `response` tells the sender why."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.response = problem(status, detail)


class SignedForms:
    """Reads forms that Twilio posted and signed; turns all others away."""

    def __init__(
        self,
        auth_token: str | None,
        public_base_url: str,
        *,
        shared_keys: Mapping[str, str] | None = None,
        max_body_bytes: int = 64 * 1024,
        max_fields: int = 200,
        body_timeout_s: float = 10.0,
    ) -> None:
        """`public_base_url`: what Twilio calls this server. `shared_keys`: secrets by key id, beside the auth token."""
        self._auth_token = auth_token
        self._base = public_base_url.rstrip("/")
        self._shared_keys = dict(shared_keys or {})
        self._max_body_bytes = max_body_bytes
        self._max_fields = max_fields
        self._body_timeout_s = body_timeout_s

    async def read(self, request: web.Request) -> Form:
        """Return the request's form.

        Raises:
            FormError: 503 without a configured auth token; 403 unsigned or wrongly signed; 400, 408, 413 or 415
                for a body that is no form or too much of one.
        """
        try:
            return await self._read(request)
        except FormError as refused:
            log.info("webhook refused", path=request.path, status=refused.response.status)
            raise

    async def _read(self, request: web.Request) -> Form:
        if not self._auth_token:  # an empty token would make signatures that anyone can compute
            raise FormError(
                HTTPStatus.SERVICE_UNAVAILABLE, "TWILIO_AUTH_TOKEN is not set, so no webhook can be trusted."
            )
        signature = request.headers.get(_SIGNATURE)
        if not signature:
            raise FormError(HTTPStatus.FORBIDDEN, "X-Twilio-Signature is missing.")
        form = self._parse(await self._body(request))
        if not self._is_valid(request.raw_path, form, signature, request.headers):
            raise FormError(
                HTTPStatus.FORBIDDEN,
                "X-Twilio-Signature does not match: check TWILIO_AUTH_TOKEN, and that PUBLIC_BASE_URL is the address "
                "that Twilio posts to.",
            )
        return form

    async def _body(self, request: web.Request) -> bytes:
        if request.content_type != "application/x-www-form-urlencoded":
            raise FormError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send application/x-www-form-urlencoded.")
        try:
            async with asyncio.timeout(self._body_timeout_s):
                body = await request.read()  # bounded by the application's own limit
        except TimeoutError:
            raise FormError(HTTPStatus.REQUEST_TIMEOUT, "The body did not come in time.") from None
        if len(body) > self._max_body_bytes:
            raise FormError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"At most {self._max_body_bytes} bytes.")
        return body

    def _parse(self, body: bytes) -> Form:
        try:
            fields = parse_qsl(
                body.decode("ascii"),
                keep_blank_values=True,
                strict_parsing=bool(body),
                errors="strict",
                max_num_fields=self._max_fields,
            )
        except ValueError:  # also undecodable text
            raise FormError(HTTPStatus.BAD_REQUEST, "The body is not a form.") from None
        return MultiDict(fields)

    def _is_valid(self, raw_path: str, form: Form, signature: str, headers: CIMultiDictProxy[str]) -> bool:
        settings = headers.get(_SETTINGS, "")
        secret = self._shared_keys.get(_key_id(settings), self._auth_token or "")
        validator = RequestValidator(secret)
        return bool(validator.validate(self._base + raw_path, form, signature, get_signature_algorithm(settings)))


def sid(form: Form, name: str) -> str:
    """Return one of Twilio's ids. Raises FormError (400) when it is missing or malformed."""
    value = form.get(name, "")
    if not _SID.fullmatch(value):
        raise FormError(HTTPStatus.BAD_REQUEST, f"{name} is missing or malformed.")
    return value


def whole_number(text: str) -> int | None:
    """Return a count that a form holds, None when it holds none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None


def _key_id(settings: str) -> str:
    """Return the key named in 'key=ID,algorithm=NAME', else nothing."""
    for part in settings.split(","):
        name, _, value = part.partition("=")
        if name.strip() == "key":
            return value.strip()
    return ""
