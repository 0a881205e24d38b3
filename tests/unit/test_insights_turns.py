"""The turns that the analysers read, and what becomes of them when somebody else turns out to speak."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from workers.insights.analyst import Analyst
from workers.insights.turns import SPEAKERS_WITHIN_S, Turns

MIXED, EXACT = "mixed-track", "exact-track"


def heard(number: int, text: str, track: str = MIXED, role: str = "unknown") -> dict[str, Any]:
    words = [
        {"w": word, "start_ms": number * 1000 + at, "end_ms": number * 1000 + at + 1}
        for at, word in enumerate(text.split())
    ]
    return {
        "segment_id": str(UUID(int=number)),
        "track_id": track,
        "role": role,
        "speaker": "SPEAKER_00",
        "start_ms": number * 1000,
        "end_ms": number * 1000 + 900,
        "text": text,
        "words": words,
    }


def said_by(revision: int, *segments: tuple[int, str, str, list[str] | None]) -> dict[str, Any]:
    roles = {"SPEAKER_00": "agent", "SPEAKER_01": "customer"}
    return {
        "track_id": MIXED,
        "revision": revision,
        "speakers": [{"speaker": name, "role": role, "source": "guess"} for name, role in roles.items()],
        "segments": [
            {"segment_id": str(UUID(int=number)), "speaker": speaker, "role": role, "words": words}
            for number, speaker, role, words in segments
        ],
    }


def new_turns() -> Turns:
    turns = Turns()
    turns.track({"track_id": MIXED, "mixed": True})
    turns.track({"track_id": EXACT, "mixed": False})
    return turns


def read(turns: Turns, now_s: float) -> list[tuple[str, str]]:
    return [(turn.role, turn.text) for turn in turns.next(now_s)[0]]


def test_a_party_on_a_track_of_its_own_is_read_at_once() -> None:
    turns = new_turns()
    assert turns.final(heard(1, "hello", EXACT, "agent"), 0.0)
    assert read(turns, 0.0) == [("agent", "hello")]
    assert not turns.final(heard(1, "hello", EXACT, "agent"), 0.0)
    assert read(turns, 9.0) == []


def test_a_mixed_track_waits_for_its_speaker_but_not_for_ever() -> None:
    turns = new_turns()
    turns.final(heard(1, "hello there"), 0.0)
    turns.final(heard(2, "good morning"), 0.0)
    turns.final(heard(3, "yes", EXACT, "agent"), 0.0)
    assert read(turns, 0.1) == [("agent", "yes")]
    assert turns.waiting()
    assert turns.speakers(said_by(1, (1, "SPEAKER_01", "customer", None)))
    assert read(turns, 0.2) == [("customer", "hello there")]
    assert read(turns, SPEAKERS_WITHIN_S) == [("unknown", "good morning")]
    assert not turns.waiting()


def test_a_segment_of_two_speakers_is_two_turns() -> None:
    turns = new_turns()
    turns.final(heard(1, "which order the last one"), 0.0)
    names = ["SPEAKER_00"] * 2 + ["SPEAKER_01"] * 3
    turns.speakers(said_by(1, (1, "SPEAKER_01", "customer", names)))
    assert read(turns, 0.0) == [("agent", "which order"), ("customer", "the last one")]


def roles_told(revision: int, other: str) -> dict[str, Any]:
    """The main speaker's role stands, so that no segment of theirs is named."""
    known = {"SPEAKER_00": "agent", "SPEAKER_01": other}
    speakers = [{"speaker": name, "role": role, "source": "guess"} for name, role in known.items()]
    return {"track_id": MIXED, "revision": revision, "speakers": speakers, "segments": []}


def test_who_says_the_lesser_part_of_a_segment_gets_their_role_too() -> None:
    turns = new_turns()
    turns.final(heard(1, "which order is it the last"), 0.0)
    names = ["SPEAKER_00"] * 4 + ["SPEAKER_01"] * 2
    first = said_by(1, (1, "SPEAKER_00", "agent", names))
    turns.speakers({**first, "speakers": roles_told(1, "unknown")["speakers"]})
    assert read(turns, 0.0) == [("agent", "which order is it"), ("unknown", "the last")]
    assert turns.speakers(roles_told(3, "customer"))
    assert not turns.speakers(roles_told(2, "supervisor"))  # told late
    again, anew = turns.next(0.0)
    assert anew
    assert [(turn.role, turn.text) for turn in again] == [("agent", "which order is it"), ("customer", "the last")]
    assert not turns.speakers(roles_told(3, "customer"))
    assert not turns.waiting()


def test_what_was_read_under_another_name_is_read_anew_all_of_it() -> None:
    turns = new_turns()
    turns.final(heard(1, "hello"), 0.0)
    turns.final(heard(2, "good morning"), 0.0)
    turns.speakers(said_by(1, (1, "SPEAKER_00", "agent", None), (2, "SPEAKER_00", "agent", None)))
    assert turns.next(0.0)[1] is False
    assert turns.speakers(said_by(2, (2, "SPEAKER_01", "customer", None)))
    again, anew = turns.next(0.0)
    assert anew
    assert [(turn.role, turn.text) for turn in again] == [("agent", "hello"), ("customer", "good morning")]
    assert not turns.speakers(said_by(1, (2, "SPEAKER_00", "agent", None)))  # told late
    assert read(turns, 0.0) == []


def test_the_analyst_forgets_who_it_thought_was_who() -> None:
    turns, analyst = new_turns(), Analyst()
    turns.final(heard(1, "This is unacceptable, I am very angry about your terrible service."), 0.0)
    turns.speakers(said_by(1, (1, "SPEAKER_00", "agent", None)))
    for turn in turns.next(0.0)[0]:
        analyst.add(turn)
    turns.speakers(said_by(2, (1, "SPEAKER_01", "customer", None)))
    again, anew = turns.next(0.0)
    assert anew
    analyst.begin_again()
    for turn in again:
        analyst.add(turn)
    assert analyst.turns == 1
    mood = next(found.body for found in analyst.findings().findings if found.kind == "sentiment")
    assert list(mood["per_role"]) == ["customer"]
