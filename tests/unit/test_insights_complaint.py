"""Complaint: who complains, about what, how badly."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.insight_calls import analysed, body, call, recorded, said, turns_of

COMPLAINTS = """
service_quality|This is absolutely unacceptable, your agent hung up on me.
billing|I've been charged twice for the same order and I'm really annoyed.
technical|My internet keeps dropping and it's very frustrating.
delivery|my package never arrived and nobody answers my emails
waiting_time|I have been on hold for over an hour, this is ridiculous.
product_quality|The heater broke again, it's the second time already, I'm not happy.
safety|The charger caught fire and my son got burned.
service_quality|I want to make a complaint about the staff, they were so rude.
billing|You overcharged me again, this is a rip off.
"""
REQUESTS = """
I lost my credit card, can you send me a new one?
I would like to close my account please.
I'd like to cancel my subscription.
can you tell me my balance please
I want to switch to a different plan.
I'm calling about my police report for the claim.
I'd like to return this shirt, it's the wrong size.
No problem, thank you so much.
I'd like to know how long a transfer takes.
My wife is a lawyer and we want to open an account.
Could you put out the fire alarm schedule for our office?
"""


@pytest.mark.parametrize("line", COMPLAINTS.strip().splitlines())
def test_complaint_and_its_category(line: str) -> None:
    category, words = line.split("|")
    found = body(said(words), "complaint")
    assert found["is_complaint"] is True
    assert found["category"] == category
    assert found["reason"].startswith("The customer said")


@pytest.mark.parametrize("words", REQUESTS.strip().splitlines())
def test_a_polite_request_is_no_complaint(words: str) -> None:
    assert body(said(words), "complaint") == {
        "is_complaint": False,
        "category": None,
        "severity": "low",
        "reason": "",
    }


@pytest.mark.parametrize(
    ("severities", "words"),
    [
        ({"low"}, ["My bill seems a little wrong, I was charged twice."]),
        ({"medium"}, ["This is absolutely unacceptable."]),
        ({"medium", "high"}, ["I'm fed up, I'll cancel my contract and switch to another provider."]),
        (
            {"high"},
            [
                "This is the fifth time I call!",
                "It's ridiculous, I want to cancel everything.",
                "I'm furious, you lied to me.",
            ],
        ),
        ({"high", "critical"}, ["This is ridiculous, I will call my lawyer and sue you."]),
        ({"high", "critical"}, ["The brakes failed and we could have been killed, this is unacceptable."]),
        (
            {"critical"},
            [
                "Your heater caught fire and my daughter was injured.",
                "This is unacceptable, you'll hear from my lawyer.",
            ],
        ),
    ],
)
def test_severity_grows_with_anger_threats_and_danger(severities: set[str], words: list[str]) -> None:
    assert body(said(*words), "complaint")["severity"] in severities


def test_the_agents_sympathy_is_no_complaint() -> None:
    findings = analysed(
        call(
            """
            A: I'm sorry for the terrible experience, that is unacceptable and I understand you are furious.
            C: Oh, it's fine.
            """
        )
    )
    assert body(findings, "complaint")["is_complaint"] is False


def test_reason_and_evidence_point_at_the_words() -> None:
    turns = turns_of(
        [
            ("agent", "How can I help?"),
            ("customer", "I have a question about my order."),
            ("customer", "It arrived broken and nobody has called me back, I am really disappointed."),
            ("customer", "Order number one two three."),
        ]
    )
    (finding,) = (finding for finding in analysed(turns) if finding.kind == "complaint")
    assert finding.evidence[-1:] == (turns[2].segment_id,)
    assert finding.body["reason"] == (
        "The customer said it arrived broken and nobody has called them back, they are really disappointed."
    )


def test_mild_dissatisfaction_on_a_real_call_is_low(data_dir: Path) -> None:
    found = body(analysed(recorded(data_dir / "calls" / "auto-repairs-40.txt")), "complaint")
    assert found["is_complaint"] is True
    assert found["severity"] == "low"


@pytest.mark.parametrize("name", ["chromecast-order-mono", "contoso-points", "acme-bank-agent-side"])
def test_quiet_calls(data_dir: Path, name: str) -> None:
    found = body(analysed(recorded(data_dir / "calls" / f"{name}.txt")), "complaint")
    assert found["is_complaint"] is False
