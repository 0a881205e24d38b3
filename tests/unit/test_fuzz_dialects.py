"""Whatever a sender's socket may bring, under coverage: a bounded run for each dialect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from media_gateway.protocols.dialects.dialect import Dialect, Handshake
from media_gateway.protocols.dialects.registry import DIALECTS
from media_gateway.protocols.errors import ProtocolError
from tests.fuzzing import fuzz

VECTORS = Path(__file__).parent.parent / "vectors"
BINARY = b"\x00"
"""A message that begins with it is binary; none of text does."""
END = b"\x1e"
"""Between two messages."""


def seeds(name: str) -> list[bytes]:
    """Return each vector as one run of messages."""
    found = []
    for path in sorted((VECTORS / name).glob("*.jsonl")):
        steps = [json.loads(line) for line in path.read_text().splitlines() if line]
        found.append(END.join(_message(step) for step in steps if {"text", "zeros", "binary"} & step.keys()))
    return found


def _message(step: dict[str, Any]) -> bytes:
    if "text" not in step:
        return BINARY + b"\x01" * min(int(step.get("zeros", 40)), 40)
    text = step["text"]
    return (text if isinstance(text, str) else json.dumps(text)).encode()


def feed(dialect: Dialect, data: bytes) -> None:
    try:
        for message in data.split(END):
            if message.startswith(BINARY):
                dialect.feed_binary(message[1:])
            else:
                dialect.feed_text(message)
    except ProtocolError as error:
        dialect.refused(error)


def __getattr__(name: str) -> Any:
    """Return `fuzz_<dialect>`, the target for one dialect."""
    dialect = DIALECTS.get(name.removeprefix("fuzz_"))
    if dialect is None or not name.startswith("fuzz_"):
        raise AttributeError(name)
    return lambda data: feed(dialect(Handshake()), data)


@pytest.mark.parametrize("name", DIALECTS)
def test_no_message_breaks_a_dialect(name: str) -> None:
    fuzz(f"tests.unit.test_fuzz_dialects:fuzz_{name}", seeds(name))
