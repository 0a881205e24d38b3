"""DTLS-SRTP: aiortc's, over datagrams that a peer hands in and sends out itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, cast

from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport
from aiortc.rtcicetransport import RTCIceTransport
from pylibsrtp import Session

from media_gateway.protocols.rtc_sdp import Setup

QUEUE: Final = 64
"""Datagrams that may wait; a handshake has a dozen."""

_ALERT: Final = 21
_CERTIFICATE_LIFE: Final = timedelta(days=1)


class DtlsPath:
    """What aiortc's DTLS needs of an ICE transport."""

    role = "controlled"

    def __init__(self, send_now: Callable[[bytes], bool]) -> None:
        self._send_now = send_now
        self._inbox: asyncio.Queue[bytes] = asyncio.Queue(QUEUE)

    def put(self, data: bytes) -> None:
        """Take a datagram; what comes too fast is lost, as on the way.

        So is an alert that is not encrypted: anybody can write one. Who has a true one to send falls silent, too.
        """
        if not self._inbox.full() and not (data[0] == _ALERT and data[3:5] == b"\0\0"):
            self._inbox.put_nowait(data)

    async def _recv(self) -> bytes:
        return await self._inbox.get()

    async def _send(self, data: bytes) -> None:
        self._send_now(data)


def dtls_transport(path: DtlsPath, setup: Setup) -> RTCDtlsTransport:
    """Return a DTLS endpoint; 'active' begins the handshake. Its state becomes 'closed' when the other side closes."""
    transport = RTCDtlsTransport(cast("RTCIceTransport", path), [_certificate()])
    transport._set_role("client" if setup == "active" else "server")
    return transport


def fingerprint(transport: RTCDtlsTransport) -> tuple[str, str]:
    """Return (digest, value) of the certificate that it shows."""
    told = transport.getLocalParameters().fingerprints[0]
    return told.algorithm, told.value


async def shake_hands(transport: RTCDtlsTransport, expected: Sequence[tuple[str, str]]) -> tuple[Session, Session]:
    """Connect; return the SRTP sessions of what comes in and what goes out.

    Raises:
        ConnectionError: it failed, or the certificate on the other side is not the expected one.
    """
    fingerprints = [RTCDtlsFingerprint(digest, value) for digest, value in expected]
    await transport.start(RTCDtlsParameters(fingerprints))
    if transport.state != "connected":
        raise ConnectionError("the DTLS handshake failed, or the fingerprint is another's")
    return transport._rx_srtp, transport._tx_srtp


async def say_goodbye(transport: RTCDtlsTransport) -> None:
    """Tell the other side, and end the task that reads."""
    reading: asyncio.Future[None] | None = transport._task
    await transport.stop()
    if reading is not None:
        await asyncio.gather(reading, return_exceptions=True)


_certificates: Final[list[tuple[datetime, RTCCertificate]]] = []


def _certificate() -> RTCCertificate:
    """Return what this server shows to all its peers today; making one for each call would prove nothing more."""
    now: datetime = datetime.now(UTC)
    if not _certificates or now - _certificates[0][0] > _CERTIFICATE_LIFE:
        _certificates[:] = [(now, RTCCertificate.generateCertificate())]
    return _certificates[0][1]
