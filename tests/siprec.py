"""A recording client's requests, made from vendors' offers and by hand."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from media_gateway.audio import Samples, encode
from media_gateway.protocols.rtp import rtp_packet
from media_gateway.protocols.sdp import parse_sdp
from media_gateway.protocols.sip.message import Request, Response, parse_message
from tests.conftest import TEST_DATA

VENDORS = {
    "acme": "acme-siprec-offer.txt",
    "broadworks": "broadworks-offer.txt",
    "cisco": "cisco-siprec-offer.txt",
    "connectel": "connectel-offer.txt",
}
BOUNDARY = "parts-of-it"


@dataclass(frozen=True)
class Someone:
    """A participant, and the labels of the streams that they send."""

    id: str
    aor: str
    name: str | None = None
    sends: tuple[str, ...] = ()
    gone: bool = False


def vendor_body(name: str) -> tuple[str, bytes]:
    """Return the content type and the body of a vendor's INVITE, with the lines' ends that SIP wants."""
    stored = (TEST_DATA / "wire" / "siprec" / VENDORS[name]).read_bytes()
    boundary = re.search(rb"^--(\S+)", stored, re.MULTILINE)
    assert boundary is not None
    return f"multipart/mixed;boundary={boundary[1].decode()}", stored.replace(b"\n", b"\r\n")


def here(body: bytes, ports: Sequence[int]) -> bytes:
    """Return a body whose media come from these ports of 127.0.0.1, whatever it said."""
    places = iter(ports)
    body = re.sub(rb"(c=IN IP4 )\S+", rb"\g<1>127.0.0.1", body)
    body = re.sub(rb"(o=.* IN IP4 )\S+", rb"\g<1>127.0.0.1", body)
    return re.sub(rb"m=audio \d+", lambda _: b"m=audio %d" % next(places), body)


@dataclass
class Client:
    """Writes what a recording client sends; `version` counts its descriptions."""

    labels: list[str] = field(default_factory=lambda: ["1", "2"])
    ports: list[int] = field(default_factory=lambda: [20_000, 20_002])
    directions: list[str] = field(default_factory=lambda: ["sendonly", "sendonly"])
    codecs: str = "0"
    version: int = 0

    def sdp(self) -> bytes:
        """Return its description."""
        self.version += 1
        lines = ["v=0", f"o=- 7 {self.version} IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0"]
        for label, port, direction in zip(self.labels, self.ports, self.directions, strict=True):
            lines += [f"m=audio {port} RTP/AVP {self.codecs}", f"a=label:{label}", f"a={direction}"]
        return "\r\n".join([*lines, ""]).encode()


def metadata(people: Sequence[Someone], *, partial: bool = False, session: str = "Y3M=") -> bytes:
    """Return a document that says who takes part."""
    lines = ['<recording xmlns="urn:ietf:params:xml:ns:recording:1">']
    lines.append(f"<datamode>{'partial' if partial else 'complete'}</datamode>")
    if not partial:
        lines.append(f'<session session_id="{session}"/>')
    for one in people:
        name = f"<name>{one.name}</name>" if one.name else ""
        lines.append(f'<participant participant_id="{one.id}"><nameID aor="{one.aor}">{name}</nameID></participant>')
        lines.append(f'<participantsessionassoc participant_id="{one.id}" session_id="{session}">')
        gone = "<disassociate-time>2025-01-01T00:00:00Z</disassociate-time>" if one.gone else ""
        lines.append(f"{gone}</participantsessionassoc>")
    labels = dict.fromkeys(label for one in people for label in one.sends)
    lines += [f'<stream stream_id="s{name}" session_id="{session}"><label>{name}</label></stream>' for name in labels]
    for one in people:
        sends = "".join(f"<send>s{label}</send>" for label in one.sends)
        lines.append(f'<participantstreamassoc participant_id="{one.id}">{sends}</participantstreamassoc>')
    return "\n".join([*lines, "</recording>"]).encode()


def body_of(sdp: bytes | None, about: bytes | None) -> tuple[str, bytes]:
    """Return the content type and the body of a request with a description, metadata, or both."""
    parts = []
    if sdp is not None:
        parts.append(b"Content-Type: application/sdp\r\n\r\n" + sdp)
    if about is not None:
        head = b"Content-Type: application/rs-metadata+xml\r\nContent-Disposition: recording-session\r\n\r\n"
        parts.append(head + about)
    mark = f"--{BOUNDARY}".encode()
    whole = b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts) + mark + b"--\r\n"
    return f"multipart/mixed;boundary={BOUNDARY}", whole


class RecordingClient(asyncio.DatagramProtocol):
    """A recording client on loopback: SIP over UDP, and an RTP socket for each of its streams."""

    def __init__(self, server_port: int, call_id: str) -> None:
        self.offers = Client(labels=[], ports=[], directions=[])
        self.requests: list[Request] = []
        """What the server asked of it."""
        self.knows_the_call = True
        """Else it answers 481."""
        self._server = ("127.0.0.1", server_port)
        self._call_id = call_id
        self._cseq = 0
        self._to = "<sip:recorder@127.0.0.1>"
        self._answers: asyncio.Queue[Response] = asyncio.Queue(100)
        self._transport: asyncio.DatagramTransport | None = None
        self._media: list[socket.socket] = []
        self._agreed: list[tuple[int, int]] = []
        """Of each stream: the server's port, and the payload type."""
        self._sent = [0] * 8

    @classmethod
    @contextlib.asynccontextmanager
    async def to(cls, server_port: int, *, streams: int = 2, call_id: str = "rs-1") -> AsyncIterator[RecordingClient]:
        """Open its sockets for as long as the context lasts."""
        loop = asyncio.get_running_loop()
        transport, client = await loop.create_datagram_endpoint(
            lambda: cls(server_port, call_id), local_addr=("127.0.0.1", 0)
        )
        client._transport = transport
        for number in range(streams):
            client._media.append(media := socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            media.bind(("127.0.0.1", 0))
            client.offers.labels.append(str(number + 1))
            client.offers.ports.append(media.getsockname()[1])
            client.offers.directions.append("sendonly")
        try:
            yield client
        finally:
            transport.close()
            for media in client._media:
                media.close()

    @property
    def ports(self) -> list[int]:
        """Where its RTP comes from."""
        return [media.getsockname()[1] for media in self._media]

    async def request(self, method: str, content_type: str = "", body: bytes = b"") -> Response:
        """Send a request and return its final response, which an INVITE gets an ACK for."""
        self._cseq += 1
        self._send(method, self._cseq, content_type, body)
        while True:
            async with asyncio.timeout(15):
                answer = await self._answers.get()
            if answer.method == method and answer.cseq == self._cseq and answer.status >= 200:
                break
        if method == "INVITE":
            if answer.status < 300:
                self._to = f"<sip:recorder@127.0.0.1>;tag={answer.to.tag}"
            self._send("ACK", self._cseq)
        if answer.status == 200 and answer.body:
            self._agreed = [
                (section.port, section.codecs[0].payload_type if section.codecs else 0)
                for section in parse_sdp(answer.body).sections
                if section.kind == "audio"
            ]
        return answer

    async def say(self, *parts: Samples | None) -> None:
        """Send 8 kHz samples in G.711 and in real time, on all streams at once; None: nothing on this one."""
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        for number in range(max(len(part) for part in parts if part is not None) // 160):
            for stream, part in enumerate(parts):
                if part is not None and (frame := part[number * 160 : number * 160 + 160]).size == 160:
                    self._say_frame(stream, frame)
            await asyncio.sleep(max(start_s + 0.02 * (number + 1) - loop.time(), 0))

    def _say_frame(self, stream: int, frame: Samples) -> None:
        port, payload_type = self._agreed[stream]
        payload = encode(frame, "alaw" if payload_type == 8 else "mulaw")
        number = self._sent[stream]
        packet = rtp_packet(payload_type, number & 0xFFFF, number * 160, 0x5150 + stream, payload, marker=number == 0)
        self._sent[stream] += 1
        self._media[stream].sendto(packet, ("127.0.0.1", port))

    def _send(self, method: str, cseq: int, content_type: str = "", body: bytes = b"") -> None:
        assert self._transport is not None
        host, port = self._transport.get_extra_info("sockname")
        lines = [
            f"{method} sip:recorder@127.0.0.1 SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{uuid4().hex};rport",
            "From: <sip:src@127.0.0.1>;tag=src",
            f"To: {self._to}",
            f"Call-ID: {self._call_id}",
            f"CSeq: {cseq} {method}",
            "Max-Forwards: 70",
            "Allow: INVITE, ACK, BYE, CANCEL, UPDATE",
            f"Contact: <sip:src@{host}:{port}>;+sip.src",
            *(["Require: siprec"] if method == "INVITE" else []),
            *([f"Content-Type: {content_type}"] if body else []),
            f"Content-Length: {len(body)}",
            "",
            "",
        ]
        self._transport.sendto("\r\n".join(lines).encode() + body, self._server)

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Keep responses; answer the server's requests with 200."""
        message = parse_message(data)
        if isinstance(message, Response):
            self._answers.put_nowait(message)
            return
        self.requests.append(message)
        if message.method != "ACK" and self._transport is not None:
            kept = [
                f"{name}: {value}"
                for name, value in message.headers
                if name.lower() in {"via", "from", "to", "call-id", "cseq"}
            ]
            status = "200 OK" if self.knows_the_call else "481 Call/Transaction Does Not Exist"
            host, port = self._transport.get_extra_info("sockname")
            answer = "\r\n".join(
                [f"SIP/2.0 {status}", *kept, f"Contact: <sip:src@{host}:{port}>", "Content-Length: 0", "", ""]
            )
            self._transport.sendto(answer.encode(), self._server)
