"""The built-in analyser as a whole: shapes, evidence, order, speed."""

from __future__ import annotations

import time
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.insight_calls import MONDAY, analysed, bodies, body, call, recorded, said, turns_of
from tests.unit.insight_schema import conforms
from workers.insights.analysis import BuiltinAnalyser, merge
from workers.insights.findings import BUILTIN, Finding, Turn
from workers.insights.kinds.registry import BY_NAME, KINDS

CALL = call(
    """
    A: Thank you for calling Acme Broadband, my name is Ben. How can I help you?
    C: Hi Ben, my name is Clara Jones. My internet has been really slow for a week, it's very frustrating.
    A: I'm sorry to hear that. Let me check your connection.
    C: This is the third time I'm calling about it. I'm really disappointed.
    A: I've scheduled a technician visit for Friday between 10 and 12.
    A: I'll also send you a confirmation email today.
    C: Okay, great. Thank you for your help. That's all.
    A: You're welcome. Have a great day.
    """
)


def check(findings: list[Finding], turns: list[Turn]) -> None:
    """Check what every analysis promises."""
    known = {turn.segment_id: place for place, turn in enumerate(turns)}
    assert len({(finding.kind, finding.key) for finding in findings}) == len(findings)
    for finding in findings:
        assert conforms(finding.body, BY_NAME[finding.kind].schema), finding
        assert finding.source == BUILTIN
        places = [known[segment] for segment in finding.evidence]
        assert places == sorted(set(places))


def test_every_kind_says_something_of_a_full_call() -> None:
    findings = analysed(CALL)
    check(findings, CALL)
    assert {finding.kind for finding in findings} == {kind.name for kind in KINDS}
    assert body(findings, "intent")["label"] == "connection_problem"
    complaint = body(findings, "complaint")
    assert (complaint["category"], complaint["severity"]) == ("technical", "medium")
    assert [item["text"] for item in bodies(findings, "action_item")] == [
        "Scheduled a technician visit for Friday between 10 and 12",
        "Send the customer a confirmation email today",
    ]
    assert "technician visit" in body(findings, "key_topic")["topics"]


def test_the_contracts_shapes() -> None:
    shapes = {finding.kind: set(finding.body) for finding in analysed(CALL)}
    assert shapes == {
        "intent": {"label", "confidence"},
        "sentiment": {"label", "score", "per_role"},
        "complaint": {"is_complaint", "category", "severity", "reason"},
        "action_item": {"text", "owner", "assignee", "priority", "due_date", "status"},
        "key_topic": {"topics"},
        "summary": {"text"},
    }


def test_the_summary_reads_as_a_few_sentences() -> None:
    text = body(analysed(CALL), "summary")["text"]
    assert text.startswith("Clara Jones called Acme Broadband about a connection problem.")
    assert "The agent has scheduled a technician visit for Friday" in text
    assert 3 <= text.count(". ") + 1 <= 6
    assert len(text) <= 700


def test_the_summary_grows_with_the_call() -> None:
    analyser = BuiltinAnalyser(called_on=MONDAY)
    texts: list[str] = []
    for turn in CALL:
        analyser.add(turn)
        texts += [finding.body["text"] for finding in analyser.findings() if finding.kind == "summary"]
    assert "scheduled" not in texts[1]
    assert "scheduled" in texts[-1]
    assert "satisf" not in texts[2]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("auto-repairs-40", ["Jack called Platinum Motors", "service light", "8 a.m. appointment"]),
        ("contoso-points", ["Maria Smith called Contoso", "points", "599"]),
        ("chromecast-order-mono", ["buy a Chromecast", "on the way"]),
        ("acme-bank-agent-side", ["Bob called AcmeBank", "payment of $50"]),
    ],
)
def test_summaries_of_recorded_calls(data_dir: Path, name: str, parts: list[str]) -> None:
    text = body(analysed(recorded(data_dir / "calls" / f"{name}.txt")), "summary")["text"]
    assert all(part in text for part in parts), text


def test_topics_are_things_not_people_or_fillers() -> None:
    topics = body(analysed(CALL), "key_topic")["topics"]
    assert not {"clara", "jones", "ben", "acme"} & set(" ".join(topics).lower().split())
    assert bodies(said("Well, okay, thank you so much."), "key_topic") == []


def test_plural_and_singular_are_one_topic() -> None:
    assert body(said("I lost my credit card.", "Both credit cards are gone."), "key_topic")["topics"] == ["credit card"]


def test_parties_on_one_track_are_told_apart_by_speaker() -> None:
    lines = [
        ("SPEAKER_00", "Thank you for calling Acme, how can I help you today?"),
        ("SPEAKER_01", "My order arrived broken and I'm really upset."),
        ("SPEAKER_00", "I'm so sorry. I'll send you a replacement."),
        ("SPEAKER_01", "Okay."),
    ]
    turns = [
        Turn(uuid4(), "customer", n * 4000, n * 4000 + 3000, text, speaker) for n, (speaker, text) in enumerate(lines)
    ]
    findings = analysed(turns)
    assert [item["owner"] for item in bodies(findings, "action_item")] == ["agent"]
    assert body(findings, "sentiment")["per_role"]["customer"]["label"] == "negative"


def test_the_same_turns_give_the_same_findings_however_often_one_looks() -> None:
    looking = BuiltinAnalyser(called_on=MONDAY)
    for turn in CALL:
        looking.add(turn)
        looking.findings()
        looking.findings(settled=True)
    assert looking.findings(settled=True) == analysed(CALL)


def test_nothing_said_nothing_found() -> None:
    assert analysed([]) == []
    assert analysed(call("C: [noise]\nA: uh")) == []


def test_unchanged_findings_need_no_new_revision() -> None:
    before, after = analysed(CALL), analysed(CALL)
    assert [merge(old, new) for old, new in zip(before, after, strict=True)] == [None] * len(before)


def test_an_edit_survives_re_analysis() -> None:
    (stored,) = (finding for finding in analysed(CALL) if finding.kind == "summary")
    fresh = Finding("summary", "summary", {"text": "Something newer."}, (), "llm:m")
    merged = merge(stored, fresh, edited={"text"})
    assert merged is not None
    assert merged.body == stored.body


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["agent", "customer", "unknown", "supervisor"]),
            st.one_of(
                st.text(max_size=80),
                st.lists(
                    st.sampled_from(
                        "I we you will send call tomorrow card account not very angry thank terrible my name is Bob "
                        "lost please can could 24 $5.00 refund Friday and the . ? , '".split()
                    ),
                    max_size=25,
                ).map(" ".join),
            ),
        ),
        max_size=12,
    )
)
def test_no_words_break_it(lines: list[tuple[str, str]]) -> None:
    turns = turns_of(lines)  # type: ignore[arg-type]
    check(analysed(turns), turns)


def test_an_hour_long_call_costs_the_same_per_turn_at_the_end() -> None:
    source = [(turn.role, turn.text) for turn in CALL]
    analyser = BuiltinAnalyser(called_on=MONDAY)
    analyser.add(CALL[0])
    spent: list[float] = []
    for turn in turns_of(source * 100):
        started = time.thread_time()
        analyser.add(turn)
        spent.append(time.thread_time() - started)
    assert sum(spent) / len(spent) < 0.005
    assert sum(spent[-200:]) < 5 * sum(spent[:200]) + 0.01
    looks: list[float] = []
    for _ in range(5):
        started = time.thread_time()
        analyser.findings()
        looks.append(time.thread_time() - started)
    assert min(looks) < 0.02
