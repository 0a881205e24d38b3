"""Action items: promises and requests, whose they are and until when."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.insight_calls import MONDAY, analysed, bodies, call, recorded, turns_of
from workers.insights.analysis import BuiltinAnalyser, merge
from workers.insights.findings import Finding
from workers.insights.kinds import actions


def items(text: str, *, settled: bool = True) -> list[dict[str, object]]:
    return bodies(analysed(call(text), settled=settled), "action_item")


PROMISES = """
A: I'll send you a confirmation email today.|Send the customer a confirmation email today|agent|2026-03-02
A: We will ship your order tomorrow.|Ship the customer's order tomorrow|agent|2026-03-03
A: I've booked a technician for Friday.|Booked a technician for Friday|agent|2026-03-06
A: You will get it within five business days.|The customer will get it within five business days|agent|2026-03-09
A: A manager will call you back in two hours.|A manager will call the customer back in two hours|agent|2026-03-02
A: i will go ahead and escalate this to our billing team|Escalate this to their billing team|agent|
A: Let me schedule a visit to your address.|Schedule a visit to the customer's address|agent|
A: Your new card has been ordered.|The customer's new card has been ordered|agent|
C: Could you call me back on Thursday?|Call the customer back on Thursday|agent|2026-03-05
C: Please email me the form.|Email the customer the form|agent|
C: I'll call you back tomorrow.|Call the company back tomorrow|customer|2026-03-03
C: I will send the documents next week.|Send the documents next week|customer|
A: Please bring your passport to the appointment.|Bring their passport to the appointment|customer|
"""


@pytest.mark.parametrize("case", PROMISES.strip().splitlines())
def test_one_promise(case: str) -> None:
    line, text, owner, due_date = case.split("|")
    (found,) = items(line)
    assert found["text"] == text
    assert (found["owner"], found["due_date"], found["status"]) == (owner, due_date or None, "open")


@pytest.mark.parametrize(
    "line",
    [
        "A: I'll check that for you.",
        "A: I will need your account number.",
        "A: I'll be happy to help you with that.",
        "A: Let me pull up your account.",
        "A: I'll transfer you to the right department.",
        "A: Would you like me to send you a new card?",
        "A: If you have any further questions I will help.",
        "A: Feel free to call us back any time.",
        "A: I'll put you on hold for a moment.",
        "A: You will need to restart your phone.",
        "A: One moment, I will send that right now.",
        "C: I will think so.",
        "C: Will I get a refund?",
        "C: Can you help me with that?",
        "C: I called you back yesterday.",
        "C: I sent you an email last week.",
    ],
)
def test_what_is_done_on_the_call_or_not_promised_is_no_item(line: str) -> None:
    assert items(line) == []


def test_names_go_with_their_owner() -> None:
    found = items(
        """
        A: Thank you for calling Platinum Motors, I'm Michelle, how can I help you?
        C: Hi Michelle, my name is Jack Smith.
        A: I'll email you the quote.
        C: I'll call you back on Friday.
        A: A technician will visit you tomorrow.
        """
    )
    assert [(item["owner"], item["assignee"]) for item in found] == [
        ("agent", "Michelle"),
        ("customer", "Jack Smith"),
        ("agent", None),
    ]


def test_urgent_and_doubtful_promises_differ() -> None:
    (urgent,) = items("A: I will escalate this immediately.")
    (plain,) = items("A: I will escalate this.")
    (doubtful,) = items("A: I will maybe email you the form.")
    assert [item["priority"] for item in (urgent, plain, doubtful)] == ["high", "medium", "low"]


def test_an_upset_customers_items_are_not_left_for_last() -> None:
    found = items("C: This is unacceptable, I am furious.\nA: I will maybe email you the form.")
    assert [item["priority"] for item in found] == ["medium"]


def test_a_request_waits_for_its_promise() -> None:
    text = "C: Can you send me a new one please?\nA: Sure.\nA: I have ordered your replacement card."
    assert [item["text"] for item in items(text)] == ["Ordered the customer's replacement card"]
    lonely = "C: Can you send me the form please?\nA: Sure.\nC: Great.\nA: What is your name?\nC: Bob.\nA: Thanks."
    assert [item["text"] for item in items(lonely, settled=False)] == ["Send the customer the form please"]
    assert items("C: Can you send me the form please?", settled=False) == []


def test_the_same_promise_twice_is_one_item_resting_on_both() -> None:
    turns = call("A: I'll email you the contract.\nC: Good.\nA: So I will email you that contract tomorrow.")
    (finding,) = (finding for finding in analysed(turns) if finding.kind == "action_item")
    assert finding.evidence == (turns[0].segment_id, turns[2].segment_id)
    assert finding.body["due_date"] == "2026-03-03"


def test_keys_stay_as_the_call_goes_on() -> None:
    turns = call("A: I'll email you the contract.\nC: Good.\nA: And I will refund the fee tomorrow.\nC: Thanks.")
    analyser = BuiltinAnalyser(called_on=MONDAY)
    seen: list[list[str]] = []
    for turn in turns:
        analyser.add(turn)
        seen.append([finding.key for finding in analyser.findings() if finding.kind == "action_item"])
    assert seen[0] == seen[-1][:1]
    assert len(set(seen[-1])) == 2


def test_without_a_day_of_the_call_no_due_date() -> None:
    findings = analysed(call("A: I'll email you tomorrow."), called_on=None)
    assert bodies(findings, "action_item")[0]["due_date"] is None


def test_a_real_call(data_dir: Path) -> None:
    found = bodies(analysed(recorded(data_dir / "calls" / "auto-repairs-40.txt")), "action_item")
    (appointment,) = (item for item in found if "appointment" in item["text"] and item["owner"] == "agent")
    assert appointment["due_date"] == "2026-03-04"
    assert appointment["assignee"] == "Michelle"
    assert any(item["owner"] == "customer" and "back" in item["text"] for item in found)


def _item(**changes: object) -> Finding:
    (finding,) = (f for f in analysed(call("A: I'll email you the contract.")) if f.kind == "action_item")
    return replace(finding, body={**finding.body, **changes})


def test_a_ticked_item_is_not_reopened() -> None:
    for status in ("done", "dismissed"):
        stored = _item(status=status)
        assert merge(stored, _item()) is None
        merged = merge(stored, _item(text="Email the contract", priority="high"))
        assert merged is not None
        assert merged.body["status"] == status
        assert merged.body["text"] == "Email the contract"


def test_what_a_person_set_stays() -> None:
    stored = _item(text="Send by courier", due_date="2026-03-20")
    merged = merge(stored, _item(priority="high", due_date="2026-03-05"), edited={"text", "due_date"})
    assert merged is not None
    assert (merged.body["text"], merged.body["due_date"], merged.body["priority"]) == (
        "Send by courier",
        "2026-03-20",
        "high",
    )


def test_a_models_wording_of_a_known_item_keeps_its_key() -> None:
    known = _item()
    worded = replace(
        known, key="new", source="llm:m", body={**known.body, "text": "Email the contract to the customer"}
    )
    other = replace(known, key="other", source="llm:m", evidence=(), body={**known.body, "text": "Refund the late fee"})
    assert [item.key for item in actions.match_known([worded, other], [known])] == [known.key, "other"]


def test_a_long_call_has_a_bounded_list() -> None:
    lines = [("agent", f"I will email you the {word}.") for word in _words(60)]
    findings = analysed(turns_of(lines))  # type: ignore[arg-type]
    assert len(bodies(findings, "action_item")) == actions.MAX_ITEMS


def _words(count: int) -> list[str]:
    return [chr(97 + number // 26) * 3 + chr(97 + number % 26) * 3 for number in range(count)]
