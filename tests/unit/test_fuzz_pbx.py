"""AudioSocket's packets and AudioHook's signatures, under coverage: bounded runs."""

from __future__ import annotations

import contextlib
from pathlib import Path

from media_gateway.protocols.audiosocket import AudioSocketStream
from media_gateway.protocols.errors import ProtocolError
from media_gateway.protocols.http_signature import SignatureError, verify
from tests.fuzzing import fuzz
from tests.unit.test_http_signature import AUTHORITY, CREATED, HEADERS, SECRET, TARGET

CALL = Path(__file__).parent.parent / "vectors" / "audiosocket" / "call.hex"
BETWEEN = b"\n"


def fuzz_audiosocket(data: bytes) -> None:
    """Feed a connection, cut by the first byte's measure: pieces are no matter."""
    size = max(data[:1], b"\x01")[0] if data else 1
    stream = AudioSocketStream()
    with contextlib.suppress(ProtocolError):
        for start in range(1, len(data), size):
            stream.feed(data[start : start + size])


def fuzz_signature(data: bytes) -> None:
    """Verify a handshake with these two headers: Signature-Input, then Signature."""
    told, _, made = data.partition(BETWEEN)
    headers = {**HEADERS, "signature-input": told.decode("latin-1"), "signature": made.decode("latin-1")}
    with contextlib.suppress(SignatureError):
        verify(headers, target=TARGET, authority=AUTHORITY, secret=SECRET, now_s=CREATED)


def test_no_packet_breaks_audiosocket() -> None:
    packets = [bytes.fromhex(line) for line in CALL.read_text().splitlines() if not line.startswith("#")]
    fuzz("tests.unit.test_fuzz_pbx:fuzz_audiosocket", [b"\xff" + b"".join(packets), b"\x07" + b"".join(packets[:3])])


def test_no_header_breaks_a_signatures_check() -> None:
    signed = HEADERS["signature-input"].encode() + BETWEEN + HEADERS["signature"].encode()
    fuzz("tests.unit.test_fuzz_pbx:fuzz_signature", [signed, b"sig1=();created=1" + BETWEEN + b"sig1=:AAAA:"])
