"""The keys of encrypted media in session descriptions: a=crypto lines (SDES, RFC 4568; AEAD: RFC 7714, section 14.2).

Bytes in, values out; nothing here encrypts. Keys are left out of every repr.
"""

from __future__ import annotations

import binascii
import re
import secrets
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from typing import Final, Literal, cast

Suite = Literal["AEAD_AES_256_GCM", "AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"]

KEY_BYTES: Final[dict[Suite, int]] = {
    "AEAD_AES_256_GCM": 32 + 12,
    "AEAD_AES_128_GCM": 16 + 12,
    "AES_CM_128_HMAC_SHA1_80": 16 + 14,
    "AES_CM_128_HMAC_SHA1_32": 16 + 14,
}
"""Of master key and salt together; the suites that we know."""
OFFERED: Final[tuple[Suite, ...]] = ("AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32")
"""What we offer, the one we like best first."""

_LINE: Final = re.compile(
    r"(\d{1,9})[ \t]+([A-Za-z0-9_]{1,64})[ \t]+(\S{1,512})((?:[ \t]+\S{1,64}){0,8})[ \t]*", re.ASCII
)
_INLINE: Final = re.compile(
    r"inline:([A-Za-z0-9+/]{1,128}={0,2})(?:\|(?:2\^\d{1,2}|\d{1,20}))?", re.ASCII | re.IGNORECASE
)
_HARMLESS: Final = re.compile(r"WSH=\d{1,5}", re.ASCII)


@dataclass(frozen=True, slots=True)
class CryptoLine:
    """One a=crypto line: with which suite and which key its sender encrypts."""

    tag: int
    """By which the answer names it."""
    suite: Suite
    key: bytes = field(repr=False)
    """Master key and salt."""


@dataclass(frozen=True, slots=True)
class SdesPair:
    """What was agreed for one stream: the suite, and a key for each way."""

    tag: int
    suite: Suite
    ours: bytes = field(repr=False)
    """Master key and salt of what we send."""
    theirs: bytes = field(repr=False)
    """Master key and salt of what they send."""


def parse_crypto(value: str) -> CryptoLine | None:
    """Return what an a=crypto line offers; None where it asks for what we cannot do.

    That is: an unknown suite, a key of the wrong length, several keys or a key index (MKI), or a session parameter
    that would weaken or change the encryption (RFC 4568, section 6.3).
    """
    line = _LINE.fullmatch(value)
    if line is None or line[2] not in KEY_BYTES:
        return None
    if not all(_HARMLESS.fullmatch(parameter) for parameter in line[4].split()):
        return None
    inline = _INLINE.fullmatch(line[3])
    if inline is None:
        return None
    suite = cast("Suite", line[2])
    try:
        key = b64decode(inline[1] + "=" * (-len(inline[1]) % 4), validate=True)
    except binascii.Error:
        return None
    return CryptoLine(int(line[1]), suite, key) if len(key) == KEY_BYTES[suite] else None


def new_line(tag: int, suite: Suite) -> CryptoLine:
    """Return a line with a new key of ours."""
    return CryptoLine(tag, suite, secrets.token_bytes(KEY_BYTES[suite]))


def crypto_value(line: CryptoLine) -> str:
    """Return the value of the line's a=crypto."""
    return f"{line.tag} {line.suite} inline:{b64encode(line.key).decode()}"
