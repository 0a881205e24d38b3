"""The vocabulary: stable ids, chunk arithmetic, and dataclasses that nobody changes by accident."""

import dataclasses
import inspect
from datetime import timedelta
from typing import get_args
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import model
from infra.model import CHUNK_BYTES, AudioChunk, Event, EventType, segment_id, stable_id, utc_now

DATACLASSES = [value for _, value in inspect.getmembers(model, inspect.isclass) if dataclasses.is_dataclass(value)]
PARTS = st.lists(st.text(st.characters(exclude_characters="\x1f", exclude_categories=["Cs"])), min_size=1, max_size=4)

PROMISED_EVENTS = """
    call.started call.ended leg.joined leg.left track.opened track.closed segment.partial segment.final insight alert
    gap lag recording.saved recording.failed
""".split()


@given(PARTS, PARTS)
def test_the_same_parts_give_the_same_id_and_others_another(one: list[str], other: list[str]) -> None:
    assert stable_id(*one) == stable_id(*one)
    assert (stable_id(*one) == stable_id(*other)) == (one == other)


def test_an_id_does_not_depend_on_the_process() -> None:
    assert str(stable_id("call", "twilio", "CA1")) == "e38e6f6e-04a8-5819-ac97-abe24824bbcb"


def test_a_segment_keeps_its_id_and_shares_it_with_no_other() -> None:
    one, other = uuid4(), uuid4()
    assert segment_id(one, 3) == segment_id(one, 3)
    assert len({segment_id(track, seq) for track in (one, other) for seq in range(20)}) == 40


def test_a_full_chunk_is_200_ms_of_16_khz() -> None:
    assert CHUNK_BYTES == 6400
    assert AudioChunk(0, 1000, bytes(CHUNK_BYTES), 0).end_ms == 1200
    assert AudioChunk(0, 1000, b"", 0, last=True).end_ms == 1000


@pytest.mark.parametrize("kind", DATACLASSES, ids=lambda kind: kind.__name__)
def test_dataclasses_are_frozen_and_slotted(kind: type) -> None:
    assert kind.__dataclass_params__.frozen
    assert "__slots__" in vars(kind)


def test_every_promised_event_has_its_type() -> None:
    assert set(PROMISED_EVENTS) <= set(get_args(EventType))


def test_the_present_moment_knows_its_zone() -> None:
    assert utc_now().utcoffset() == timedelta(0)
    assert Event("lag", uuid4(), {}).at.tzinfo is not None
