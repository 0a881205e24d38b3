"""A track fed by packets, without a bridge: put in order, decoded, and cut into chunks on the call's clock.

What the recogniser hears of every RTP stream, bridged or not. It waits longer for late packets than an ear would, and
never stretches time: 20 ms that were sent are 20 ms on the track.
"""

from __future__ import annotations

from collections.abc import Callable

from media_gateway.media_clock import Post
from media_gateway.ports import TrackSink
from media_gateway.protocols.sdp import Codec


class Listener:
    """One track. `receive`, `change`, `pause` and `close` are the event loop's; decoding is the media thread's."""

    def receive(self, ssrc: int, sequence: int, timestamp: int, payload: bytes, now_s: float) -> None:
        """Take a packet; an empty payload is one that carries no audio (a key, comfort noise)."""

    def change(self, codec: Codec) -> None:
        """What comes from now on is in another codec."""

    def pause(self) -> None:
        """Nothing is sent for now, and that is agreed (hold): what comes next begins after a hole of cause 'hold'."""

    def close(self) -> None:
        """The track is over: hand on all that there is, then its closing chunk. Closing again does nothing."""


class Listeners:
    """All tracks of a gateway that are fed by packets. Add it to the MediaClock once."""

    def open(self, sink: TrackSink, codec: Codec, clock_ms: Callable[[], int]) -> Listener:
        """Return the listener of a new track; `sink` and `clock_ms` are those of its CallHandle."""
        raise NotImplementedError

    def beat(self, now_s: float, due_s: float, post: Post) -> None:
        """Do what has become due. In the media thread (media_gateway.media_clock.Beating)."""
