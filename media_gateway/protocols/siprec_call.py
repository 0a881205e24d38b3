"""What is known of a call that a SIPREC client records: what its documents add up to. Pure.

Source: RFC 7865, sections 6 and 8. Clients leave out much: one links nobody to a stream, one has no participants,
one sends the two parties apart and a third stream with both. What is missing is guessed from the order in which
things are written, never refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from media_gateway.protocols.siprec import Link, MediaStream, Metadata, Participant, Session

MAX_KEPT: Final = 256
"""Participants, streams, sessions and links that one recording remembers, each."""

_Known = TypeVar("_Known")


@dataclass(frozen=True, slots=True)
class Heard:
    """What is heard on one audio stream."""

    participants: tuple[Participant, ...]
    """Whose voices; empty where nobody can tell."""
    mixed: bool
    """Several people may be heard on it."""
    spare: bool = False
    """All of them are heard on streams of their own, too."""


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """All that is known. Never changed in place."""

    sessions: dict[str, Session] = field(default_factory=dict)
    participants: dict[str, Participant] = field(default_factory=dict)
    streams: dict[str, MediaStream] = field(default_factory=dict)
    links: dict[str, Link] = field(default_factory=dict)
    """By participant."""
    gone: frozenset[str] = frozenset()
    """Participants who have left."""

    def updated(self, news: Metadata) -> RecordedCall:
        """Return what is known after one more document. What a partial one does not name stays as it was."""
        base = RecordedCall() if news.complete else self
        left = {one.participant_id for one in news.presences if one.left_at is not None}
        back = {one.participant_id for one in news.presences if one.left_at is None}
        participants = _merged(base.participants, self._named(news.participants))
        return RecordedCall(
            sessions=_merged(base.sessions, {one.id: one for one in news.sessions}),
            participants=participants,
            streams=_merged(base.streams, {one.id: one for one in news.streams}),
            links=_merged(base.links, _links(base.links, news.links)),
            gone=((base.gone - back) | (left - back)) & participants.keys(),
        )

    @property
    def session(self) -> Session | None:
        """The first communication session that has not stopped, else the first of all."""
        live = [one for one in self.sessions.values() if one.stopped_at is None]
        return next(iter(live or self.sessions.values()), None)

    @property
    def present(self) -> tuple[Participant, ...]:
        """Those who have not left, in the order in which they were named."""
        return tuple(one for one in self.participants.values() if one.id not in self.gone)

    def is_torn(self) -> bool:
        """Return whether something is named that was never told of: a document has been lost."""
        named = {key for link in self.links.values() for key in (*link.sends, *link.receives)}
        return not (self.links.keys() <= self.participants.keys() and named <= self.streams.keys())

    def heard(self, labels: Sequence[str | None]) -> tuple[Heard, ...]:
        """Return what is heard on each audio stream, given their labels in the order of the offer."""
        alone = {
            one.id
            for label, place in zip(labels, range(len(labels)), strict=True)
            if len(senders := self._senders(label, place, len(labels))) == 1
            for one in senders
        }
        found = []
        for place, label in enumerate(labels):
            senders = self._senders(label, place, len(labels))
            stream = self._stream(label, place, len(labels))
            nobody_knows = not senders and len(labels) == 1
            mixed = len(senders) > 1 or nobody_knows or (stream is not None and stream.mixed)
            found.append(Heard(senders, mixed, spare=len(senders) > 1 and alone >= {one.id for one in senders}))
        return tuple(found)

    def _stream(self, label: str | None, place: int, count: int) -> MediaStream | None:
        """Find a stream by its label; where no label of the call's is known, by its place."""
        streams = list(self.streams.values())
        found = next((one for one in streams if label is not None and one.label == label), None)
        return found or (streams[place] if len(streams) == count and label is None else None)

    def _senders(self, label: str | None, place: int, count: int) -> tuple[Participant, ...]:
        """Return who is heard on a stream.

        Where the client links nobody to any stream, a single stream has everybody, and else the first participant is
        taken to be heard on the first stream that it names, and so on.
        """
        stream, present = self._stream(label, place, count), self.present
        if self.links:
            if stream is None:
                return ()
            return tuple(one for one in present if one.id in self.links and stream.id in self.links[one.id].sends)
        if count == 1:
            return present
        order = list(self.streams).index(stream.id) if stream is not None else place
        return present[order : order + 1] if len(present) == count else ()

    def _named(self, news: Sequence[Participant]) -> dict[str, Participant]:
        """An update that names somebody by their id alone takes nothing away from what is known of them."""
        found = {}
        for one in news:
            before = self.participants.get(one.id, one)
            same = one.aor in {None, before.aor}
            found[one.id] = replace(
                one,
                aor=one.aor or before.aor,
                name=one.name or (before.name if same else None),
                calling=before.calling if one.calling is None else one.calling,
            )
        return found


def _links(base: dict[str, Link], news: Sequence[Link]) -> dict[str, Link]:
    """Return the links that have changed: new ones take the place of the old, an ended one takes out what it names."""
    found: dict[str, Link] = {}
    for one in news:
        if one.over:
            before = found.get(one.participant_id) or base.get(one.participant_id, Link(one.participant_id))
            ended = {*one.sends, *one.receives} or {*before.sends, *before.receives}
            sends = tuple(key for key in before.sends if key not in ended)
            receives = tuple(key for key in before.receives if key not in ended)
            found[one.participant_id] = Link(one.participant_id, sends, receives)
    fresh: Counter[str] = Counter()
    for one in news:
        if one.over:
            continue
        fresh[one.participant_id] += 1
        before = found.get(one.participant_id, one) if fresh[one.participant_id] > 1 else one
        found[one.participant_id] = Link(  # there may be several elements of one participant
            one.participant_id,
            tuple(dict.fromkeys((*before.sends, *one.sends))),
            tuple(dict.fromkeys((*before.receives, *one.receives))),
        )
    return found


def _merged(base: dict[str, _Known], news: dict[str, _Known]) -> dict[str, _Known]:
    """The first ones stay: a client that names ever more of them changes nothing."""
    merged = {**base, **news}
    return merged if len(merged) <= MAX_KEPT else dict(list(merged.items())[:MAX_KEPT])
