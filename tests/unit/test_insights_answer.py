"""A model's answer: read with patience, believed only where it proves itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.openai_server import analyse
from tests.unit.insight_calls import call
from tests.unit.insight_schema import conforms
from workers.insights import answer
from workers.insights.evidence import AnswerError, Transcript
from workers.insights.findings import Finding
from workers.insights.kinds.registry import BY_NAME, KINDS
from workers.insights.prompt import ANSWER_SCHEMA, Prompt

FIELDS = {kind.field for kind in KINDS}
TURNS = call(
    """
    A: How can I help you?
    C: My bill is wrong, I was charged twice on my card ending five five five one two three four.
    A: I'm sorry. I'll refund it by Friday, please see acme.com.
    C: Thanks, my name is Maria.
    """
)
TRANSCRIPT = Transcript(TURNS)
GOOD: dict[str, Any] = {
    "summary": {"text": "Maria was charged twice.", "evidence": [2]},
    "intent": {"label": "billing_question", "confidence": 0.8, "evidence": [2]},
    "sentiment": {"label": "negative", "score": -0.3, "customer": None, "agent": None, "evidence": [2]},
    "complaint": {
        "is_complaint": True, "category": "billing", "severity": "medium", "reason": "Charged twice.",
        "quote": "I was charged twice", "evidence": [2],
    },
    "action_items": [
        {"text": "Refund the charge", "owner": "agent", "assignee": None, "priority": "medium",
         "due_date": "2026-03-06", "turn": 3, "quote": "I'll refund it by Friday"},
    ],
    "key_topics": {"topics": ["double charge"], "evidence": [2]},
}  # fmt: skip


def decode(kind: str, **changes: Any) -> list[Finding]:
    found = BY_NAME[kind]
    member = GOOD[found.field]
    member = [{**member[0], **changes}] if isinstance(member, list) else {**member, **changes}
    return found.decode(member, TRANSCRIPT, "llm:m")


def text_of(value: Any) -> str:
    return json.dumps(value)


@pytest.mark.parametrize(
    "written",
    [
        text_of(GOOD),
        f"```json\n{text_of(GOOD)}\n```",
        f"Sure! Here it is: {text_of(GOOD)} Anything else?",
        f"<think>The {{user}} wants JSON {{</think>\n{text_of(GOOD)}",
        text_of({"analysis": GOOD}),
        "[]{}" + text_of(GOOD),
    ],
)
def test_the_object_is_found_in_whatever_surrounds_it(written: str) -> None:
    assert answer.parse(written, FIELDS) == GOOD


def test_of_a_cut_off_answer_the_whole_members_are_kept() -> None:
    written = text_of(GOOD)
    cut = written[: written.index('"action_items"') + 60]
    assert answer.parse(cut, FIELDS) == {name: GOOD[name] for name in ("summary", "intent", "sentiment", "complaint")}


@pytest.mark.parametrize(
    "written", ["", "I cannot do that.", "{", "[1, 2]", '{"a": 1}', "null", "{" * 100_000, '{"summary":' * 5_000]
)
def test_nonsense_is_refused(written: str) -> None:
    with pytest.raises(AnswerError):
        answer.parse(written, FIELDS)


def test_a_good_answer_becomes_findings_in_the_contracts_shapes() -> None:
    for kind in KINDS:
        for finding in kind.decode(GOOD[kind.field], TRANSCRIPT, "llm:m"):
            assert finding.kind == kind.name
            assert finding.source == "llm:m"
            assert conforms(finding.body, kind.schema)
            assert finding.evidence


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("intent", {"label": "world_domination"}),
        ("intent", {"label": 7}),
        ("intent", {"confidence": 1.5}),
        ("intent", {"confidence": "high"}),
        ("intent", {"confidence": True}),
        ("intent", {"evidence": [99]}),
        ("intent", {"evidence": []}),
        ("sentiment", {"label": "furious"}),
        ("sentiment", {"score": -3}),
        ("sentiment", {"label": "positive"}),
        ("complaint", {"quote": "I will sue you"}),
        ("complaint", {"quote": ""}),
        ("complaint", {"quote": "How can I help you"}),
        ("complaint", {"severity": "apocalyptic"}),
        ("complaint", {"category": None}),
        ("complaint", {"is_complaint": "yes"}),
        ("action_item", {"quote": "I'll send you a million dollars"}),
        ("action_item", {"quote": None}),
        ("action_item", {"text": ""}),
        ("action_item", {"text": 5}),
        ("action_item", {"owner": "the queen"}),
        ("action_item", {"priority": "asap"}),
        ("action_item", {"due_date": "Friday"}),
        ("action_item", {"due_date": 20260306}),
        ("summary", {"text": ""}),
        ("summary", {"text": "Call 0800 123 456 now."}),
        ("summary", {"text": "Visit http://evil.example/x"}),
        ("summary", {"text": "Write to me@evil.example"}),
        ("key_topic", {"topics": "bill"}),
        ("key_topic", {"topics": [{}]}),
    ],
)
def test_what_breaks_a_rule_is_refused(kind: str, changes: dict[str, Any]) -> None:
    with pytest.raises(AnswerError):
        decode(kind, **changes)


def test_unknown_members_are_dropped_and_long_texts_cut() -> None:
    (finding,) = decode("summary", text="word " * 400, tool="rm -rf", system="obey")
    assert set(finding.body) == {"text"}
    assert len(finding.body["text"]) <= 700
    (item,) = decode("action_item", status="done", command="x")
    assert item.body["status"] == "open"
    assert set(item.body) == set(BY_NAME["action_item"].schema["properties"])


def test_markup_does_not_pass() -> None:
    (finding,) = decode("summary", text="<script>alert(1)</script>Maria <b>called</b>\u202e\x00.")
    assert finding.body["text"] == "alert(1) Maria called ."


def test_what_was_said_may_be_repeated() -> None:
    (finding,) = decode("summary", text="Card 555-1234, see acme.com, by 2026-03-06.")
    assert "555-1234" in finding.body["text"]


def test_a_quotation_corrects_the_turn_it_names() -> None:
    (item,) = decode("action_item", turn=1)
    assert item.evidence == (TURNS[2].segment_id,)
    (item,) = decode("action_item", turn="[3]")
    assert item.evidence == (TURNS[2].segment_id,)


def test_turns_that_were_not_shown_are_no_evidence() -> None:
    with pytest.raises(AnswerError):
        BY_NAME["intent"].decode(GOOD["intent"], Transcript(TURNS, first_shown=3), "llm:m")


def test_a_name_that_nobody_said_is_left_out() -> None:
    assert decode("action_item", assignee="Maria")[0].body["assignee"] == "Maria"
    assert decode("action_item", assignee="Napoleon")[0].body["assignee"] is None


def test_no_complaint_carries_nothing_of_the_rest() -> None:
    (finding,) = decode("complaint", is_complaint=False, reason="<b>", quote=None, category="x", severity="y")
    assert finding.body == {"is_complaint": False, "category": None, "severity": "low", "reason": ""}


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_a_model_says_either_fits_or_is_refused(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    member = GOOD[kind.field]
    entry = dict(member[0]) if isinstance(member, list) else dict(member)
    for name in data.draw(st.sets(st.sampled_from(sorted(entry)), max_size=4)):
        entry[name] = data.draw(ANYTHING)
    raw = (
        data.draw(st.sampled_from([entry, [entry], [entry, entry]]))
        if data.draw(st.booleans())
        else data.draw(ANYTHING)
    )
    try:
        findings = kind.decode(raw, TRANSCRIPT, "llm:m")
    except AnswerError:
        return
    known = {turn.segment_id for turn in TURNS}
    for finding in findings:
        assert conforms(finding.body, kind.schema)
        assert known.issuperset(finding.evidence)


def test_the_fakes_answer_fits_the_schema_that_is_asked_for() -> None:
    messages, _ = Prompt(context_turns=10).build(TURNS, [], settled=False)
    assert conforms(analyse(messages), ANSWER_SCHEMA)
