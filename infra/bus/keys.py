"""Every name that Hearline uses in Redis.

A cluster places a key by its part in braces, or by the whole name where there is none: keys that one script
touches together share that part.
"""

from __future__ import annotations

from typing import Literal
from uuid import UUID

Work = Literal["asr", "insights"]


def audio(track_id: UUID) -> str:
    """Return the stream of a track's audio chunks; entry id = seq + 1."""
    return f"audio:{{{track_id}}}"


def voices(track_id: UUID) -> str:
    """Return what the voices of a live mixed track sound like, for a worker that takes it over."""
    return f"voices:{{{track_id}}}"


def events(call_id: UUID) -> str:
    """Return the stream of a call's events; entry id = the cursor."""
    return f"events:{{{call_id}}}"


def event_told(call_id: UUID, key: str) -> str:
    """Return the marker that the event with this key is in the call's stream."""
    return f"events:{{{call_id}}}:told:{key}"


def feed(tenant_id: UUID) -> str:
    """Return the stream of all events of a tenant; entry id = the cursor of a `*` subscription."""
    return f"feed:{{{tenant_id}}}"


def feed_told(tenant_id: UUID, call_id: UUID, key: str) -> str:
    """Return the marker that the event with this key is in the tenant's feed."""
    return f"feed:{{{tenant_id}}}:told:{call_id}:{key}"


def work(kind: Work) -> str:
    """Return the stream of tracks (asr) or calls (insights) that want an owner."""
    return f"work:{kind}"


def work_known(kind: Work, item_id: UUID) -> str:
    """Return the marker that this track or call was announced."""
    return f"{{work:{kind}}}:known:{item_id}"


def dead(kind: Work) -> str:
    """Return the stream of work that failed too often, with its reason."""
    return f"dead:{kind}"


def gateway(gateway_id: str) -> str:
    """Return the key that a living gateway keeps from expiring."""
    return f"gateway:{{{gateway_id}}}"


def sip_problems() -> str:
    """Return the hash of gateways that are not registered where they should be, and why."""
    return "sip:problems"


def phone(user_id: UUID) -> str:
    """Return the key that holds whether a user takes calls."""
    return f"phone:{{{user_id}}}"


def worker(kind: Work, worker_id: str) -> str:
    """Return the key that a living worker keeps from expiring; its value says what it runs."""
    return f"worker:{{{kind}}}:{worker_id}"


def workers(kind: Work) -> str:
    """Return the set of the workers of that kind which may be living."""
    return f"worker:{{{kind}}}"


def grant(name: str) -> str:
    """Return the key that holds what a one-time name was given out for."""
    return f"grant:{{{name}}}"


def spent(nonce: str) -> str:
    """Return the marker that a one-time token was used."""
    return f"spent:{{{nonce}}}"
