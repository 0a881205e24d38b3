"""What a screen knows of a call: a snapshot, and the events after it. Pure, so that both sides can be tested.

Every event may come again, alone or together with all that followed it: the state ends up the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import reduce
from typing import Any, Final

from infra.model import Event, side_of

Facts = dict[str, Any]

_CALL_FACTS: Final = (
    "id",
    "external_id",
    "door",
    "title",
    "status",
    "from_number",
    "to_number",
    "started_at",
    "ended_at",
    "duration_ms",
    "settled_at",
    "stage",
    "queue",
    "agent",
)
_STARTED_FACTS: Final = ("external_id", "door", "title", "from_number", "to_number", "started_at")
_SINGLE_KINDS: Final = ("intent", "sentiment", "complaint")
_RECORDING_FACTS: Final = ("state", "recording_id", "duration_ms", "format", "pauses", "reason")
_NOT_RECORDED: Final[Facts] = {**dict.fromkeys(_RECORDING_FACTS), "state": "off", "pauses": []}
_TRACK_FACTS: Final = ("id", "leg_id", "role", "side", "label", "speaker", "language", "mixed", "closed")
_SPEAKER_FACTS: Final = ("speaker", "role", "source")
_OVER: Final = ("writing", "saved", "failed")


@dataclass(frozen=True, slots=True)
class CallState:
    """A call as a screen shows it. Never changed in place."""

    call: Facts
    legs: Mapping[str, Facts] = field(default_factory=dict)
    tracks: Mapping[str, Facts] = field(default_factory=dict)
    segments: Mapping[str, Facts] = field(default_factory=dict)
    speakers: Mapping[str, Facts] = field(default_factory=dict)
    """Of each mixed track: the revision, and who speaks on it."""
    gaps: Mapping[tuple[str, int, str], Facts] = field(default_factory=dict)
    insights: Mapping[str, Facts] = field(default_factory=dict)
    lag_ms: Mapping[str, int] = field(default_factory=dict)
    recording: Facts = field(default_factory=lambda: _NOT_RECORDED)

    def lines(self) -> list[Facts]:
        """Return the segments in the order in which they were said."""
        return sorted(self.segments.values(), key=lambda s: (s["start_ms"], s["track_id"], s["seq"]))


def empty(call_id: str) -> CallState:
    """Return the state of a call of which nothing is known yet."""
    return CallState(call={**dict.fromkeys(_CALL_FACTS), "id": call_id, "status": "live"})


def from_snapshot(snapshot: Mapping[str, Any]) -> CallState:
    """Return the state that a snapshot (its JSON) tells."""
    return CallState(
        call={name: snapshot["call"][name] for name in _CALL_FACTS},
        legs={leg["id"]: _only(leg, "id", "role", "name", "joined_at", "left_at") for leg in snapshot["legs"]},
        tracks={track["id"]: _only(track, *_TRACK_FACTS) for track in snapshot["tracks"]},
        segments={segment["segment_id"]: segment for segment in snapshot["segments"]},
        speakers=_speakers_of(snapshot),
        gaps={_gap_key(gap): gap for gap in snapshot["gaps"]},
        insights={insight["insight_id"]: insight for insight in snapshot["insights"]},
        recording=_only(snapshot["recording"], *_RECORDING_FACTS),
    )


def apply_all(state: CallState, events: Iterable[Event]) -> CallState:
    """Return the state after these events."""
    return reduce(apply, events, state)


def apply(state: CallState, event: Event) -> CallState:
    """Return the state after one more event; the same event again changes nothing."""
    change = _CHANGES.get(event.type)
    return change(state, event) if change else state


def llm_data(state: CallState) -> Facts:
    """Return the insights as the prototype's page shows them: one object with a field a kind."""
    data: Facts = {
        "summary": None,
        **dict.fromkeys(_SINGLE_KINDS),
        "action_items": [],
        "key_topics": [],
        "other": {},
        "status": state.call["status"],
        "settled": state.call["settled_at"] is not None,
        "segment_count": sum(segment["is_final"] for segment in state.segments.values()),
    }
    for insight in state.insights.values():
        kind, body = insight["kind"], insight["body"]
        if kind == "summary":
            data["summary"] = body.get("text")
        elif kind in _SINGLE_KINDS:
            data[kind] = body
        elif kind == "action_item":
            data["action_items"].append({**body, "insight_id": insight["insight_id"]})
        elif kind == "key_topic":
            data["key_topics"].extend(topic for topic in body.get("topics", ()) if topic not in data["key_topics"])
        else:
            data["other"].setdefault(kind, []).append(body)
    return data


def _call_started(state: CallState, event: Event) -> CallState:
    told = {name: event.data[name] for name in _STARTED_FACTS if event.data.get(name) is not None}
    call = {**state.call, "started_at": state.call["started_at"] or _at(event), **told}
    if call["ended_at"] is not None and not _is_file(call) and event.at > datetime.fromisoformat(call["ended_at"]):
        # Taken up again after it had ended.
        call |= {"status": "live", "ended_at": None, "duration_ms": None, "settled_at": None}
        if state.recording["state"] in {"writing", "saved"}:
            state = replace(state, recording={**state.recording, "state": "on"})
    return replace(state, call=call)


def _call_ended(state: CallState, event: Event) -> CallState:
    call = {**state.call, "status": "ended", "stage": None, "duration_ms": event.data.get("duration_ms")}
    call["ended_at"] = state.call["ended_at"] or event.data.get("ended_at") or _at(event)
    if state.recording["state"] in {"on", "paused"}:
        state = replace(state, recording={**state.recording, "state": "writing"})
    return replace(state, call=call)


def _is_file(call: Facts) -> bool:
    """Return whether it was imported: then it has the clock of its file, and is not taken up again."""
    return bool(call["door"] == "file")


def _call_stage(state: CallState, event: Event) -> CallState:
    data = event.data
    stage = data["stage"] if state.call["status"] == "live" else None
    agent = data["agent"] or state.call["agent"]
    return replace(state, call={**state.call, "stage": stage, "queue": data["queue"], "agent": agent})


def _call_settled(state: CallState, event: Event) -> CallState:
    finals = {key: segment for key, segment in state.segments.items() if segment["is_final"]}
    call = {**state.call, "settled_at": state.call["settled_at"] or _at(event)}
    return replace(state, call=call, segments=finals, lag_ms={})


def _leg_joined(state: CallState, event: Event) -> CallState:
    leg_id = event.data["leg_id"]
    known = state.legs.get(leg_id, {"joined_at": _at(event), "left_at": None})
    leg = {**known, "id": leg_id, "role": event.data["role"], "name": event.data.get("name")}
    return replace(state, legs={**state.legs, leg_id: leg})


def _leg_left(state: CallState, event: Event) -> CallState:
    leg = state.legs.get(event.data["leg_id"])
    if leg is None or leg["left_at"] is not None:
        return state
    return replace(state, legs={**state.legs, leg["id"]: {**leg, "left_at": _at(event)}})


def _track_opened(state: CallState, event: Event) -> CallState:
    track_id = event.data["track_id"]
    known = state.tracks.get(track_id, {"side": side_of(event.data["role"]), "closed": False, "language": None})
    told = _only(event.data, "leg_id", "role", "label", "speaker")
    track = {"id": track_id, **told, **_only(known, "side", "closed", "language")}
    track["mixed"] = event.data.get("mixed", False)
    return replace(state, tracks={**state.tracks, track_id: track})


def _track_closed(state: CallState, event: Event) -> CallState:
    track = state.tracks.get(event.data["track_id"])
    if track is None:
        return state
    lag_ms = {key: value for key, value in state.lag_ms.items() if key != track["id"]}
    return replace(state, tracks={**state.tracks, track["id"]: {**track, "closed": True}}, lag_ms=lag_ms)


def _segment_partial(state: CallState, event: Event) -> CallState:
    key = event.data["segment_id"]
    known = state.segments.get(key)
    if known is not None and known["is_final"]:
        return state
    others = {other: segment for other, segment in state.segments.items() if other != key}
    if event.data["text"].strip():
        others[key] = {**event.data, "is_final": False}
    return replace(state, segments=others)


def _segment_final(state: CallState, event: Event) -> CallState:
    key = event.data["segment_id"]
    segment = {"speakers_revision": 0, **event.data, "is_final": True}
    known = state.segments.get(key)
    if known is not None and known["is_final"] and known["speakers_revision"] > segment["speakers_revision"]:
        names = "speaker", "role", "words", "speakers_revision"
        segment |= _only(known, *(name for name in names if name in known))  # told once more
    return replace(state, segments={**state.segments, key: segment})


def _speakers(state: CallState, event: Event) -> CallState:
    data, revision, segments = event.data, event.data["revision"], dict(state.segments)
    for said in data["segments"]:
        known = segments.get(said["segment_id"])
        if known is None or known.get("speakers_revision", 0) >= revision:
            continue
        words = known.get("words", [])
        names = said["words"] or [None] * len(words)
        segments[said["segment_id"]] = {
            **known,
            **_only(said, "speaker", "role"),
            "words": [_said_by(word, name) for word, name in zip(words, names, strict=False)],
            "speakers_revision": revision,
        }
    speakers = state.speakers
    if speakers.get(data["track_id"], {"revision": 0})["revision"] < revision:
        speakers = {**speakers, data["track_id"]: _only(data, "revision", "speakers")}
    return replace(state, segments=segments, speakers=speakers)


def _speakers_of(snapshot: Mapping[str, Any]) -> dict[str, Facts]:
    return {
        track["id"]: {
            "revision": track["speakers_revision"],
            "speakers": [_only(one, *_SPEAKER_FACTS) for one in snapshot["speakers"] if one["track_id"] == track["id"]],
        }
        for track in snapshot["tracks"]
        if track["speakers_revision"]
    }


def _said_by(word: Facts, name: str | None) -> Facts:
    told = {key: value for key, value in word.items() if key != "speaker"}
    return told if name is None else {**told, "speaker": name}


def _insight(state: CallState, event: Event) -> CallState:
    key = event.data["insight_id"]
    known = state.insights.get(key)
    if known is not None and known["revision"] >= event.data["revision"]:
        return state
    return replace(state, insights={**state.insights, key: event.data})


def _gap(state: CallState, event: Event) -> CallState:
    return replace(state, gaps={**state.gaps, _gap_key(event.data): event.data})


def _lag(state: CallState, event: Event) -> CallState:
    return replace(state, lag_ms={**state.lag_ms, event.data["track_id"]: event.data["lag_ms"]})


def _language(state: CallState, event: Event) -> CallState:
    track = state.tracks.get(event.data["track_id"])
    if track is None:
        return state
    return replace(state, tracks={**state.tracks, track["id"]: {**track, "language": event.data["language"]}})


def _recording_started(state: CallState, event: Event) -> CallState:
    del event
    return replace(state, recording={**state.recording, "state": "on"}) if state.recording["state"] == "off" else state


def _recording_saved(state: CallState, event: Event) -> CallState:
    length_ms = event.data["duration_ms"]
    closed = [pause if pause["end_ms"] is not None else {**pause, "end_ms": length_ms} for pause in _pauses(state)]
    told = _only(event.data, "recording_id", "duration_ms", "format")
    reason = event.data.get("reason")
    return replace(state, recording={"state": "saved", **told, "pauses": closed, "reason": reason})


def _recording_failed(state: CallState, event: Event) -> CallState:
    told = {"recording_id": event.data.get("recording_id"), "reason": event.data.get("reason")}
    return replace(state, recording={**state.recording, **told, "state": "failed"})


def _recording_paused(state: CallState, event: Event) -> CallState:
    at_ms, pauses = event.data["at_ms"], _pauses(state)
    if any(pause["start_ms"] == at_ms for pause in pauses):
        return state
    if not any(pause["end_ms"] is None and pause["start_ms"] <= at_ms for pause in pauses):  # else within another
        pause = {"start_ms": at_ms, "end_ms": None, "reason": "asked"}
        pauses = sorted([*pauses, pause], key=lambda pause: pause["start_ms"])
    return _recording(state, event, pauses, "paused")


def _recording_resumed(state: CallState, event: Event) -> CallState:
    at_ms, pauses = event.data["at_ms"], _pauses(state)
    lasting = [pause for pause in pauses if pause["end_ms"] is None and pause["start_ms"] <= at_ms]
    if not lasting:
        return state
    pauses = [{**pause, "end_ms": at_ms} if pause is lasting[-1] else pause for pause in pauses]
    return _recording(state, event, pauses, "on")


def _recording(state: CallState, event: Event, pauses: list[Facts], phase: str) -> CallState:
    known = state.recording
    phase = known["state"] if known["state"] in _OVER else phase
    told = {"recording_id": known["recording_id"] or event.data.get("recording_id"), "pauses": pauses, "state": phase}
    return replace(state, recording={**known, **told})


def _pauses(state: CallState) -> list[Facts]:
    pauses: list[Facts] = state.recording["pauses"]
    return pauses


_CHANGES: Final[Mapping[str, Callable[[CallState, Event], CallState]]] = {
    "call.started": _call_started,
    "call.ended": _call_ended,
    "call.settled": _call_settled,
    "call.stage": _call_stage,
    "leg.joined": _leg_joined,
    "leg.left": _leg_left,
    "track.opened": _track_opened,
    "track.closed": _track_closed,
    "segment.partial": _segment_partial,
    "segment.final": _segment_final,
    "speakers": _speakers,
    "insight": _insight,
    "gap": _gap,
    "lag": _lag,
    "language": _language,
    "recording.started": _recording_started,
    "recording.saved": _recording_saved,
    "recording.failed": _recording_failed,
    "recording.paused": _recording_paused,
    "recording.resumed": _recording_resumed,
}


def _at(event: Event) -> str:
    return event.at.isoformat().replace("+00:00", "Z")


def _gap_key(gap: Mapping[str, Any]) -> tuple[str, int, str]:
    return gap["track_id"], gap["start_ms"], gap["cause"]


def _only(facts: Mapping[str, Any], *names: str) -> Facts:
    return {name: facts[name] for name in names}
