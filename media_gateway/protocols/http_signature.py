"""HTTP message signatures with a shared secret, as Genesys AudioHook makes them over its handshake.

No I/O and no clock. Sources: draft-ietf-httpbis-message-signatures-11 (RFC 9421 came of it; for what is used here they
agree: sections 2.3, 2.5, 3.2 and 3.3.3 of the RFC) and the "Security" page of the AudioHook protocol.

Only the strict, canonical form is read, and only what such a handshake needs: header fields without parameters,
`@request-target` and `@authority`, hmac-sha256.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

REQUIRED: Final = frozenset(
    {
        *("@request-target", "@authority", "x-api-key"),
        *("audiohook-organization-id", "audiohook-session-id", "audiohook-correlation-id"),
    }
)
"""What an AudioHook signature must cover."""

_MAX_HEADER_CHARS: Final = 4_096
_MIN_NONCE_CHARS: Final = 22
"""16 bytes in base64."""
_MEMBER: Final = re.compile(
    r'([a-z*][a-z0-9_.*-]*)=(\(((?:"[a-z0-9@_-]+"(?: (?="))?)*)\)'
    r'((?:;[a-z]+=(?:[0-9]{1,15}|"[\x20\x21\x23-\x5b\x5d-\x7e]*"))*))'
)
_PARAMETER: Final = re.compile(r';([a-z]+)=(?:([0-9]{1,15})|"([^"]*)")')
_SIGNATURE: Final = re.compile(r"([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]{43}=):")
_NEXT: Final = re.compile(r"[ \t]*,[ \t]*")


class SignatureError(Exception):
    """A request that is not signed as it should be. `str(error)` says why and holds nothing of it."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature that holds."""

    nonce: str
    """To be remembered for `valid_s`: a request that shows it again is a copy."""
    valid_s: int


@dataclass(frozen=True, slots=True)
class _Input:
    components: tuple[str, ...]
    parameters: Mapping[str, str | int]
    text: str
    """As it was signed."""


def verify(
    headers: Mapping[str, str],
    *,
    target: str,
    authority: str,
    secret: bytes,
    now_s: float,
    max_age_s: int = 10,
    skew_s: int = 5,
) -> Signed:
    """Check a handshake's signature against the shared secret.

    `headers`: by lower-case name. `target`: path and query as the sender wrote them. `authority`: host, with its port
    unless it is the scheme's own. `now_s`: Unix time; the signature may be `max_age_s` old, and clocks may differ by
    `skew_s`.

    Raises:
        SignatureError: it is missing, malformed, incomplete, too old, from the future, or not made with this secret.
    """
    label, signed = _first_input(headers.get("signature-input", ""))
    signature = _signatures(headers.get("signature", "")).get(label)
    if signature is None:
        raise SignatureError("Signature and Signature-Input do not name the same signature")
    if not set(signed.components) >= REQUIRED or len(set(signed.components)) != len(signed.components):
        raise SignatureError("the signature does not cover all that it has to")
    valid_s = _check_parameters(signed.parameters, headers.get("x-api-key", ""), now_s, max_age_s, skew_s)
    lines = []
    for name in signed.components:
        value = {"@request-target": target, "@authority": authority}.get(name) or headers.get(name, "").strip()
        if not value or (name.startswith("@") and name not in REQUIRED):
            raise SignatureError("the signature covers something that is not there")
        lines.append(f'"{name}": {value}')
    lines.append(f'"@signature-params": {signed.text}')
    made = hmac.digest(secret, "\n".join(lines).encode("utf-8", "surrogateescape"), hashlib.sha256)
    if not hmac.compare_digest(made, signature):
        raise SignatureError("the signature was not made with our secret, or over another request")
    return Signed(str(signed.parameters["nonce"]), valid_s)


def _check_parameters(
    parameters: Mapping[str, str | int], api_key: str, now_s: float, max_age_s: int, skew_s: int
) -> int:
    created, expires, nonce = parameters.get("created"), parameters.get("expires"), parameters.get("nonce")
    if parameters.get("alg", "hmac-sha256") != "hmac-sha256":
        raise SignatureError("only hmac-sha256 is supported")
    if not isinstance(nonce, str) or len(nonce) < _MIN_NONCE_CHARS:
        raise SignatureError("a nonce of fewer than 16 bytes")
    if not isinstance(created, int) or created > now_s + skew_s or created + max_age_s < now_s - skew_s:
        raise SignatureError("the signature is too old, or from the future")
    if expires is not None and (not isinstance(expires, int) or expires < now_s - skew_s):
        raise SignatureError("the signature has expired")
    key_id = parameters.get("keyid")
    if not isinstance(key_id, str) or key_id != api_key:
        raise SignatureError("keyid and X-API-KEY differ")
    return max_age_s + 2 * skew_s


def _first_input(header: str) -> tuple[str, _Input]:
    """Return the first signature's label and what it covers."""
    found = _MEMBER.match(header.strip()) if len(header) <= _MAX_HEADER_CHARS else None
    rest = header.strip()[found.end() :] if found else "x"
    if found is None or (rest and not _NEXT.match(rest)):
        raise SignatureError("no Signature-Input, or one that cannot be read")
    label, text, components, parameters = found.groups()
    values: dict[str, str | int] = {}
    for name, number, string in _PARAMETER.findall(parameters):
        if name in values:
            raise SignatureError("a parameter that comes twice")
        values[name] = int(number) if number else string
    return label, _Input(tuple(part.strip('"') for part in components.split()), values, text)


def _signatures(header: str) -> dict[str, bytes]:
    found = {}
    if len(header) <= _MAX_HEADER_CHARS:
        for member in _NEXT.split(header.strip()):
            match = _SIGNATURE.fullmatch(member)
            if match is not None:
                found[match[1]] = b64decode(match[2])
    return found
