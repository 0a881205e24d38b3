"""The other end of an RTP stream, on loopback: a phone whose network may lose, delay and reorder its packets."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pylibsrtp

from infra.model import AudioChunk
from media_gateway.protocols.rtp import RtpPacket, parse_rtp, rtp_packet

Address = tuple[str, int]


class Sink:
    """Takes a track's chunks."""

    def __init__(self) -> None:
        self.chunks: list[AudioChunk] = []

    def put(self, chunk: AudioChunk) -> None:
        self.chunks.append(chunk)

    @property
    def pcm(self) -> bytes:
        """All samples from the first one on, zeros where nothing is."""
        track = bytearray()
        for chunk in self.chunks:
            at = (chunk.start_ms - self.chunks[0].start_ms) * 32
            track += bytes(max(at - len(track), 0))
            track[at:] = chunk.pcm
        return bytes(track)


class RtpPhone:
    """A pair of sockets, RTP and RTCP. `to` is where it sends; close it."""

    def __init__(self, to: Address, *, host: str = "127.0.0.1", ssrc: int = 0xCAFE, payload_type: int = 0) -> None:
        self.to, self.ssrc, self.payload_type = to, ssrc, payload_type
        self.rtp, self.rtcp = _pair(host)
        self.address: Address = self.rtp.getsockname()
        self.packets: list[RtpPacket] = []
        self.reports: list[bytes] = []
        self.seal: Callable[[bytes], bytes] = lambda packet: packet
        self.unseal: Callable[[bytes], bytes] = lambda packet: packet
        self.seal_rtcp: Callable[[bytes], bytes] = lambda packet: packet
        self.unseal_rtcp: Callable[[bytes], bytes] = lambda packet: packet
        self.sequence, self.timestamp = 65_500, 0xFFFF_FF00
        loop = asyncio.get_running_loop()
        loop.add_reader(self.rtp, self._read)
        loop.add_reader(self.rtcp, self._read_report)

    def encrypt(self, profile: int, ours: bytes, theirs: bytes) -> None:
        """Seal what is sent with `ours`, and open what comes with `theirs`."""
        policies = [
            pylibsrtp.Policy(ours, pylibsrtp.Policy.SSRC_ANY_OUTBOUND, 0, profile),
            pylibsrtp.Policy(theirs, pylibsrtp.Policy.SSRC_ANY_INBOUND, 0, profile),
        ]
        out, into = (pylibsrtp.Session(policy) for policy in policies)
        self.seal, self.seal_rtcp = out.protect, out.protect_rtcp
        self.unseal, self.unseal_rtcp = into.unprotect, into.unprotect_rtcp

    def packet(self, payload: bytes, ticks: int = 160) -> bytes:
        """Return the next packet, sealed."""
        data = rtp_packet(
            self.payload_type, self.sequence & 0xFFFF, self.timestamp & 0xFFFFFFFF, self.ssrc, payload, marker=False
        )
        self.sequence += 1
        self.timestamp += ticks
        return self.seal(data)

    def send(self, payload: bytes, ticks: int = 160) -> None:
        """Send the next packet now."""
        self.rtp.sendto(self.packet(payload, ticks), self.to)

    def send_report(self, report: bytes) -> None:
        """Send RTCP to the port above."""
        self.rtcp.sendto(self.seal_rtcp(report), (self.to[0], self.to[1] + 1))

    async def say(
        self,
        payloads: Sequence[bytes],
        *,
        packet_s: float = 0.02,
        ticks: int = 160,
        loss: float = 0.0,
        jitter_s: float = 0.0,
        seed: int = 1,
    ) -> list[int]:
        """Send them as time goes by, each with its bad luck; return the numbers of those lost."""
        chance = random.Random(seed)
        loop = asyncio.get_running_loop()
        began_s, lost = loop.time(), []
        for number, payload in enumerate(payloads):
            data = self.packet(payload, ticks)
            late_s = chance.random() * jitter_s
            if chance.random() < loss:
                lost.append(number)
                continue
            due_s = began_s + number * packet_s
            await asyncio.sleep(max(due_s - loop.time(), 0))
            loop.call_at(due_s + late_s, self.rtp.sendto, data, self.to)
        await asyncio.sleep(jitter_s + 0.05)
        return lost

    def close(self) -> None:
        loop = asyncio.get_running_loop()
        for each in (self.rtp, self.rtcp):
            if each.fileno() >= 0:
                loop.remove_reader(each)
                each.close()

    def _read(self) -> None:
        data = self.unseal(self.rtp.recv(2048))
        packet = parse_rtp(data)
        if packet is not None and 192 <= data[1] <= 223:
            self.reports.append(data)
        elif packet is not None:
            self.packets.append(packet)

    def _read_report(self) -> None:
        self.reports.append(self.unseal_rtcp(self.rtcp.recv(2048)))


def _pair(host: str) -> tuple[socket.socket, socket.socket]:
    while True:
        rtp, rtcp = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        rtp.bind((host, 0))
        port = rtp.getsockname()[1]
        try:
            if port < 65_535:
                rtcp.bind((host, port + 1))
                rtp.setblocking(False)
                rtcp.setblocking(False)
                return rtp, rtcp
        except OSError:
            pass
        rtp.close()
        rtcp.close()


def captured_udp(path: Path) -> Iterator[tuple[float, bytes]]:
    """The UDP payloads of an Ethernet capture (pcap), with their times in seconds."""
    data = path.read_bytes()
    order = "<" if data[:4] in {b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1"} else ">"
    at = 24
    while at + 16 <= len(data):
        seconds, micros, length, _ = struct.unpack_from(f"{order}IIII", data, at)
        frame = data[at + 16 : at + 16 + length]
        at += 16 + length
        if frame[12:14] == b"\x08\x00" and frame[23] == 17:
            header = 14 + 4 * (frame[14] & 15)
            size = int.from_bytes(frame[header + 4 : header + 6], "big")
            yield seconds + micros / 1e6, frame[header + 8 : header + size]
