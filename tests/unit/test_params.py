"""What is wrong with a request's body is told in words."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
import pytest

from dashboard.params import in_words


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    phrases: Annotated[list[Annotated[str, msgspec.Meta(min_length=1, max_length=5)]], msgspec.Meta(max_length=2)]
    wait_s: Annotated[int, msgspec.Meta(ge=5, le=300)] = 20
    queue_id: UUID | None = None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[]", "has to be an object"),
        (b"{}", "is missing"),
        (b'{"phrases": ["a"], "colour": 1}', "is not known here"),
        (b'{"phrases": "a"}', "has to be a list"),
        (b'{"phrases": ["a", "b", "c"]}', "has to have at most 2 entries"),
        (b'{"phrases": [""]}', "one in it has to have at least 1 characters"),
        (b'{"phrases": ["abcdef"]}', "one in it has to have at most 5 characters"),
        (b'{"phrases": [1]}', "one in it has to be a text"),
        (b'{"phrases": [], "wait_s": 301}', "has to be at most 300"),
        (b'{"phrases": [], "wait_s": "x"}', "has to be a whole number"),
        (b'{"phrases": [], "queue_id": "x"}', "is not a UUID"),
    ],
)
def test_a_body_that_cannot_be_taken(body: bytes, words: str) -> None:
    with pytest.raises(msgspec.MsgspecError) as refused:
        msgspec.json.decode(body, type=Asked)
    assert in_words(str(refused.value)) == words
