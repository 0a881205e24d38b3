"""The state of a call: old state + events == fresh state, however often events come again."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from dashboard import state
from infra.model import Event, EventType

CALL = UUID(int=7)
BEGAN = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
TRACKS = ("t1", "t2")


def event(kind: EventType, data: dict[str, Any], second: int = 0) -> Event:
    return Event(kind, CALL, data, at=BEGAN + timedelta(seconds=second), id=f"{second + 1}-0")


def segment(seq: int, text: str, track: str = "t1", start_ms: int | None = None) -> dict[str, Any]:
    return {
        "segment_id": f"{track}-{seq}",
        "track_id": track,
        "leg_id": "l" + track,
        "role": "customer",
        "speaker": "SPEAKER_00",
        "seq": seq,
        "start_ms": seq * 1000 if start_ms is None else start_ms,
        "end_ms": seq * 1000 + 900,
        "text": text,
        "words": [{"w": word, "start_ms": 0, "end_ms": 1, "p": 0.9} for word in text.split()],
        "is_final": False,
    }


def speakers(revision: int, *segments: tuple[str, str, str, list[str] | None]) -> dict[str, Any]:
    named = [{"segment_id": key, "speaker": name, "role": role, "words": words} for key, name, role, words in segments]
    known = [{"speaker": "SPEAKER_00", "role": "unknown", "source": "guess"}]
    return {"track_id": "t1", "revision": revision, "speakers": known, "segments": named}


def insight(key: str, kind: str, body: dict[str, Any], revision: int = 1) -> dict[str, Any]:
    return {
        "insight_id": key,
        "kind": kind,
        "body": body,
        "evidence": [],
        "source": "builtin",
        "revision": revision,
    }


def replay(*events: Event) -> state.CallState:
    return state.apply_all(state.empty(str(CALL)), events)


def a_whole_call() -> list[Event]:
    """One of everything, in the order in which it happens."""
    story: list[tuple[EventType, dict[str, Any]]] = [
        ("call.started", {"external_id": "CA1", "door": "twilio", "from_number": "+1", "to_number": None}),
        ("leg.joined", {"leg_id": "lt1", "role": "customer", "name": None}),
        ("track.opened", {"track_id": "t1", "leg_id": "lt1", "role": "customer", "label": "in", "speaker": "A"}),
        ("leg.joined", {"leg_id": "lt2", "role": "agent", "name": "Ann"}),
        ("track.opened", {"track_id": "t2", "leg_id": "lt2", "role": "agent", "label": "out", "speaker": "B"}),
        ("segment.partial", segment(0, "good")),
        ("segment.partial", segment(0, "good morn")),
        ("segment.partial", segment(0, "hello", "t2")),
        ("segment.final", segment(0, "Good morning.")),
        ("speakers", speakers(1, ("t1-0", "SPEAKER_00", "unknown", None))),
        ("insight", insight("i1", "summary", {"text": "first"})),
        ("gap", {"track_id": "t1", "start_ms": 950, "end_ms": 1000, "cause": "loss"}),
        ("lag", {"track_id": "t2", "lag_ms": 3000}),
        ("language", {"track_id": "t1", "language": "en", "probability": 0.9}),
        ("recording.paused", {"recording_id": "r", "at_ms": 3000}),
        ("recording.resumed", {"recording_id": "r", "at_ms": 4000}),
        ("recording.paused", {"recording_id": "r", "at_ms": 18_000}),
        ("segment.partial", segment(1, "noise")),
        ("segment.partial", segment(1, " ")),
        ("segment.final", segment(0, "Hello.", "t2")),
        ("language", {"track_id": "t2", "language": "en", "probability": 0.99}),
        ("language", {"track_id": "t1", "language": "es", "probability": 0.95}),
        ("segment.partial", segment(2, "never finished")),
        ("speakers", speakers(2, ("t1-0", "SPEAKER_01", "agent", ["SPEAKER_00", "SPEAKER_01"]))),
        ("speakers", speakers(3, ("t1-0", "SPEAKER_01", "customer", ["SPEAKER_00", "SPEAKER_01"]))),
        ("insight", insight("i2", "action_item", {"text": "call back", "status": "open"})),
        ("insight", insight("i1", "summary", {"text": "second"}, 2)),
        ("alert", {"text": "look"}),
        ("insight", insight("i2", "action_item", {"text": "call back", "status": "done"}, 2)),
        ("leg.left", {"leg_id": "lt1", "reason": "hung up"}),
        ("track.closed", {"track_id": "t1"}),
        ("call.ended", {"reason": "completed", "duration_ms": 21_000}),
        ("leg.left", {"leg_id": "lt2", "reason": "hung up"}),
        ("track.closed", {"track_id": "t2"}),
        ("recording.failed", {"recording_id": "r", "reason": "disk-full"}),
        ("recording.saved", {"recording_id": "r", "duration_ms": 21_000, "format": "opus", "bytes": 9}),
        ("call.settled", {}),
    ]
    return [event(kind, data, second) for second, (kind, data) in enumerate(story)]


STORY = a_whole_call()


@given(st.data())
def test_old_state_and_events_equal_fresh_state(data: st.DataObject) -> None:
    fresh = replay(*STORY)
    known = data.draw(st.integers(0, len(STORY)))
    again = data.draw(st.integers(0, known))
    old = replay(*STORY[:known])
    assert state.apply_all(old, STORY[again:]) == fresh


@given(st.lists(st.integers(0, len(STORY)), max_size=6))
def test_any_number_of_rewinds_ends_in_the_same_state(rewinds: list[int]) -> None:
    current, come = state.empty(str(CALL)), 0
    for to in [*rewinds, len(STORY)]:
        begin = min(come, to)
        current = state.apply_all(current, STORY[begin:to])
        come = max(come, to)
    current = state.apply_all(current, STORY[min([*rewinds, 0]) :])
    assert current == replay(*STORY)


@given(st.integers(0, len(STORY) - 1), st.integers(2, 4))
def test_an_event_that_comes_several_times_counts_once(at: int, times: int) -> None:
    repeated = [*STORY[:at], *[STORY[at]] * times, *STORY[at + 1 :]]
    assert replay(*repeated) == replay(*STORY)


def test_nothing_is_changed_in_place() -> None:
    before = replay(*STORY[:9])
    copy = replay(*STORY[:9])
    state.apply_all(before, STORY[9:])
    assert before == copy


def test_the_end_of_the_story() -> None:
    end = replay(*STORY)
    assert end.call["status"] == "ended"
    assert end.call["duration_ms"] == 21_000
    assert end.call["started_at"] == "2026-03-02T09:00:00Z"
    assert end.call["ended_at"] == "2026-03-02T09:00:31Z"
    assert [line["text"] for line in end.lines()] == ["Good morning.", "Hello."]
    assert [leg["left_at"] is not None for leg in end.legs.values()] == [True, True]
    assert [track["closed"] for track in end.tracks.values()] == [True, True]
    assert end.lag_ms == {}
    assert list(end.gaps.values()) == [{"track_id": "t1", "start_ms": 950, "end_ms": 1000, "cause": "loss"}]


def test_the_recording_of_the_story() -> None:
    def recording(until: EventType) -> dict[str, Any]:
        told = [event.type for event in STORY]
        return replay(*STORY[: len(told) - told[::-1].index(until)]).recording

    first = {"start_ms": 3000, "end_ms": 4000, "reason": "asked"}
    assert replay(*STORY[:3]).recording["state"] == "off"
    assert recording("recording.resumed")["state"] == "on"
    paused = recording("recording.paused")
    assert (paused["state"], paused["pauses"]) == (
        "paused",
        [first, {"start_ms": 18_000, "end_ms": None, "reason": "asked"}],
    )
    assert recording("call.ended")["state"] == "writing"
    failed = recording("recording.failed")
    assert (failed["state"], failed["reason"]) == ("failed", "disk-full")
    assert recording("recording.saved") == {
        "state": "saved",
        "recording_id": "r",
        "duration_ms": 21_000,
        "format": "opus",
        "pauses": [first, {"start_ms": 18_000, "end_ms": 21_000, "reason": "asked"}],
        "reason": None,
    }


def test_a_pause_within_a_pause_is_that_pause_and_ends_with_it() -> None:
    events = [event("recording.paused", {"at_ms": at_ms}) for at_ms in (10, 20)]
    current = replay(*events, event("recording.resumed", {"at_ms": 30}), event("recording.resumed", {"at_ms": 40}))
    assert current.recording["pauses"] == [{"start_ms": 10, "end_ms": 30, "reason": "asked"}]
    assert current.recording["state"] == "on"


def test_a_final_is_never_replaced_by_a_partial() -> None:
    current = replay(event("segment.final", segment(0, "Final.")), event("segment.partial", segment(0, "fin")))
    assert [line["text"] for line in current.lines()] == ["Final."]
    current = replay(event("segment.final", segment(0, "Final.")), event("segment.partial", segment(0, "")))
    assert [line["text"] for line in current.lines()] == ["Final."]


def test_lines_are_in_the_order_of_speech() -> None:
    events = [
        event("segment.final", segment(1, "b", "t1", 500)),
        event("segment.final", segment(0, "a", "t2", 100)),
        event("segment.partial", segment(2, "d", "t1", 900)),
        event("segment.final", segment(1, "c", "t2", 500)),
    ]
    assert [line["text"] for line in replay(*events).lines()] == ["a", "b", "c", "d"]


def test_an_older_revision_changes_nothing() -> None:
    new, old = insight("i", "summary", {"text": "new"}, 3), insight("i", "summary", {"text": "old"}, 2)
    assert replay(event("insight", new), event("insight", old)).insights["i"]["body"] == {"text": "new"}


def test_a_call_that_is_taken_up_again_lives() -> None:
    events = [
        event("call.started", {"external_id": "x"}, 0),
        event("call.ended", {"reason": "lost", "duration_ms": 5}, 5),
        event("call.settled", {}, 6),
        event("call.started", {"external_id": "x"}, 10),
    ]
    told = event("recording.saved", {"recording_id": "r", "duration_ms": 5, "format": "opus", "bytes": 9}, 7)
    assert replay(*events[:3], told).recording["state"] == "saved"
    assert replay(*events[:3], told, events[3]).recording["state"] == "on"
    live = replay(*events)
    assert (live.call["status"], live.call["ended_at"], live.call["settled_at"]) == ("live", None, None)
    assert state.apply_all(live, events) == live
    ended = replay(*events[:3])
    assert state.apply(ended, events[0]) == ended


def test_events_about_unknown_legs_and_tracks_do_no_harm() -> None:
    nothing = state.empty(str(CALL))
    assert replay(event("leg.left", {"leg_id": "x"}), event("track.closed", {"track_id": "x"})) == nothing


def test_llm_data_has_a_field_a_kind() -> None:
    current = replay(
        *STORY,
        event("insight", insight("i3", "intent", {"label": "billing", "confidence": 0.5})),
        event("insight", insight("i4", "key_topic", {"topics": ["price", "delivery"]})),
        event("insight", insight("i5", "key_topic", {"topics": ["delivery", "return"]})),
        event("insight", insight("i6", "coaching", {"hint": "slow down"})),
    )
    assert state.llm_data(current) == {
        "summary": "second",
        "intent": {"label": "billing", "confidence": 0.5},
        "sentiment": None,
        "complaint": None,
        "action_items": [{"text": "call back", "status": "done", "insight_id": "i2"}],
        "key_topics": ["price", "delivery", "return"],
        "other": {"coaching": [{"hint": "slow down"}]},
        "status": "ended",
        "settled": True,
        "segment_count": 2,
    }


def test_a_person_on_a_mixed_track_is_told_word_by_word() -> None:
    known = replay(*STORY).segments["t1-0"]
    assert (known["speaker"], known["role"], known["speakers_revision"]) == ("SPEAKER_01", "customer", 3)
    assert [word["speaker"] for word in known["words"]] == ["SPEAKER_00", "SPEAKER_01"]


def test_speakers_that_come_in_the_wrong_order_end_alike() -> None:
    last, late = [one for one in STORY if one.type == "speakers"][:0:-1]
    final = event("segment.final", segment(0, "Good morning."))
    assert replay(final, last, late) == replay(final, late, last)


def test_a_track_stays_on_its_side_of_the_recording_whatever_its_role_becomes() -> None:
    opened = {"track_id": "t1", "leg_id": "lt1", "role": "customer", "label": "in", "speaker": "A"}
    cast_anew = replay(*STORY, event("track.opened", {**opened, "role": "agent"}, 60))
    assert [cast_anew.tracks["t1"][name] for name in ("role", "side")] == ["agent", "left"]
    assert cast_anew.tracks["t2"]["side"] == "right"
