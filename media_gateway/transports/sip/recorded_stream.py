"""One audio stream of a recording: its RTP, and the leg and track of whoever is heard on it."""

from __future__ import annotations

from collections.abc import Callable

from infra.model import Leg, Role
from media_gateway.listening import Listener, Listeners
from media_gateway.ports import CallHandle
from media_gateway.protocols.sdp_plan import StreamPlan
from media_gateway.protocols.siprec_call import Heard
from media_gateway.transports.rtp import RtpStream, StreamLimits
from media_gateway.transports.rtp_ports import RtpSocket


class RecordedStream:
    """It opens a track once audio is agreed on, and another one when somebody else is heard. On the event loop."""

    def __init__(
        self,
        handle: CallHandle,
        media: Listeners,
        socket: RtpSocket,
        plan: StreamPlan,
        signalled_from: str,
        limits: StreamLimits,
    ) -> None:
        self.on_lost: Callable[[], None] = _nothing
        """Called when the client has been silent for too long."""
        self._handle = handle
        self._media = media
        self._plan = plan
        self._who: tuple[str, ...] = ()
        self._mixed = False
        self._leg: Leg | None = None
        self._listener: Listener | None = None
        self._stream = RtpStream(
            socket,
            plan,
            on_key=self._on_key,
            on_lost=self._on_lost,
            signalled_from=signalled_from,
            limits=limits,
        )

    @property
    def is_lost(self) -> bool:
        """Return whether the client is silent for too long."""
        return self._stream.is_lost

    @property
    def is_open(self) -> bool:
        """Return whether audio is expected on a track of it."""
        return self._leg is not None and self._plan.receives

    def update(self, plan: StreamPlan, signalled_from: str) -> None:
        """Go on as is agreed on now."""
        self._plan = plan
        self._stream.update(plan, signalled_from)

    def belongs_to(self, on: Heard, name: str | None, role: Role) -> None:
        """Say who is heard on it. While nobody is known to be, on hold say, it stays whose it was."""
        who = tuple(one.id for one in on.participants)
        if on.spare:
            self._close_track("heard elsewhere")
            return
        if self._leg is not None and who:
            if (who, on.mixed) != (self._who, self._mixed):
                self._close_track("replaced")
            elif name != self._leg.name:
                self._leg = self._handle.rename(self._leg, name)
        if self._leg is None and self._plan.receives:
            self._who, self._mixed = who, on.mixed
            self._open_track(name, role)

    def close(self, reason: str) -> None:
        """It is over."""
        self._close_track(reason)
        self._stream.close()

    def _open_track(self, name: str | None, role: Role) -> None:
        handle, plan = self._handle, self._plan
        self._leg = handle.join(role, name)
        _, sink = handle.open_track(self._leg, plan.label or str(plan.index), mixed=self._mixed)
        self._listener = self._media.open(sink, plan.codec, handle.clock_ms)
        self._stream.route(None, self._listener)

    def _close_track(self, reason: str) -> None:
        if self._leg is None or self._listener is None:
            return
        self._stream.route(None, None)
        self._listener.close()
        self._handle.leave(self._leg, reason)
        self._leg = self._listener = None

    def _on_key(self, digit: str) -> None:
        self._handle.note("dtmf", {"digit": digit})

    def _on_lost(self, _why: str) -> None:
        self.on_lost()


def _nothing() -> None:
    """Do nothing."""
