"""A recording client's requests, made from vendors' offers and by hand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

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
