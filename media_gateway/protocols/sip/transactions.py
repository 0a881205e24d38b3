"""Requests and their responses over a lossy path (RFC 3261, section 17, as RFC 6026 mends it)."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum
from typing import Final

from media_gateway.protocols.sip.flow import Flow
from media_gateway.protocols.sip.message import Request, Response
from media_gateway.protocols.sip.timers import Timers

T1_S: Final = 0.5
"""What a round trip is reckoned at."""
T2_S: Final = 4.0
"""The longest pause between two sendings."""
T4_S: Final = 5.0
"""How long a message may lie in the network."""
TIMEOUT_S: Final = 64 * T1_S

REPEAT_PROVISIONAL_S: Final = 60.0
"""So that no proxy gives up on a call that rings (RFC 3261, section 13.3.1.1)."""
PROVISIONAL_FOR_S: Final = 180.0
"""How long a peer may hold an INVITE of ours with provisional responses."""

Send = Callable[[Flow, bytes], None]


class Stage(Enum):
    """How far a transaction is."""

    TRYING = "trying"
    """No final response yet."""
    COMPLETED = "completed"
    """A final response is out or in, and is repeated where that is needed."""
    ACCEPTED = "accepted"
    """An INVITE with its 2xx."""
    CONFIRMED = "confirmed"
    """The ACK of an INVITE's refusal has come."""
    TERMINATED = "terminated"


class ServerTransaction:
    """A request of the peer's and what we answered. Repeats answers, and swallows repeated requests."""

    __slots__ = (
        "_alarm",
        "_end_s",
        "_interval_s",
        "_resend_s",
        "_send",
        "acked",
        "flow",
        "key",
        "on_cancel",
        "on_due",
        "on_end",
        "reply_flow",
        "request",
        "response",
        "stage",
        "tag",
    )

    def __init__(
        self, key: tuple[str, ...], request: Request, flow: Flow, reply_flow: Flow, send: Send, timers: Timers
    ) -> None:
        self.key = key
        self.request = request
        self.flow = flow
        """Where the request came from."""
        self.reply_flow = reply_flow
        self.stage = Stage.TRYING
        self.response: bytes | None = None
        self.acked = False
        self.on_due: Callable[[float], None] | None = None
        """Called when no final response was given until `answer_by_s`, or when a 2xx got no ACK."""
        self.on_cancel: Callable[[float], None] | None = None
        self.on_end: Callable[[ServerTransaction], None] | None = None
        self.tag = ""
        """Ours, where the transaction began or lies in a dialog."""
        self._send = send
        self._alarm = timers.alarm(self._fire)
        self._resend_s = self._end_s = math.inf
        self._interval_s = T1_S

    def answer_by(self, due_s: float) -> None:
        """Set when `on_due` is called unless a final response is out before."""
        self._end_s = due_s
        self._set_due()

    def respond(self, status: int, data: bytes, now_s: float) -> bool:
        """Send a response; False: there was a final one already."""
        if self.stage is not Stage.TRYING:
            return False
        self.response = data
        self._send(self.reply_flow, data)
        if status < 200:
            self._resend_s = now_s + REPEAT_PROVISIONAL_S if status > 100 else math.inf
        elif self.request.method != "INVITE":  # Timer J
            self.stage = Stage.COMPLETED
            self._resend_s, self._end_s = math.inf, now_s + (0.0 if self.flow.is_reliable else TIMEOUT_S)
        elif status < 300:  # Timer L; the user agent's own repetition of a 2xx goes over every transport
            self.stage = Stage.ACCEPTED
            self._resend_s, self._end_s = now_s + T1_S, now_s + TIMEOUT_S
        else:  # Timers G and H
            self.stage = Stage.COMPLETED
            self._resend_s = math.inf if self.flow.is_reliable else now_s + T1_S
            self._end_s = now_s + TIMEOUT_S
        self._set_due()
        return True

    def again(self) -> None:
        """The same request has come once more."""
        if self.response is not None and self.stage in {Stage.TRYING, Stage.COMPLETED}:
            self._send(self.reply_flow, self.response)

    def ack(self, now_s: float) -> None:
        """An ACK has come: of a refusal by its branch, of a 2xx by its dialog."""
        self.acked = True
        self._resend_s = math.inf
        if self.stage is Stage.COMPLETED:  # Timer I
            self.stage = Stage.CONFIRMED
            self._end_s = now_s + (0.0 if self.flow.is_reliable else T4_S)
        self._set_due()

    def _fire(self, now_s: float) -> None:
        if now_s >= self._end_s:
            self._end_s = math.inf
            if self.on_due is not None and (
                self.stage is Stage.TRYING or (self.stage is Stage.ACCEPTED and not self.acked)
            ):
                self.on_due(now_s)
            if self._end_s == math.inf:
                self.stage, self._resend_s = Stage.TERMINATED, math.inf
                if self.on_end is not None:
                    self.on_end(self)
        elif now_s >= self._resend_s and self.response is not None:
            self._send(self.reply_flow, self.response)
            if self.stage is Stage.TRYING:
                self._resend_s = now_s + REPEAT_PROVISIONAL_S
            else:
                self._interval_s = min(2 * self._interval_s, T2_S)
                self._resend_s = now_s + self._interval_s
        self._set_due()

    def _set_due(self) -> None:
        due_s = min(self._resend_s, self._end_s)
        self._alarm.set(None if due_s == math.inf else due_s)


class ClientTransaction:
    """A request of ours. `on_final` is called once: with the final response, or with None and 408 or 503."""

    __slots__ = (
        "_ack_for",
        "_alarm",
        "_end_s",
        "_interval_s",
        "_on_final",
        "_resend_s",
        "_send",
        "ack",
        "branch",
        "data",
        "flow",
        "method",
        "on_end",
        "stage",
    )

    def __init__(
        self,
        branch: str,
        method: str,
        flow: Flow,
        data: bytes,
        send: Send,
        timers: Timers,
        on_final: Callable[[Response | None, int, float], None],
        now_s: float,
        ack_for: Callable[[Response], bytes] | None = None,
    ) -> None:
        """Send the request. `ack_for` makes an INVITE's ACK of a refusal."""
        self.branch = branch
        self.method = method
        self.flow = flow
        self.data = data
        self.stage = Stage.TRYING
        self.ack: tuple[Flow, bytes] | None = None
        """What answers each repetition of an INVITE's final response; for a 2xx the caller of the INVITE sets it."""
        self.on_end: Callable[[ClientTransaction], None] | None = None
        self._send = send
        self._alarm = timers.alarm(self._fire)
        self._on_final = on_final
        self._ack_for = ack_for
        self._interval_s = T1_S
        self._resend_s = math.inf if flow.is_reliable else now_s + T1_S  # Timers A and E
        self._end_s = now_s + TIMEOUT_S  # Timers B and F
        self._set_due()
        send(flow, data)

    @property
    def key(self) -> tuple[str, str]:
        """Branch and method: by these its responses are found."""
        return self.branch, self.method

    def receive(self, response: Response, now_s: float) -> None:
        """Take a response to it."""
        if self.stage is not Stage.TRYING:
            if self.ack is not None and response.status >= 200:
                self._send(*self.ack)
            return
        invite = self.method == "INVITE"
        if response.status < 200:
            if invite:
                self._resend_s, self._end_s = math.inf, now_s + PROVISIONAL_FOR_S
            else:
                self._interval_s = T2_S
            self._set_due()
            return
        self.stage = Stage.ACCEPTED if invite and response.status < 300 else Stage.COMPLETED
        self._resend_s = math.inf
        if self.stage is Stage.ACCEPTED:  # Timer M
            self._end_s = now_s + TIMEOUT_S
        elif self.flow.is_reliable:
            self._end_s = now_s
        else:  # Timers D and K
            self._end_s = now_s + (TIMEOUT_S if invite else T4_S)
        if invite and response.status >= 300 and self._ack_for is not None:
            self.ack = (self.flow, self._ack_for(response))
            self._send(*self.ack)
        self._set_due()
        self._on_final(response, response.status, now_s)

    def fail(self, status: int, now_s: float) -> None:
        """Nothing comes any more: 408 when the time is over, 503 when the flow broke."""
        waits = self.stage is Stage.TRYING
        self.stage = Stage.TERMINATED
        self._resend_s = self._end_s = math.inf
        self._set_due()
        if self.on_end is not None:
            self.on_end(self)
        if waits:
            self._on_final(None, status, now_s)

    def _fire(self, now_s: float) -> None:
        if now_s >= self._end_s:
            self.fail(408, now_s)
            return
        if now_s >= self._resend_s:
            self._send(self.flow, self.data)
            self._interval_s = 2 * self._interval_s if self.method == "INVITE" else min(2 * self._interval_s, T2_S)
            self._resend_s = now_s + self._interval_s
        self._set_due()

    def _set_due(self) -> None:
        due_s = min(self._resend_s, self._end_s)
        self._alarm.set(None if due_s == math.inf else due_s)
