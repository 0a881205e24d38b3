"""Who may send requests outside calls: the policy, passwords, and how often strangers are answered."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from typing import Final

from media_gateway.protocols.sip.digest import Guard, Verdict
from media_gateway.protocols.sip.flow import Flow
from media_gateway.protocols.sip.limits import Doorman
from media_gateway.protocols.sip.message import Request
from media_gateway.protocols.sip.stack import Stack

_KNOWN_HOSTS: Final = 1024
"""Addresses whose users have proved themselves: they are challenged as often as they call."""


class Decision(Enum):
    """What a policy says of a request outside dialogs."""

    TRUST = "trust"
    """Take it."""
    CHALLENGE = "challenge"
    """Take it with a user's digest; 401 until then."""
    REFUSE = "refuse"
    """403, as often as the limits on strangers allow."""
    DROP = "drop"
    """No answer at all."""


Policy = Callable[[Request, Flow], Decision]


def nobody(_request: Request, _flow: Flow) -> Decision:
    """Refuse everybody: the policy where none is set."""
    return Decision.REFUSE


class Admission:
    """Lets requests in, or answers them itself and forgets them."""

    def __init__(
        self,
        stack: Stack,
        authenticate: Policy,
        guard: Guard,
        refused: Callable[[str], None],
        failed: Callable[[str, str], None],
    ) -> None:
        self._stack = stack
        self._authenticate = authenticate
        self._guard = guard
        self._refused = refused
        self._failed = failed
        self._doorman = Doorman(stack.limits, stack.rng)
        self._known: OrderedDict[str, None] = OrderedDict()

    def admit(self, request: Request, flow: Flow, now_s: float) -> str | None:
        """Return the user, "" for one who needs no name; None: a stranger, who was answered, or not even that."""
        host = flow.remote[0]
        decision = self._authenticate(request, flow)
        if decision is Decision.TRUST:
            return ""
        verdict, user = Verdict.WRONG, ""
        if decision is Decision.CHALLENGE:
            verdict, user = self._guard.check(request, host, now_s)
            if verdict is Verdict.RIGHT:
                self._know(host)
                return user
        # A user who is here already is challenged for each call; whoever guesses passwords has to wait.
        is_known = host in self._known and (verdict is Verdict.STALE or not user)
        if decision is Decision.DROP or not (is_known or self._doorman.admits(host, now_s)):
            self._refused("silenced")
        elif decision is Decision.CHALLENGE:
            if user and verdict is Verdict.WRONG:
                self._refused("wrong-password")
                self._failed(user, host)
            challenges = self._guard.challenges(host, now_s, stale=verdict is Verdict.STALE)
            self._stack.answer(request, flow, 401, "Unauthorized", headers=challenges)
        elif request.method == "OPTIONS" and self._stack.limits.greet_strangers:
            self._stack.answer(request, flow, 200, "OK")
        else:
            self._refused("stranger")
            self._stack.answer(request, flow, 403, "Forbidden")
        return None

    def hears(self, request: Request, flow: Flow, now_s: float) -> bool:
        """Return whether a request that belongs to nothing is answered: a friend's always, others' now and then."""
        trusted = self._authenticate(request, flow) is Decision.TRUST
        return trusted or self.admits(flow, now_s)

    def admits(self, flow: Flow, now_s: float) -> bool:
        """Return whether a stranger at the end of `flow` is answered now."""
        return self._doorman.admits(flow.remote[0], now_s)

    def _know(self, host: str) -> None:
        self._known[host] = None
        self._known.move_to_end(host)
        if len(self._known) > _KNOWN_HOSTS:
            self._known.popitem(last=False)
