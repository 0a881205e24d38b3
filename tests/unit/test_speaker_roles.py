"""Who is the agent, by the words."""

import json
import re
from pathlib import Path

import pytest

from workers.asr.speakers.roles import cast, lean


def test_what_agents_and_customers_say() -> None:
    assert lean("Thank you for calling Platinum Motors. How can I help you today?") == 2
    assert lean("Hi, I'm calling about my order. I want to return it.") < 0
    assert lean("It is raining.") == lean("") == 0


def test_nobody_has_a_role_before_it_is_clear() -> None:
    assert cast({}) == {}
    assert cast({"SPEAKER_00": 1, "SPEAKER_01": 0}) == {"SPEAKER_00": "unknown", "SPEAKER_01": "unknown"}
    assert cast({"SPEAKER_00": 1, "SPEAKER_01": -1}) == {"SPEAKER_00": "agent", "SPEAKER_01": "customer"}
    assert cast({"SPEAKER_00": -3, "SPEAKER_01": 0, "SPEAKER_02": 0}) == dict.fromkeys(
        ("SPEAKER_00", "SPEAKER_01", "SPEAKER_02"), "unknown"
    )


def test_a_voice_alone_is_what_it_says() -> None:
    assert cast({"SPEAKER_00": 3}) == {"SPEAKER_00": "agent"}
    assert cast({"SPEAKER_00": -2}) == {"SPEAKER_00": "customer"}
    assert cast({"SPEAKER_00": 1}) == {"SPEAKER_00": "unknown"}


@pytest.mark.parametrize("words", ["human", "machine"])
def test_roles_of_labelled_calls(data_dir: Path, words: str) -> None:
    found = []
    for path in sorted((data_dir / "text-calls" / "harper-valley").glob("*.json")):
        turns = [(turn["role"], turn[words]) for turn in json.loads(path.read_text())["turns"] if turn.get(words)]
        leans = {role: sum(lean(text) for one, text in turns if one == role) for role, _ in turns}
        found.append(cast(leans) == {"agent": "agent", "customer": "customer"})
    assert len(found) >= 9
    assert sum(found) >= 0.9 * len(found)


def test_roles_of_recorded_calls(data_dir: Path) -> None:
    for name in ("contoso-points", "auto-repairs-40", "chromecast-order-mono"):
        turns = re.findall(r"\[(agent|customer)[^\]]*\] (.+)", (data_dir / "calls" / f"{name}.txt").read_text())
        leans = {role: sum(lean(text) for one, text in turns if one == role) for role, _ in turns}
        assert cast(leans) == {"agent": "agent", "customer": "customer"}, name
