"""How good the built-in analyser is, and what it costs: `python -m tests.bench.insights`.

Intent accuracy over labelled texts, each corpus' labels mapped to Hearline's taxonomy, beside the majority baseline of
the same rows. The utterances are split by a hash of their words: word lists were tuned on the `dev` half only, nobody
has read the mistakes of the `held out` half. The calls are too few to split: all of them were read.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from workers.insights.analysis import BuiltinAnalyser
from workers.insights.findings import Turn
from workers.insights.kinds.intent import FALLBACK

DATA: Final = Path(
    os.environ.get("HEARLINE_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")  # noqa: TID251 - a bench's switch
)
LINE: Final = re.compile(r"\[(agent|customer)[^\]]*\] (.+)")

DSTC11: Final = {
    "AskAboutCashDeposits": "deposit_money",
    "AskAboutTransferTime": "transfer_timing",
    "CheckAccountBalance": "check_balance",
    "CheckTransactionHistory": "transaction_history",
    "CloseBankAccount": "close_account",
    "DisputeCharge": "dispute_charge",
    "ExternalWireTransfer": "transfer_money",
    "FindATM": "find_location",
    "FindBranch": "find_location",
    "GetBranchHours": "opening_hours",
    "GetWithdrawalLimit": "account_limits",
    "InternalFundsTransfer": "transfer_money",
    "OpenBankingAccount": "open_account",
    "ReportLostStolenCard": "lost_or_replacement_card",
    "SetUpOnlineBanking": "online_access",
    "UpdateEmail": "update_contact_details",
    "UpdatePhoneNumber": "update_contact_details",
    "UpdateStreetAddress": "update_contact_details",
}
HARPER_VALLEY: Final = {
    "replace card": "lost_or_replacement_card",
    "check balance": "check_balance",
    "get branch hours": "opening_hours",
    "reset password": "reset_password",
    "transfer money": "transfer_money",
    "schedule appointment": "book_appointment",
    "pay bill": "pay_bill",
    "order checks": "order_checks",
}
ABCD: Final = {
    "return_size": "return_or_exchange",
    "pricing_3": "price_question",
    "timing_4": "promo_or_discount",
    "refund_status": "refund_status",
}
CALLS: Final = {
    "acme-bank-agent-side": {"pay_bill", "loyalty_points", "insurance_question"},
    "auto-repairs-40": {"repair_or_service", "book_appointment"},
    "chromecast-order-mono": {"place_order"},
    "contoso-points": {"loyalty_points"},
    "speak-to-customer-support": {"speak_to_agent"},
    "sleepaway-camp-hotel-lost-card": {"lost_property", "lost_or_replacement_card"},
}


@dataclass(frozen=True)
class Item:
    """One labelled text: its turns and the labels that are right for it."""

    turns: tuple[tuple[str, str], ...]
    labels: frozenset[str]


@dataclass
class Row:
    """One line of the table."""

    corpus: str
    split: str
    items: int
    accuracy: float
    majority: float
    confidence: float


def nlupp_label(intents: Iterable[str]) -> str | None:
    """Return the label for a set of NLU++ intents; None where the set says too little on its own."""
    said = set(intents)
    rules: Sequence[tuple[set[str], str]] = (
        ({"lost_stolen", "card"}, "lost_or_replacement_card"),
        ({"cancel_close_leave_freeze", "card"}, "lost_or_replacement_card"),
        ({"cancel_close_leave_freeze", "account"}, "close_account"),
        ({"appointment", "change"}, "change_appointment"),
        ({"appointment"}, "book_appointment"),
        ({"handoff"}, "speak_to_agent"),
        ({"pin"}, "card_problem"),
        ({"refund"}, "refund_request"),
        ({"fees_interests"}, "fees_and_rates"),
        ({"mortgage"}, "loan_or_mortgage"),
        ({"loan"}, "loan_or_mortgage"),
        ({"limits"}, "account_limits"),
        ({"balance"}, "check_balance"),
        ({"contactless"}, "card_problem"),
        ({"make_open_apply_setup_get_activate", "account"}, "open_account"),
        ({"make_open_apply_setup_get_activate", "transfer_payment_deposit"}, "transfer_money"),
    )
    if "deny" in said:
        return None
    return next((label for needed, label in rules if needed <= said), None)


def is_dev(text: str) -> bool:
    """Tell whether a text belongs to the half that the word lists were tuned on."""
    return hashlib.sha256(text.encode()).digest()[0] % 2 == 0


def utterances(name: str, label_of: Callable[[dict[str, Any]], str | None]) -> tuple[list[Item], list[Item]]:
    """Return the dev and the held-out half of a file of single sentences."""
    halves: tuple[list[Item], list[Item]] = ([], [])
    for turn in json.loads((DATA / "text-calls" / "utterances" / name).read_text())["turns"]:
        if label := label_of(turn):
            halves[0 if is_dev(turn["human"]) else 1].append(Item((("customer", turn["human"]),), frozenset({label})))
    return halves


def harper_valley(words: str) -> list[Item]:
    """Return the calls in the wording of the `human` transcriber or of the `machine`, with its real errors."""
    items: list[Item] = []
    for path in sorted((DATA / "text-calls" / "harper-valley").glob("*.json")):
        call = json.loads(path.read_text())
        turns = tuple((turn["role"], turn[words]) for turn in call["turns"] if turn.get(words))
        items.append(Item(turns, frozenset({HARPER_VALLEY[call["labels"]["intent"]]})))
    return items


def abcd() -> list[Item]:
    """Return the shop's written conversations."""
    items: list[Item] = []
    for path in sorted((DATA / "text-calls" / "abcd").glob("*.json")):
        call = json.loads(path.read_text())
        turns = tuple((turn["role"], turn["human"]) for turn in call["turns"] if turn["role"] != "action")
        items.append(Item(turns, frozenset({ABCD[call["labels"]["subintent"]]})))
    return items


def recorded_calls() -> list[Item]:
    """Return the reference texts of the recorded calls."""
    items: list[Item] = []
    for name, labels in CALLS.items():
        folder = "text-calls/aws" if name.startswith("sleepaway") else "calls"
        lines = (DATA / folder / f"{name}.txt").read_text().splitlines()
        found = (LINE.match(line) for line in lines)
        turns = tuple(
            (match.group(1), match.group(2)) if match else ("unknown", line)
            for match, line in zip(found, lines, strict=True)
        )
        items.append(Item(turns, frozenset(labels)))
    return items


def analyse(item: Item) -> tuple[str, float]:
    """Return the intent that the built-in analyser finds, and how sure it is."""
    analyser = BuiltinAnalyser()
    for place, (role, text) in enumerate(item.turns):
        analyser.add(Turn(uuid4(), role, place * 4000, place * 4000 + 3000, text))  # type: ignore[arg-type]
    body = next(finding.body for finding in analyser.findings(settled=True) if finding.kind == "intent")
    return body["label"], body["confidence"]


def measure(corpus: str, split: str, items: Sequence[Item], told: list[tuple[bool, float]]) -> Row:
    """Return a line of the table; `told` collects right-or-wrong with confidence."""
    majority, _ = Counter(label for item in items for label in sorted(item.labels)).most_common(1)[0]
    found = [analyse(item) for item in items]
    right = [label in item.labels for (label, _), item in zip(found, items, strict=True)]
    told.extend((good, confidence) for good, (label, confidence) in zip(right, found, strict=True) if label != FALLBACK)
    return Row(
        corpus,
        split,
        len(items),
        sum(right) / len(items),
        sum(majority in item.labels for item in items) / len(items),
        statistics.mean(confidence for _, confidence in found),
    )


def cost(turns: int) -> dict[str, float]:
    """Return the milliseconds a turn takes to hear, and a look at all findings, in a call of so many turns."""
    source = [turn for item in (*harper_valley("human"), *recorded_calls()[1:2], *abcd()) for turn in item.turns]
    analyser = BuiltinAnalyser(called_on=date(2026, 3, 2))
    analyser.add(Turn(uuid4(), "agent", 0, 1000, "hello"))
    analyser.findings()
    hear: list[float] = []
    look: list[float] = []
    for place in range(turns):
        role, text = source[place % len(source)]
        started = time.thread_time()
        analyser.add(Turn(uuid4(), role, place * 4000, place * 4000 + 3000, text))  # type: ignore[arg-type]
        heard = time.thread_time()
        hear.append((heard - started) * 1000)
        if place % 10 == 9:
            analyser.findings()
            look.append((time.thread_time() - heard) * 1000)
    return {
        "turns": turns,
        "hear_ms_mean": statistics.mean(hear),
        "hear_ms_max": max(hear),
        "look_ms_first": statistics.mean(look[:5]),
        "look_ms_last": statistics.mean(look[-5:]),
        "cpu_s_total": (sum(hear) + 10 * sum(look)) / 1000,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; write them as JSON too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("build/bench/insights.json"))
    options = parser.parse_args(arguments)
    if not DATA.is_dir():
        print(f"no test data at {DATA}; HEARLINE_TEST_DATA names another directory", file=sys.stderr)
        return 1
    told: list[tuple[bool, float]] = []
    dstc = utterances("dstc11-banking.json", lambda turn: DSTC11[turn["intent"]])
    nlupp = utterances("nlupp-banking-fold0.json", lambda turn: nlupp_label(turn["intents"]))
    rows = [
        measure("DSTC11 banking, one sentence", "dev", dstc[0], []),
        measure("DSTC11 banking, one sentence", "held out", dstc[1], told),
        measure("NLU++ banking, one sentence", "dev", nlupp[0], []),
        measure("NLU++ banking, one sentence", "held out", nlupp[1], told),
        measure("Harper Valley calls, human words", "read", harper_valley("human"), []),
        measure("Harper Valley calls, recogniser's words", "read", harper_valley("machine"), []),
        measure("ABCD shop conversations", "read", abcd(), []),
        measure("recorded calls", "read", recorded_calls(), []),
    ]
    print(f"{'corpus':42}{'split':10}{'items':>6}{'accuracy':>10}{'majority':>10}{'confidence':>12}")
    for row in rows:
        print(
            f"{row.corpus:42}{row.split:10}{row.items:6}{row.accuracy:10.3f}{row.majority:10.3f}{row.confidence:12.2f}"
        )
    print("\nconfidence against truth, held out sentences with an intent")
    bins = []
    for low, high in ((0.0, 0.6), (0.6, 0.75), (0.75, 0.85), (0.85, 1.0)):
        inside = [good for good, confidence in told if low <= confidence < high]
        if inside:
            bins.append({"from": low, "to": high, "items": len(inside), "accuracy": sum(inside) / len(inside)})
            print(f"  {low:.2f} to {high:.2f}: {len(inside):4} items, {sum(inside) / len(inside):.3f} right")
    spent = cost(900)
    print(
        f"\na call of {spent['turns']} turns (about an hour): "
        f"{spent['hear_ms_mean']:.2f} ms CPU a turn (worst {spent['hear_ms_max']:.1f}), "
        f"all findings {spent['look_ms_first']:.2f} ms early, {spent['look_ms_last']:.2f} ms at the end; "
        f"{spent['cpu_s_total']:.2f} CPU-s in all with a look after every turn"
    )
    options.json.parent.mkdir(parents=True, exist_ok=True)
    report = {"intent": [asdict(row) for row in rows], "confidence": bins, "cost": spent}
    options.json.write_text(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
