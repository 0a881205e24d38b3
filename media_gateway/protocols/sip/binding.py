"""One account kept registered (RFC 3261, section 10) and its flow open (RFC 5626, sections 4.4 and 4.5)."""

from __future__ import annotations

from enum import Enum
from typing import Final

from media_gateway.protocols.sip.digest import Credentials
from media_gateway.protocols.sip.events import Registered, RegistrationFailed, Unregistered
from media_gateway.protocols.sip.flow import Flow
from media_gateway.protocols.sip.grammar import SipError, parse_address, parse_uri, split_list
from media_gateway.protocols.sip.message import Response
from media_gateway.protocols.sip.registration import Registration
from media_gateway.protocols.sip.stack import Stack
from media_gateway.protocols.sip.stream import PING
from media_gateway.protocols.sip.transactions import ClientTransaction

_REFRESH: Final = (0.5, 0.9)
"""Between which parts of its time a binding is refreshed."""
_LEAST_S: Final = 5.0
"""No registrar is asked more often, whatever time it gives."""
_BACKOFF_S: Final = (30.0, 1800.0)
"""After the first failure, and at most; doubled between, half to all of it by chance (RFC 5626, section 4.5)."""
_PING_S: Final = {"udp": (24.0, 29.0), "tcp": (95.0, 120.0), "tls": (95.0, 120.0)}
"""How often a flow is kept open (RFC 5626, section 4.4)."""
_PONG_WITHIN_S: Final = 10.0
_CHALLENGES: Final = 3
"""More in a row, and the password is taken for wrong."""
_MOST_S: Final = 86_400 * 7


class _Wants(Enum):
    BINDING = "binding"
    NONE = "none"


class Binding:
    """The registration of one account over one flow at a time."""

    def __init__(self, stack: Stack, registration: Registration, flow: Flow) -> None:
        self.registration = registration
        self.flow = flow
        self.credentials = Credentials(registration.user, registration.password)
        self._stack = stack
        self._wants = _Wants.BINDING
        self._call_id = stack.token(128)
        self._tag = stack.token()
        self._cseq = stack.rng.getrandbits(16)
        self._expires_s = registration.expires_s
        self._failures = 0
        self._challenged = 0
        self._asking: ClientTransaction | None = None
        self._pongs = False
        """Whether this flow has ever answered a ping: only then is silence a failure."""
        self._alarm = stack.timers.alarm(self._due)
        self._ping_alarm = stack.timers.alarm(self._ping_due)
        self._pong_alarm = stack.timers.alarm(self._no_pong)

    @property
    def is_over(self) -> bool:
        """Whether it was taken back."""
        return self._wants is _Wants.NONE and self._asking is None

    @property
    def is_leaving(self) -> bool:
        """Whether it is being taken back."""
        return self._wants is _Wants.NONE and self._asking is not None

    def begin(self, now_s: float) -> None:
        """Register."""
        self._challenged = 0
        self._register(now_s)

    def move(self, registration: Registration, flow: Flow, now_s: float) -> None:
        """Register over another flow, or under other terms."""
        self._quiet()
        if (registration.user, registration.password) != (self.credentials.user, self.credentials.password):
            self.credentials = Credentials(registration.user, registration.password)
        self.registration, self.flow = registration, flow
        self._expires_s = registration.expires_s
        self._wants, self._pongs, self._failures = _Wants.BINDING, False, 0
        self.begin(now_s)

    def end(self, now_s: float) -> None:
        """Take the binding back."""
        self._quiet()
        self._wants = _Wants.NONE
        self.begin(now_s)

    def flow_lost(self, flow: Flow, now_s: float) -> None:
        """The connection broke: wait a little, then register over a new one."""
        if flow != self.flow:
            return
        if self.flow.is_reliable:
            self.flow = Flow(flow.kind, flow.local, flow.remote, 0)
        self._pongs = False
        if self._asking is None:
            self._failed(503, "Connection Lost", now_s)

    def heard(self, flow: Flow) -> None:
        """A pong came over a flow."""
        if flow == self.flow:
            self._pongs = True
            self._pong_alarm.set(None)

    def _quiet(self) -> None:
        for alarm in (self._alarm, self._ping_alarm, self._pong_alarm):
            alarm.set(None)
        self._asking = None  # what still comes of it is nobody's

    def _due(self, now_s: float) -> None:
        self.begin(now_s)

    def _register(self, now_s: float) -> None:
        self._alarm.set(None)
        wanted = self._expires_s if self._wants is _Wants.BINDING else 0
        aor = parse_uri(self.registration.aor)
        contact = f"<{self._stack.contact_uri(self.flow, aor.user)}>"
        target = self.registration.registrar
        headers = [
            ("From", f"<{self.registration.aor}>;tag={self._tag}"),
            ("To", f"<{self.registration.aor}>"),
            ("Call-ID", self._call_id),
            ("Contact", f"{contact};expires={wanted}"),
            ("Expires", str(wanted)),
            ("Supported", "path"),
            *self.credentials.header("REGISTER", target, self._stack.rng),
        ]
        self._cseq += 1
        sent_nonce = self.credentials.nonce

        def final(response: Response | None, status: int, at_s: float) -> None:
            if self._asking is not asked:
                return
            self._asking = None
            if asked.flow.is_reliable:
                self.flow = asked.flow if response is not None else self.flow
            self._answered(response, status, sent_nonce, at_s)

        asked = self._stack.request("REGISTER", target, self.flow, headers, self._cseq, final, now_s)
        self._asking = asked

    def _answered(self, response: Response | None, status: int, sent_nonce: str, now_s: float) -> None:
        if response is not None and status in {401, 407}:
            self._challenged += 1
            refused = self.credentials.is_refused(response, sent_nonce) and self._challenged > 1
            if not refused and self._challenged < _CHALLENGES and self.credentials.take(response):
                self._register(now_s)
                return
        if self._wants is _Wants.NONE:
            self._stack.events.append(Unregistered(self.registration))
        elif response is None:
            self._failed(status, "No Answer" if status == 408 else "Connection Lost", now_s)
        elif status < 300:
            self._is_registered(response, now_s)
        elif status == 423 and self._expires_s < (least_s := _seconds(response.headers.get("min-expires"))) <= _MOST_S:
            self._expires_s = least_s
            self._register(now_s)
        else:
            self._failed(status, response.reason, now_s, _seconds(response.headers.get("retry-after")))

    def _is_registered(self, response: Response, now_s: float) -> None:
        self._failures = 0
        granted_s = self._granted_s(response)
        self._alarm.set(now_s + max(granted_s * self._stack.rng.uniform(*_REFRESH), _LEAST_S))
        if self._ping_alarm.due_s is None:
            self._next_ping(now_s)
        self._stack.events.append(Registered(self.registration, now_s + granted_s))

    def _granted_s(self, response: Response) -> int:
        """Return for how long the registrar knows us: its word on our Contact, which it may have rewritten."""
        place = self._stack.contact(self.flow)
        user = parse_uri(self.registration.aor).user
        said: dict[bool, list[int]] = {True: [], False: []}
        for value in response.headers.all("contact"):
            try:
                contacts = [parse_address(part) for part in split_list(value)]
            except SipError:
                continue  # somebody else's, which we cannot read
            for contact in contacts:
                expires = contact.parameter("expires")
                if expires and contact.uri.user == user:
                    said[(contact.uri.host, contact.uri.port) == place].append(_seconds(expires))
        known = said[True] or said[False] or [_seconds(response.headers.get("expires")) or self._expires_s]
        return min(*known, _MOST_S)

    def _failed(self, status: int, reason: str, now_s: float, after_s: int = 0) -> None:
        least_s, most_s = _BACKOFF_S
        wait_s = min(least_s * 2.0 ** min(self._failures, 16), most_s) * self._stack.rng.uniform(0.5, 1.0)
        self._failures += 1
        retry_at_s = now_s + max(wait_s, float(min(after_s, most_s)))
        self._ping_alarm.set(None)
        self._pong_alarm.set(None)
        self._alarm.set(retry_at_s)
        self._stack.events.append(RegistrationFailed(self.registration, status, reason, retry_at_s))

    # Keeping the flow open

    def _next_ping(self, now_s: float) -> None:
        if self.registration.keep_alive != "none":
            self._ping_alarm.set(now_s + self._stack.rng.uniform(*_PING_S[self.flow.kind]))

    def _ping_due(self, now_s: float) -> None:
        self._next_ping(now_s)
        if self.registration.keep_alive == "options":
            self._options(now_s)
            return
        self._stack.send(self.flow, PING)
        if self._pongs and self.flow.is_reliable and self._pong_alarm.due_s is None:
            self._pong_alarm.set(now_s + _PONG_WITHIN_S)

    def _options(self, now_s: float) -> None:
        flow = self.flow

        def final(response: Response | None, _status: int, at_s: float) -> None:
            if response is None and flow == self.flow and self._asking is None:
                self.begin(at_s)  # nobody there: what the registrar knows of us may be gone too

        registrar = self.registration.registrar
        headers = [
            ("From", f"<{self.registration.aor}>;tag={self._stack.token()}"),
            ("To", f"<{registrar}>"),
            ("Call-ID", self._stack.token(128)),
        ]
        self._stack.request("OPTIONS", registrar, flow, headers, 1, final, now_s)

    def _no_pong(self, now_s: float) -> None:
        self.flow_lost(self.flow, now_s)


def _seconds(text: str | None) -> int:
    digits = (text or "").strip().split(";", 1)[0].split("(", 1)[0].strip()
    return int(digits[:10]) if digits.isascii() and digits.isdigit() else 0
