"""Intent: what callers want, in many words and over whole calls."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import insights as bench
from tests.unit.insight_calls import analysed, body, call, recorded, said
from workers.insights.kinds.intent import FALLBACK, taxonomy

SENTENCES = """
insurance_question|Hi, can you give me a quote for renters insurance?
insurance_question|I need to know if my policy covers flood damage
insurance_question|I want to add my son to my car insurance
file_claim|somebody rear ended me yesterday and I need to report the accident
file_claim|I want to file a claim for water damage in my kitchen
claim_status|I filed a claim three weeks ago and I haven't heard anything
medical_question|I need a refill on my blood pressure medication
medical_question|are my lab results back yet
book_appointment|I'd like to see the dentist sometime next week
change_appointment|I can't make my appointment on Thursday, can we move it
book_travel_or_table|I'd like to book a table for four tonight at seven
change_booking|my flight got cancelled and I need to be rebooked
change_booking|I'd like to cancel my hotel reservation for next weekend
lost_property|I think I left my jacket in one of your taxis
order_status|where is my package, it was supposed to be here Tuesday
delivery_problem|the tracking says delivered but I never received my parcel
cancel_order|I placed an order this morning and I want to cancel it
return_or_exchange|these shoes don't fit, I want to send them back
damaged_or_wrong_item|the vase arrived broken into pieces
damaged_or_wrong_item|you guys sent me the wrong color
refund_request|I want my money back
refund_status|it's been two weeks and I still haven't gotten my refund
promo_or_discount|the coupon code isn't working at checkout
price_question|how much is the large one
product_question|do you have this in stock in blue
warranty|is my washing machine still under warranty
repair_or_service|my furnace stopped working and it's freezing in here
repair_or_service|my car is making a grinding noise when I brake
book_technician|can you send someone out to look at my router, I need a technician
connection_problem|my wifi keeps dropping every few minutes
connection_problem|we have no internet since this morning
technical_support|my laptop won't turn on
technical_support|the app crashes every time I open it
activate_service|I just got a new sim card and need to activate it
change_plan|I want to upgrade to the unlimited plan
cancel_service|I'd like to cancel my subscription
cancel_service|I'm moving and want to disconnect my service
manage_features|how do I turn on international roaming
billing_question|why is my bill so high this month
billing_question|there's a charge on my bill I don't understand
pay_bill|I'd like to make a payment on my account
payment_arrangement|I can't afford the full amount, can I pay in installments
payment_method|I want to set up autopay
update_contact_details|I moved and need to give you my new address
update_contact_details|I got married and need to change my last name
reset_password|I'm locked out of my account
reset_password|I forgot my username
dispute_charge|there's a transaction on my card I didn't make
report_fraud|I got a text saying it's from your bank, is it a scam
lost_or_replacement_card|someone stole my wallet with all my cards
card_problem|my card got declined at the grocery store
check_balance|how much money do I have in my savings
transfer_money|I need to send five hundred dollars to my sister
loan_or_mortgage|I want to refinance my house
fees_and_rates|why was I charged an overdraft fee
opening_hours|what time do you close on Sundays
find_location|where's your closest store to downtown
speak_to_agent|let me talk to a real person
make_complaint|I want to file a complaint about one of your drivers
make_complaint|your technician was extremely rude to me
callback_request|I missed a call from this number
give_feedback|I just wanted to say your staff did a wonderful job
wrong_number|oh sorry, I think I have the wrong number
job_or_partnership|I'm calling about the job opening for cashier
loyalty_points|how many miles do I have
place_order|I'd like to order a large pizza
online_access|how do I sign up for online access
government_or_documents|I need a copy of my birth certificate
lost_device|I lost my phone at the airport
open_account|i want to open a savings account
close_account|please close my checking account
order_checks|i need a new checkbook
transfer_timing|how long does a wire transfer take
transaction_history|can i see my last five transactions
deposit_money|can i deposit cash at your machine
account_limits|how much can i withdraw per day
"""


@pytest.mark.parametrize("line", SENTENCES.strip().splitlines())
def test_one_sentence(line: str) -> None:
    label, words = line.split("|")
    found = body(said(words), "intent")
    assert found["label"] == label
    assert 0.3 <= found["confidence"] <= 0.97


def test_uncased_words_without_punctuation_are_enough() -> None:
    findings = analysed(
        call(
            """
            A: hello this is harper valley national bank my name is robert how can i help you today
            C: hi my name is mary smith
            C: i lost my
            C: credit card
            """
        )
    )
    assert body(findings, "intent")["label"] == "lost_or_replacement_card"


def test_the_first_reason_leads_and_the_agents_words_weigh_little() -> None:
    findings = analysed(
        call(
            """
            A: Thanks for calling. We have a promotion on mortgages and new savings accounts this week.
            C: I forgot my password and I can't log in.
            A: I can reset it. Would you like to open a new account or hear about our loans?
            C: No. But what are your opening hours?
            """
        )
    )
    assert body(findings, "intent")["label"] == "reset_password"


def test_nothing_is_claimed_before_anything_is_said() -> None:
    small_talk = call("A: Hello.\nC: Hi, how are you?")
    assert [finding for finding in analysed(small_talk, settled=False) if finding.kind == "intent"] == []
    found = body(analysed(small_talk), "intent")
    assert found == {"label": FALLBACK, "confidence": 0.2}


def test_two_equal_reasons_are_less_sure_than_one() -> None:
    one = body(said("I want to reset my password."), "intent")
    two = body(said("I want to reset my password.", "I want to book an appointment."), "intent")
    assert two["confidence"] < one["confidence"]


def test_every_label_reads_on() -> None:
    assert 30 <= len(taxonomy()) <= 80
    assert all(label.isidentifier() and about for label, about in taxonomy().items())


@pytest.mark.parametrize(("name", "labels"), list(bench.CALLS.items())[:5])
def test_recorded_calls(data_dir: Path, name: str, labels: set[str]) -> None:
    turns = recorded(data_dir / "calls" / f"{name}.txt")
    if not turns:
        turns = call(f"C: {(data_dir / 'calls' / f'{name}.txt').read_text().strip()}")
    assert body(analysed(turns), "intent")["label"] in labels


def test_labelled_corpora_stay_above_their_floor(data_dir: Path) -> None:
    assert data_dir == bench.DATA
    dev, held_out = bench.utterances("dstc11-banking.json", lambda turn: bench.DSTC11[turn["intent"]])
    for half, floor in ((dev, 0.92), (held_out, 0.90)):
        row = bench.measure("", "", half, [])
        assert row.accuracy >= floor
        assert row.accuracy > row.majority + 0.5
    for words in ("human", "machine"):
        assert bench.measure("", "", bench.harper_valley(words), []).accuracy == 1.0
