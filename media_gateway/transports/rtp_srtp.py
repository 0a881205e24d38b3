"""RTP sealed with keys out of session descriptions (SRTP, RFC 3711; AEAD: RFC 7714): libsrtp's sessions."""

from __future__ import annotations

from typing import Final

import pylibsrtp
from pylibsrtp import Policy

from media_gateway.protocols.sdes import SdesPair, Suite

_PROFILES: Final[dict[Suite, int]] = {
    "AEAD_AES_256_GCM": Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
    "AEAD_AES_128_GCM": Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    "AES_CM_128_HMAC_SHA1_80": Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    "AES_CM_128_HMAC_SHA1_32": Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
}
_WINDOW: Final = 1024
"""Packets behind the newest that are still taken; what comes twice is refused."""


class Sealed:
    """Both ways of one stream."""

    def __init__(self, pair: SdesPair) -> None:
        self.pair = pair
        self._out = pylibsrtp.Session(_policy(pair.suite, pair.ours, Policy.SSRC_ANY_OUTBOUND))
        self._in = pylibsrtp.Session(_policy(pair.suite, pair.theirs, Policy.SSRC_ANY_INBOUND))

    def seal(self, packet: bytes) -> bytes | None:
        """Return an RTP packet of ours, sealed; None if it is too long for that."""
        return _tried(self._out.protect, packet)

    def seal_rtcp(self, packet: bytes) -> bytes | None:
        """Return an RTCP packet of ours, sealed."""
        return _tried(self._out.protect_rtcp, packet)

    def unseal(self, data: bytes) -> bytes | None:
        """Return an RTP packet of theirs; None if it is not sealed with their key, or came before."""
        return _tried(self._in.unprotect, data)

    def unseal_rtcp(self, data: bytes) -> bytes | None:
        """Return an RTCP packet of theirs; None as above."""
        return _tried(self._in.unprotect_rtcp, data)


def _policy(suite: Suite, key: bytes, ssrc_type: int) -> Policy:
    policy = Policy(key, ssrc_type, 0, _PROFILES[suite])
    policy.window_size = _WINDOW
    return policy


def _tried(work: object, data: bytes) -> bytes | None:
    try:
        done: bytes = work(data)  # type: ignore[operator]
    except (pylibsrtp.Error, ValueError):
        return None
    return done
