"""The two kinds of connection at a bridge: a browser's (Opus) and a telephone line's (G.711).

Packets come in on the event loop and are decoded in the media thread; what the thread has encoded goes out on the
loop again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from media_gateway.audio import MulawDecoder, MulawEncoder, OpusDecoder, OpusEncoder, Samples
from media_gateway.bridge import SILENCE
from media_gateway.media_clock import Post
from media_gateway.playout.buffer import Frame, Playout

_INBOX: Final = 256
"""Packets that may wait for the next beat; beyond it the oldest go."""
_RTP_HZ: Final = 48_000
_LINE_HZ: Final = 8_000

Send = Callable[[bytes], None]


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


def telephone_voice() -> PacketVoice:
    """Return the voice of a telephone line: mu-law, 8 kHz."""
    return PacketVoice(MulawDecoder().decode, MulawEncoder().encode, _LINE_HZ, gapless=False)
