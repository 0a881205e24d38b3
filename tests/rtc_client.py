"""A browser's stand-in: aiortc offering one Opus track over loopback, with packets that a test can recognise."""

from __future__ import annotations

import asyncio
import fractions
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np
from aioice import ice
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtp import RtpPacket

from media_gateway.ports import PeerState
from media_gateway.transports.rtc_guard import Network
from media_gateway.transports.rtc_peer import PeerLimits, RtcPeer

ON_LOOPBACK = Network(addresses=("127.0.0.1",))
Address = tuple[str, int]


@contextmanager
def on_loopback_only() -> Iterator[None]:
    """Have aioice find no other address than 127.0.0.1, which it otherwise leaves out."""
    found = ice.get_host_addresses
    ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    try:
        yield
    finally:
        ice.get_host_addresses = found


def opus_tone(seconds: float = 1.0, hz: float = 440.0) -> list[bytes]:
    """Return 20 ms Opus packets of a tone at a quarter of full scale."""
    codec = av.CodecContext.create("libopus", "w")
    assert isinstance(codec, av.AudioCodecContext)
    codec.sample_rate, codec.layout, codec.format = 48_000, "mono", "s16"
    codec.bit_rate = 32_000
    codec.open()
    packets = []
    for number in range(int(seconds * 50)):
        at = np.arange(number * 960, (number + 1) * 960)
        samples = (8192 * np.sin(2 * np.pi * hz * at / 48_000)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = 48_000
        frame.pts = number * 960
        packets += [bytes(packet) for packet in codec.encode(frame)]
    return packets


class PacketTrack(MediaStreamTrack):
    """Sends the given packets over and over, one every 20 ms."""

    kind = "audio"

    def __init__(self, packets: list[bytes]) -> None:
        super().__init__()
        self.sent = 0
        self.is_silent = False
        self._packets = packets
        self._due_s: float | None = None

    async def recv(self) -> av.Packet[Any]:
        """Return the next one, ready-made: aiortc sends it as it is."""
        now_s = asyncio.get_running_loop().time()
        self._due_s = now_s if self._due_s is None else self._due_s + 0.02
        await asyncio.sleep(3600 if self.is_silent else max(self._due_s - now_s, 0))
        packet = av.Packet(self._packets[self.sent % len(self._packets)])
        packet.pts, packet.time_base = self.sent * 960, fractions.Fraction(1, 48_000)
        self.sent += 1
        return packet


class Client:
    """aiortc as the offering side; what it hears is kept undecoded."""

    def __init__(self, packets: list[bytes] | None = None) -> None:
        self.track = PacketTrack(packets or [bytes([0x48]) + b"words %06d" % number for number in range(1000)])
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.sender = self.pc.addTrack(self.track)
        self.heard: list[RtpPacket] = []
        (transceiver,) = self.pc.getTransceivers()
        self._receiver = transceiver.receiver

        async def keep(packet: RtpPacket, arrival_time_ms: int) -> None:
            self.heard.append(packet)

        self._receiver._handle_rtp_packet = keep  # type: ignore[method-assign]

    @property
    def packets(self) -> set[bytes]:
        """What it may have sent."""
        return set(self.track._packets)

    async def offer(self) -> str:
        """Return its offer, with candidates on loopback only."""
        with on_loopback_only():
            await self.pc.setLocalDescription(await self.pc.createOffer())
        return self.pc.localDescription.sdp

    async def take(self, answer: str) -> None:
        """Take the answer and begin to connect."""
        await self.pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    def vanish(self) -> None:
        """Be gone from one moment to the next: no goodbye, no answer to anything."""
        for protocol in self._receiver.transport.transport._connection._protocols:
            for name in ("send_stun", "datagram_received"):
                setattr(protocol, name, lambda *_: None)
            protocol.send_data = _send_nothing  # type: ignore[method-assign]

    async def close(self) -> None:
        """Close it in good order."""
        await self.pc.close()


async def _send_nothing(data: bytes, addr: Address) -> None:
    """Stand in for a socket whose cable was pulled."""


@dataclass
class Ear:
    """Remembers what a peer told."""

    packets: list[tuple[int, bytes, float]] = field(default_factory=list)
    states: list[PeerState] = field(default_factory=list)

    def on_packet(self, timestamp: int, payload: bytes, now_s: float) -> None:
        self.packets.append((timestamp, payload, now_s))

    def on_state(self, state: PeerState) -> None:
        self.states.append(state)

    def payloads(self) -> set[bytes]:
        return {payload for _, payload, _ in self.packets}


@asynccontextmanager
async def answering(
    ear: Ear, limits: PeerLimits | None = None, network: Network = ON_LOOPBACK
) -> AsyncIterator[RtcPeer]:
    """Yield a peer of ours that runs once it has answered, and is closed in the end."""
    peer = RtcPeer(on_packet=ear.on_packet, on_state=ear.on_state, network=network, limits=limits or PeerLimits())
    async with asyncio.TaskGroup() as tasks:
        try:
            tasks.create_task(_run_once_answered(peer))
            yield peer
        finally:
            await peer.close()


async def _run_once_answered(peer: RtcPeer) -> None:
    while peer._dtls is None and not peer._over.is_set():  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    await peer.run()


@asynccontextmanager
async def connected(
    limits: PeerLimits | None = None, client: Client | None = None
) -> AsyncIterator[tuple[Client, RtcPeer, Ear]]:
    """Yield a client and a peer of ours between which packets flow."""
    client, ear = client or Client(), Ear()
    async with answering(ear, limits) as peer:
        try:
            await client.take(await peer.answer(await client.offer()))
            async with asyncio.timeout(10):
                while not (ear.packets and peer.state == "connected"):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            yield client, peer, ear
        finally:
            await client.close()
