"""Whose packets a stream takes, and where it sends its own: nobody else can put a word into a call ("RTPbleed").

Symmetric RTP (RFC 4961): what we send goes back to where they send from.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

from media_gateway.protocols.sdp import Address

PATIENCE_S: Final = 3.0
"""How long the announced port has to be silent, while another port of the same host sends, before that is believed."""
ENOUGH_PACKETS: Final = 30
"""That it has to have sent by then, one after the other."""
MOVED_AFTER_S: Final = 1.0
"""Silence at the old address after which authentic packets from a new one move the stream there."""

_FOLLOWS: Final = 50
"""Sequence numbers between two packets that follow on from each other."""
_PAUSE_S: Final = 0.5


@dataclass(slots=True)
class _Candidate:
    address: Address
    since_s: float
    last_s: float
    sequence: int
    packets: int = 1


class Source:
    """Where one stream's packets come from.

    - Packets from the very address that the other side has announced are always taken.
    - Of a side that is behind a NAT, which shows in an announced address that is not the one its signalling comes
      from (or in none), the first sender on the signalling's host is taken.
    - Another port of the announced host is taken once it has sent for 3 s in which the announced one was silent. So is
      another host, but only where the announced address cannot be the one: there is none, or it is a private one and
      the signalling comes from the Internet (a proxy stands between). Of two that send at once neither is taken.
    - Where nobody has been announced and the signalling's address is not known either, the first sender is taken.
    - Whoever has been taken keeps the stream; only the announced address itself, or a new announcement, ends that.
    - Authentic packets (SRTP) are taken from anywhere, and the stream follows them when the old address is silent.
    """

    def __init__(self, announced: Address | None, signalled_from: str | None) -> None:
        """`announced`: by their session description; `signalled_from`: the IP address that it came from."""
        self._signalled_from = canonical(signalled_from)
        self._announced = self._believable(announced)
        self._taken: Address | None = None
        self._heard_s = 0.0
        self._candidate: _Candidate | None = None

    @property
    def taken(self) -> Address | None:
        """Return the address that packets have been taken from; None before the first."""
        return self._taken

    @property
    def target(self) -> Address | None:
        """Return where to send to; None: not known yet."""
        return self._taken or self._announced

    def announce(self, announced: Address | None, signalled_from: str | None) -> None:
        """Take a new description. If its address is the same as before, whoever has been taken stays."""
        self._signalled_from = canonical(signalled_from) or self._signalled_from
        announced = self._believable(announced)
        if announced != self._announced:
            self._announced = announced
            self._taken = self._candidate = None

    def admits(self, address: Address, sequence: int, now_s: float) -> bool:
        """Return whether a packet in clear, well-formed and of an agreed payload type, is theirs."""
        if address == self._taken:
            self._heard_s = now_s
            return True
        if address == self._announced:
            self._take(address, now_s)
            return True
        if self._taken is not None:
            return False
        announced, signalled_from, host = self._announced, self._signalled_from, address[0]
        is_first = announced is None if signalled_from is None else host == signalled_from
        if is_first and (announced is None or host != announced[0]):
            self._take(address, now_s)
            return True
        if announced is None or host == announced[0] or self._is_hidden(announced[0]):
            return self._is_patient_with(address, sequence, now_s)
        return False

    def authentic(self, address: Address, now_s: float) -> None:
        """A packet that was sealed with their key came from there."""
        if address in {self._taken, self._announced} or now_s - self._heard_s >= MOVED_AFTER_S:
            self._take(address, now_s)

    def knows_host(self, address: Address) -> bool:
        """Return whether reports (RTCP) from there are theirs."""
        known = self.target
        return known is not None and known[0] == address[0]

    def _take(self, address: Address, now_s: float) -> None:
        self._taken, self._heard_s, self._candidate = address, now_s, None

    def _is_patient_with(self, address: Address, sequence: int, now_s: float) -> bool:
        candidate = self._candidate
        follows = (
            candidate is not None
            and candidate.address == address
            and 0 < (sequence - candidate.sequence & 0xFFFF) <= _FOLLOWS
            and now_s - candidate.last_s < _PAUSE_S
        )
        if candidate is None or not follows:
            if candidate is None or now_s - candidate.last_s >= _PAUSE_S or candidate.address == address:
                self._candidate = _Candidate(address, now_s, now_s, sequence)
            else:  # two at once: nobody can tell which of them is the one
                candidate.since_s, candidate.packets = now_s, 0
            return False
        candidate.last_s, candidate.sequence = now_s, sequence
        candidate.packets += 1
        if now_s - candidate.since_s < PATIENCE_S or candidate.packets < ENOUGH_PACKETS:
            return False
        self._take(address, now_s)
        return True

    def _is_hidden(self, host: str) -> bool:
        """Return whether an announced host cannot be reached from where the signalling comes from."""
        if self._signalled_from is None:
            return False
        return ipaddress.ip_address(host).is_private and ipaddress.ip_address(self._signalled_from).is_global

    def _believable(self, announced: Address | None) -> Address | None:
        """Return the address unless it is one of our own machine's, told by somebody who is not on it."""
        if announced is None or self._signalled_from is None:
            return announced
        ours = ipaddress.ip_address(announced[0]).is_loopback
        return None if ours and not ipaddress.ip_address(self._signalled_from).is_loopback else announced


def canonical(host: str | None) -> str | None:
    """Return an IP address in the form that descriptions are read in; None for what is none."""
    try:
        address = ipaddress.ip_address((host or "").partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
