"""Digest authentication (RFC 7616, RFC 8760): of callers, and of ourselves at others."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Final

from media_gateway.protocols.sip.grammar import QUOTED, TOKEN, quoted, unquoted
from media_gateway.protocols.sip.message import Request, Response

_HASHES: Final[dict[str, str]] = {"SHA-256": "sha256", "MD5": "md5"}
"""The better first."""
ALGORITHMS: Final = tuple(_HASHES)
_PAIR: Final = re.compile(rf"[ \t,]*({TOKEN})[ \t]*=[ \t]*({QUOTED}|[^\s,\"]+)[ \t]*(?=,|\Z)", re.DOTALL)
_HEX: Final = re.compile(r"[0-9a-f]+", re.IGNORECASE)
_QUOTED_FIELDS: Final = frozenset({"username", "realm", "nonce", "uri", "response", "cnonce", "opaque"})


def parse_digest(value: str) -> dict[str, str] | None:
    """Return what a Digest challenge or Digest credentials say; None for another scheme and for nonsense."""
    scheme, _, rest = value.strip().partition(" ")
    if scheme.lower() != "digest":
        return None
    found: dict[str, str] = {}
    at = 0
    rest = rest.strip()
    while at < len(rest):
        matched = _PAIR.match(rest, at)
        if matched is None or matched[1].lower() in found:
            return None
        text = matched[2]
        found[matched[1].lower()] = unquoted(text) if text[0] == '"' else text
        at = matched.end()
    return found


def digest_text(fields: Iterable[tuple[str, str]]) -> str:
    """Return a challenge or credentials as they stand in a header."""
    return "Digest " + ", ".join(
        f"{name}={quoted(value) if name in _QUOTED_FIELDS else value}" for name, value in fields
    )


def digest_response(algorithm: str, user: str, realm: str, password: str, method: str, fields: dict[str, str]) -> str:
    """Return the hash that proves the password (RFC 7616, section 3.4.1).

    `fields` has the nonce and the uri, and with a qop also nc and cnonce.

    Raises:
        KeyError: the algorithm or a field is not there.
    """
    name = _HASHES[algorithm]

    def hashed(text: str) -> str:
        return hashlib.new(name, text.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()

    secret = hashed(f"{user}:{realm}:{password}")
    asked = hashed(f"{method}:{fields['uri']}")
    if "qop" in fields:
        middle = f"{fields['nonce']}:{fields['nc']}:{fields['cnonce']}:{fields['qop']}"
    else:
        middle = fields["nonce"]
    return hashed(f"{secret}:{middle}:{asked}")


class Verdict(Enum):
    """What credentials are worth."""

    RIGHT = "right"
    WRONG = "wrong"
    """Missing, of another realm or algorithm, or of another password."""
    STALE = "stale"
    """The password may be right; the nonce is too old, or its count was used before."""


class Guard:
    """Challenges callers and checks what they answer.

    A nonce is a signed time, bound to the caller's address: it leaves no state until a right answer has used it.
    """

    def __init__(
        self,
        realm: str,
        password_of: Callable[[str], str | None],
        nonce_s: float,
        nonces: int,
        rng: Random,
        algorithms: tuple[str, ...] = ALGORITHMS,
    ) -> None:
        self._realm = realm
        self._password_of = password_of
        self._nonce_s = nonce_s
        self._nonces = nonces
        self._algorithms = algorithms
        self._rng = rng
        self._key = rng.getrandbits(256).to_bytes(32, "big")
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._forgotten_s = -1.0
        """Nonces made until then are stale: their counts had to make room."""

    def challenges(self, host: str, now_s: float, *, stale: bool) -> list[tuple[str, str]]:
        """Return the WWW-Authenticate headers for a caller at `host`, the preferred algorithm first."""
        nonce = self._nonce(host, now_s)
        fields = [("realm", self._realm), ("nonce", nonce), ("qop", '"auth"')]
        if stale:
            fields.append(("stale", "true"))
        return [("WWW-Authenticate", digest_text([*fields, ("algorithm", name)])) for name in self._algorithms]

    def check(self, request: Request, host: str, now_s: float) -> tuple[Verdict, str]:
        """Judge the credentials in a request, and say whose they are.

        Their uri is not compared with the request's: proxies on the way may rewrite that one (RFC 3261, section 22.4).
        """
        verdict, user = Verdict.WRONG, ""
        for value in request.headers.all("authorization"):
            given = parse_digest(value)
            if given is None or given.get("realm") != self._realm:
                continue
            verdict = self._judge(given, request.method, host, now_s)
            user = given.get("username", "")
            if verdict is Verdict.RIGHT:
                return verdict, user
        return verdict, user

    def _judge(self, given: dict[str, str], method: str, host: str, now_s: float) -> Verdict:
        algorithm = given.get("algorithm", "MD5").upper()
        nonce, count = given.get("nonce", ""), given.get("nc", "")
        if (
            algorithm not in self._algorithms
            or given.get("qop") != "auth"
            or not _HEX.fullmatch(count)
            or len(count) != 8
        ):
            return Verdict.WRONG
        if "cnonce" not in given or "uri" not in given:
            return Verdict.WRONG
        made_s = self._made_s(nonce, host)
        if made_s is None:
            return Verdict.WRONG if not nonce else Verdict.STALE
        user = given.get("username", "")
        password = self._password_of(user)
        # A user who does not exist costs as much time as one who does.
        known = password if password is not None else self._key.hex()
        right = digest_response(algorithm, user, self._realm, known, method, given)
        same = hmac.compare_digest(right.encode(), given.get("response", "").lower().encode("utf-8", "surrogateescape"))
        if not same or password is None:
            return Verdict.WRONG
        if not now_s - self._nonce_s <= made_s <= now_s or made_s <= self._forgotten_s:
            return Verdict.STALE
        return Verdict.RIGHT if self._count(nonce, int(count, 16), made_s) else Verdict.STALE

    def _count(self, nonce: str, count: int, made_s: float) -> bool:
        """Note that a count of a nonce was used; False if it, or a later one, was before (RFC 7616, section 3.4)."""
        if count <= self._counts.get(nonce, 0):
            return False
        self._counts[nonce] = count
        self._counts.move_to_end(nonce)
        if len(self._counts) > self._nonces:
            oldest, _ = self._counts.popitem(last=False)
            self._forgotten_s = max(self._forgotten_s, _time_in(oldest))
        return made_s > self._forgotten_s

    def _nonce(self, host: str, now_s: float) -> str:
        made = f"{max(int(now_s * 1000), 0):012x}{self._rng.getrandbits(64):016x}"
        return made + self._signed(made, host)

    def _made_s(self, nonce: str, host: str) -> float | None:
        made, signature = nonce[:28], nonce[28:]
        if not _HEX.fullmatch(made) or len(made) != 28:
            return None
        same = hmac.compare_digest(self._signed(made, host).encode(), signature.encode("utf-8", "surrogateescape"))
        return _time_in(nonce) if same else None

    def _signed(self, made: str, host: str) -> str:
        return hmac.new(self._key, f"{made}{host}".encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[:32]


def _time_in(nonce: str) -> float:
    return int(nonce[:12], 16) / 1000


@dataclass(slots=True)
class Credentials:
    """Our name and password at one peer, and its last challenge."""

    user: str
    password: str
    _challenge: dict[str, str] | None = None
    _header: str = "Authorization"
    _count: int = 0

    @property
    def nonce(self) -> str:
        """The nonce that the last challenge gave; empty before any."""
        return (self._challenge or {}).get("nonce", "")

    @property
    def realm(self) -> str:
        """The realm of the last challenge; empty before any."""
        return (self._challenge or {}).get("realm", "")

    def take(self, response: Response) -> bool:
        """Learn the challenge of a 401 or 407; False: there is none that we can answer.

        Of several the strongest algorithm counts (RFC 8760, section 2.4).
        """
        asked, header = ("proxy-authenticate", "Proxy-Authorization")
        if response.status == 401:
            asked, header = ("www-authenticate", "Authorization")
        found: dict[str, dict[str, str]] = {}
        for value in response.headers.all(asked):
            challenge = parse_digest(value)
            if challenge is None or not {"realm", "nonce"} <= challenge.keys():
                continue
            qops = [word.strip().lower() for word in challenge.get("qop", "").split(",")]
            if qops in ([""], ["auth"]) or "auth" in qops:
                found.setdefault(challenge.get("algorithm", "MD5").upper(), challenge)
        for name in _HASHES:
            if name in found:
                self._challenge, self._header, self._count = found[name], header, 0
                return True
        return False

    def is_refused(self, response: Response, sent_nonce: str) -> bool:
        """Return whether a second challenge means that the password is wrong, not that the nonce was too old."""
        name = "www-authenticate" if response.status == 401 else "proxy-authenticate"
        stale = any(
            (parse_digest(value) or {}).get("stale", "").lower() == "true" for value in response.headers.all(name)
        )
        return bool(sent_nonce) and not stale

    def header(self, method: str, uri: str, rng: Random) -> tuple[tuple[str, str], ...]:
        """Return the header that answers the last challenge; nothing before any."""
        if self._challenge is None:
            return ()
        self._count += 1
        challenge = self._challenge
        algorithm = challenge.get("algorithm", "MD5")
        fields = {"username": self.user, "realm": challenge["realm"], "nonce": challenge["nonce"], "uri": uri}
        if "qop" in challenge:
            fields |= {"qop": "auth", "nc": f"{self._count:08x}", "cnonce": f"{rng.getrandbits(64):016x}"}
        answer = digest_response(algorithm.upper(), self.user, challenge["realm"], self.password, method, fields)
        fields["response"] = answer
        if "algorithm" in challenge:
            fields["algorithm"] = algorithm
        if "opaque" in challenge:
            fields["opaque"] = challenge["opaque"]
        return ((self._header, digest_text(fields.items())),)
