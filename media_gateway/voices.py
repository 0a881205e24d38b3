"""The kinds of connection at a bridge: a browser's (Opus), a telephone line's (G.711), and those of RTP (any codec).

Packets come in on the event loop and are decoded in the media thread; what the thread has encoded goes out on the
loop again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from media_gateway.audio import Samples
from media_gateway.bridge import SILENCE
from media_gateway.codecs import (
    AlawDecoder,
    AlawEncoder,
    G722Decoder,
    G722Encoder,
    MulawDecoder,
    MulawEncoder,
    OpusDecoder,
    OpusEncoder,
)
from media_gateway.media_clock import Post
from media_gateway.playout.buffer import Frame, Playout
from media_gateway.protocols.sdp import Codec
from media_gateway.protocols.sdp_plan import StreamPlan

_INBOX: Final = 256
"""Packets that may wait for the next beat; beyond it the oldest go."""
_RTP_HZ: Final = 48_000

_MOST_BIT_RATE_HZ: Final = 32_000
_LEAST_BIT_RATE_HZ: Final = 6_000

Send = Callable[[bytes], None]


class Decoder(Protocol):
    """Reads one party's packets, in the order of sending."""

    @property
    def joins(self) -> bool:
        """Return whether payloads that follow on may be decoded as one."""

    def length(self, payload: bytes) -> int:
        """Return how many samples of 16 kHz a payload stands for; 0 if it is none."""

    def decode(self, payload: bytes) -> Samples:
        """Return a payload's samples at 16 kHz; raises PayloadError."""


class Encoder(Protocol):
    """Writes one party's packets."""

    def encode(self, frame: Samples) -> bytes:
        """Return the payload for 20 ms at 16 kHz."""


class PacketVoice:
    """Packets both ways. `send` is called on the loop with what the party is to hear; None: it is not connected."""

    def __init__(
        self, decode: Callable[[bytes], Samples], encode: Callable[[Samples], bytes], clock_hz: int, *, gapless: bool
    ) -> None:
        """`gapless`: silence is sent too, so that the receiver's clock runs on."""
        self.send: Send | None = None
        self.playout = Playout(decode, clock_hz)
        self._encode = encode
        self._gapless = gapless
        self._sounding = False
        self._inbox = _new_inbox()

    def receive(self, timestamp: int, payload: bytes, now_s: float) -> None:
        """Take a packet. On the loop."""
        self._inbox.append((timestamp, payload, now_s))

    def catch_up(self) -> None:
        """Forget what came while nobody was there to hear it. On the loop; the thread may be reading the old ones."""
        self._inbox = _new_inbox()

    def hear(self, now_s: float) -> Frame:
        """Return what the party has said in the next 20 ms."""
        inbox, playout = self._inbox, self.playout
        while inbox:
            playout.put(*inbox.popleft())
        return playout.frame(now_s)

    def play(self, samples: Samples | None, post: Post) -> None:
        """Let the party hear 20 ms."""
        send = self.send
        sounding, self._sounding = self._sounding, samples is not None
        if send is not None and (sounding or self._sounding or self._gapless):  # one frame more: the filter's rest
            post(partial(send, self._encode(SILENCE if samples is None else samples)))


def _new_inbox() -> deque[tuple[int, bytes, float]]:
    return deque(maxlen=_INBOX)


def browser_voice() -> PacketVoice:
    """Return the voice of a browser: Opus over RTP."""
    return PacketVoice(OpusDecoder().decode, OpusEncoder().encode, _RTP_HZ, gapless=True)


_DECODERS: Final[dict[str, Callable[[], Decoder]]] = {
    "PCMU": MulawDecoder,
    "PCMA": AlawDecoder,
    "G722": G722Decoder,
    "opus": OpusDecoder,
}
_ENCODERS: Final[dict[str, Callable[[], Encoder]]] = {"PCMU": MulawEncoder, "PCMA": AlawEncoder, "G722": G722Encoder}


def decoder_for(codec: Codec) -> Decoder:
    """Return a decoder of one of `sdp_plan.CODECS`."""
    return _DECODERS[codec.name]()


def encoder_for(codec: Codec) -> Encoder:
    """Return an encoder of one of `sdp_plan.CODECS`; Opus keeps to the bit rate that its receiver allows."""
    if codec.name != "opus":
        return _ENCODERS[codec.name]()
    wanted = codec.parameter("maxaveragebitrate") or ""
    allowed = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 8 else _MOST_BIT_RATE_HZ
    return OpusEncoder(min(max(allowed, _LEAST_BIT_RATE_HZ), _MOST_BIT_RATE_HZ))


def voice_for(plan: StreamPlan) -> PacketVoice:
    """Return the voice of an agreed RTP stream. Silence is sent too: lines without packets are taken for dead."""
    codec = plan.codec
    return PacketVoice(decoder_for(codec).decode, encoder_for(codec).encode, codec.clock_hz, gapless=True)
