"""A browser's audio connection: ICE, DTLS-SRTP and Opus packets both ways, without a decoder, a buffer or a thread.

aiortc carries DTLS, libsrtp the media; ICE stands behind the filter of `rtc_guard`. Packets that come in are handed on
raw, as they arrive; what is sent is sent at once.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Final

import pylibsrtp
from aioice import Candidate as IceCandidate
from aiortc.rtcdtlstransport import RTCDtlsTransport

from infra.telemetry import logger
from media_gateway.ports import PeerState
from media_gateway.protocols import rtp
from media_gateway.protocols.rtc_sdp import MAX_CANDIDATES, Candidate, Offer, Ours, answer, parse_offer
from media_gateway.protocols.rtp_accounts import Accounts, Quality
from media_gateway.protocols.sdp import OPUS_HZ
from media_gateway.transports.rtc_dtls import DtlsPath, dtls_transport, fingerprint, say_goodbye, shake_hands
from media_gateway.transports.rtc_guard import GuardedConnection, IceServer, Network

PACKET_MS: Final = 20
PACKET_TICKS: Final = OPUS_HZ * PACKET_MS // 1000
MAX_PAYLOAD_BYTES: Final = 1275
"""The longest Opus frame (RFC 6716, section 3.2.1)."""

_REPORT_S: Final = 1.0

_log = logger(__name__)


class NoMediaSockets(Exception):
    """No UDP socket could be opened: no address, or no free port in the range."""


@dataclass(frozen=True, slots=True)
class PeerLimits:
    """How long a peer is waited for, and how much it may send."""

    connect_within_s: float = 20.0
    """From the answer to media."""
    lost_after_s: float = 7.5
    """Without a sign of life, of which there is one every 2 s or so even where nobody speaks."""
    consent_s: float = 30.0
    """Without consent to be sent to (RFC 7675, section 5.1)."""
    packets_a_second: int = 500
    """Beyond it packets are dropped unread; 20 ms packets make 50."""


_NETWORK: Final = Network()
_LIMITS: Final = PeerLimits()


class RtcPeer:
    """One connection: `answer` its offer, then have somebody await `run`, which carries it to its end.

    All of it belongs to the event loop.
    """

    def __init__(
        self,
        ice_servers: Sequence[IceServer] = (),
        *,
        on_packet: Callable[[int, bytes, float], None],
        on_state: Callable[[PeerState], None],
        on_key: Callable[[str], None] | None = None,
        network: Network = _NETWORK,
        limits: PeerLimits = _LIMITS,
    ) -> None:
        """`on_packet` takes each Opus packet as it comes, perhaps twice or out of turn: its 32-bit RTP timestamp at
        48 kHz, its payload, and time.monotonic() at its arrival.

        `on_state` takes 'connecting', 'connected', and in the end 'closed' (the browser closed it) or 'lost' (it is
        silent, or could not be reached); after that, and after `disconnect`, nothing is called any more.

        `on_key` takes pressed keys that come as telephone events; without it the browser is not told of them.
        """
        self._on_packet, self._on_state, self._on_key = on_packet, on_state, on_key
        self._limits = limits
        self._ice = GuardedConnection(ice_servers, network, self._on_datagram)
        self._path = DtlsPath(self._ice.send_now)
        self._dtls: RTCDtlsTransport | None = None
        self._offer: Offer | None = None
        self._candidates = 0
        self._state: PeerState | None = None
        self._over = asyncio.Event()
        self._released = asyncio.Event()
        self._runs = False

        self._srtp_in: pylibsrtp.Session | None = None
        self._srtp_out: pylibsrtp.Session | None = None
        self._budget = limits.packets_a_second
        self._forged = 0
        self._keys = rtp.KeyReader()
        self._cname = secrets.token_hex(8)
        self._accounts = Accounts(secrets.randbits(32), self._cname, OPUS_HZ)
        self._sequence = secrets.randbits(15)
        self._timestamp = secrets.randbits(32)
        self._paused = True

    @property
    def state(self) -> PeerState | None:
        """The last state; None before `run`."""
        return self._state

    @property
    def strays(self) -> int:
        """How many datagrams were thrown away: from strangers, not readable, or not sealed with our keys."""
        return self._ice.strays + self._forged

    async def answer(self, offer_sdp: str) -> str:
        """Open the sockets and return the answer. Once only; if it raises, `close`.

        Raises:
            OfferRefused: not an offer, without audio, without Opus, or without what WebRTC demands.
            NoMediaSockets: there is no socket to offer.
        """
        offer = self._offer = parse_offer(offer_sdp)
        await self._ice.gather_candidates()
        ours = self._ice.local_candidates
        if not ours:
            raise NoMediaSockets
        self._ice.remote_username, self._ice.remote_password = offer.ufrag, offer.password
        for candidate in offer.candidates:
            await self.add_candidate(candidate)
        self._dtls = dtls_transport(self._path, offer.setup)
        self._dtls.on("statechange", self._on_dtls_state)
        return answer(
            offer,
            Ours(
                session_id=secrets.randbits(62),
                ufrag=self._ice.local_username,
                password=self._ice.local_password,
                fingerprints=[fingerprint(self._dtls)],
                candidates=[candidate.to_sdp() for candidate in ours],
                default=(ours[0].host, ours[0].port),
                ssrc=self._accounts.sending.ssrc,
                cname=self._cname,
                with_keys=self._on_key is not None,
            ),
        )

    async def add_candidate(self, candidate: Candidate) -> None:
        """Take an address of the browser's. More than `MAX_CANDIDATES`, or one that leads nowhere, is left out."""
        address = ip_address(candidate.host)
        if self._candidates >= MAX_CANDIDATES or (address.is_loopback and not self._serves_loopback()):
            return
        self._candidates += 1
        await self._ice.add_remote_candidate(
            IceCandidate(
                candidate.foundation, 1, "udp", candidate.priority, candidate.host, candidate.port, candidate.kind
            )
        )

    async def run(self) -> None:
        """Carry the connection until it is lost or closed, then let go of everything."""
        self._runs = True
        try:
            async with asyncio.TaskGroup() as tasks:
                carrying = tasks.create_task(self._carry())
                await self._over.wait()
                carrying.cancel()
        finally:
            await self._release()

    def send(self, payload: bytes) -> None:
        """Send the next 20 ms, one Opus packet. Does nothing, but that time goes on, while there is no connection."""
        timestamp = self._timestamp
        self._timestamp = timestamp + PACKET_TICKS & 0xFFFFFFFF
        session, offer = self._srtp_out, self._offer
        if session is None or offer is None or self._over.is_set():
            return
        if offer.direction not in {"sendrecv", "sendonly"}:
            return
        if not 0 < len(payload) <= MAX_PAYLOAD_BYTES:
            return
        ssrc = self._accounts.sending.ssrc
        packet = rtp.rtp_packet(offer.opus, self._sequence, timestamp, ssrc, payload, marker=self._paused)
        self._sequence = self._sequence + 1 & 0xFFFF
        self._paused = False
        if self._ice.send_now(session.protect(packet)):
            self._accounts.sent(timestamp, len(payload), time.monotonic())

    def send_gap(self, packets: int = 1) -> None:
        """Let 20 ms, or several, pass in silence without sending anything."""
        self._timestamp = self._timestamp + packets * PACKET_TICKS & 0xFFFFFFFF
        self._paused = True

    def quality(self) -> Quality:
        """Return how well packets got through in the last seconds."""
        quality = self._accounts.quality()
        if quality.rtt_ms is None and self._ice.rtt_s is not None:
            return replace(quality, rtt_ms=self._ice.rtt_s * 1000)
        return quality

    def disconnect(self) -> None:
        """Close it, soon; nothing is called back any more."""
        self._state = "closed"
        self._over.set()

    async def close(self) -> None:
        """Close it and wait until everything is let go of: a moment, never more than a few seconds."""
        self.disconnect()
        if self._runs:
            await self._released.wait()
        else:
            await self._release()

    async def _carry(self) -> None:
        try:
            self._become("connecting")
            async with asyncio.timeout(self._limits.connect_within_s):
                await self._connect()
            self._become("connected")
            while True:
                await asyncio.sleep(_REPORT_S * random.uniform(0.5, 1.5))  # noqa: S311  (RFC 3550, section 6.2)
                self._report()
        except (TimeoutError, ConnectionError) as error:
            _log.info("no media connection", why=str(error) or "nobody there")
            self._end("lost")
        except Exception as error:  # noqa: BLE001  (the outer loop of one peer: the other calls go on)
            _log.error("media connection failed", error=type(error).__name__, detail=str(error)[:200])
            self._end("lost")

    async def _connect(self) -> None:
        dtls, offer = self._dtls, self._offer
        assert dtls is not None
        assert offer is not None
        await self._ice.connect()
        sessions = await shake_hands(dtls, offer.fingerprints)
        self._ice.heard_s = self._ice.consented_s = time.monotonic()
        self._srtp_in, self._srtp_out = sessions

    async def _release(self) -> None:
        session, self._srtp_in, self._srtp_out = self._srtp_out, None, None
        if session is not None and self._accounts.sending.packets:
            self._ice.send_now(session.protect_rtcp(rtp.bye(self._accounts.sending)))
        if self._dtls is not None:
            await say_goodbye(self._dtls)
        await self._ice.close()
        self._released.set()

    def _become(self, state: PeerState) -> None:
        if not self._over.is_set():
            self._state = state
            self._on_state(state)

    def _end(self, state: PeerState) -> None:
        self._become(state)
        self._over.set()

    def _on_dtls_state(self) -> None:
        if self._dtls is not None and self._dtls.state == "closed":
            self._end("closed")

    def _serves_loopback(self) -> bool:
        return any(ip_address(candidate.host).is_loopback for candidate in self._ice.local_candidates)

    def _on_datagram(self, data: bytes) -> None:
        if data[0] < 64:
            self._path.put(data)
            return
        session = self._srtp_in
        if session is None or self._budget <= 0:
            return
        self._budget -= 1
        try:
            if rtp.is_rtcp(data):
                self._accounts.read(session.unprotect_rtcp(data), time.monotonic(), time.time())
                self._ice.heard_s = time.monotonic()
                return
            plain = session.unprotect(data)
        except (pylibsrtp.Error, ValueError):
            self._forged += 1
            return
        now_s = self._ice.heard_s = time.monotonic()
        packet = rtp.parse_rtp(plain)
        if packet is not None:
            self._on_rtp(packet, now_s)

    def _on_rtp(self, packet: rtp.RtpPacket, now_s: float) -> None:
        offer = self._offer
        if offer is None or self._over.is_set() or offer.direction not in {"sendrecv", "recvonly"}:
            return
        if packet.payload_type not in {offer.opus, offer.keys}:
            return
        self._accounts.came(packet, now_s)
        if packet.payload_type == offer.opus:
            if packet.payload:
                self._on_packet(packet.timestamp, packet.payload, now_s)
        elif self._on_key is not None:
            key = self._keys.feed(packet.timestamp, packet.payload)
            if key is not None:
                self._on_key(key)

    def _report(self) -> None:
        now_s, limits = time.monotonic(), self._limits
        self._budget = limits.packets_a_second
        if now_s - self._ice.heard_s > limits.lost_after_s or now_s - self._ice.consented_s > limits.consent_s:
            raise ConnectionError("silent")
        report = self._accounts.report(now_s, time.time())
        session = self._srtp_out
        if session is not None:
            self._ice.send_now(session.protect_rtcp(report))
