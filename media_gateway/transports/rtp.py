"""One agreed audio stream over RTP: packets in from the right sender alone, packets out, reports, keys (RFC 3550)."""

from __future__ import annotations

from collections.abc import Callable

from media_gateway.listening import Listener
from media_gateway.ports import Quality
from media_gateway.protocols.sdp_plan import StreamPlan
from media_gateway.transports.rtp_ports import RtpSocket


class RtpStream:
    """A stream of a call. All of it belongs to the event loop; nothing here awaits."""

    def __init__(
        self,
        socket: RtpSocket,
        plan: StreamPlan,
        *,
        on_packet: Callable[[int, bytes, float], None] | None = None,
        listener: Listener | None = None,
        on_key: Callable[[str], None] | None = None,
        on_lost: Callable[[str], None] | None = None,
        signalled_from: str | None = None,
    ) -> None:
        """Listen on `socket`, which the stream owns from now on.

        `on_packet` takes audio for a bridge, as PacketVoice.receive does: RTP timestamp, payload, time.monotonic().
        `listener` is fed for recognition. `on_key` takes keys pressed (RFC 4733), each once. `on_lost` is called once
        when the other side has been silent for too long although it may send ('silent').
        `signalled_from`: the IP address that the SIP request came from; behind a NAT, media come from there too.
        """
        raise NotImplementedError

    def update(self, plan: StreamPlan, signalled_from: str | None = None) -> None:
        """Go on as a re-INVITE has agreed: other directions, another address, other keys or another codec.

        With another codec, `on_packet` and `listener` get its packets: give them new ones first (`route`).
        """

    def route(self, on_packet: Callable[[int, bytes, float], None] | None, listener: Listener | None) -> None:
        """Hand packets on to others from now on."""

    def send(self, payload: bytes) -> None:
        """Send 20 ms in the plan's codec. Does nothing while the plan does not let us send."""

    def send_key(self, key: str) -> bool:
        """Press a key (RFC 4733); False where telephone events were not agreed on: send tones instead."""
        raise NotImplementedError

    def quality(self) -> Quality:
        """Return how well packets get through."""
        raise NotImplementedError

    def close(self) -> None:
        """Say goodbye (RTCP BYE), close the sockets and give the ports back. Closing again does nothing."""
