"""Every dialect against the recorded and documented messages of its sender, and against anything at all."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media_gateway.protocols.dialects import dialect as events
from media_gateway.protocols.dialects.dialect import Codec, Dialect, Event, Handshake, Message, Start
from media_gateway.protocols.dialects.registry import DIALECTS
from media_gateway.protocols.dialects.twilio_family import TwilioFamily
from media_gateway.protocols.errors import ProtocolError

VECTORS = Path(__file__).parent.parent / "vectors"
FILES = [path for name in DIALECTS for path in sorted((VECTORS / name).glob("*.jsonl"))]
EVERY = [*DIALECTS.values(), TwilioFamily]
NAMES = [dialect.name for dialect in EVERY]


def steps(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line]


def opened(path: Path) -> tuple[Dialect, list[dict[str, Any]]]:
    """Return a vector's dialect, and its steps after the handshake."""
    script = steps(path)
    handshake = script.pop(0)["handshake"] if "handshake" in script[0] else {}
    return DIALECTS[path.parent.name](Handshake(**handshake)), script


def sent(step: dict[str, Any]) -> tuple[str, bytes]:
    """Return the kind of a step's message, and its bytes."""
    if "text" in step:
        text = step["text"]
        return "text", (text if isinstance(text, str) else json.dumps(text)).encode()
    return "binary", bytes(step["zeros"]) if "zeros" in step else b64decode(step["binary"])


def feed(dialect: Dialect, kind: str, data: bytes) -> list[Event]:
    return list(dialect.feed_text(data) if kind == "text" else dialect.feed_binary(data))


def plain(value: Any) -> Any:
    """Return an event's fields as a vector writes them."""
    if is_dataclass(value) and not isinstance(value, type):
        return {name: plain(field) for name, field in asdict(value).items()}
    if isinstance(value, tuple | list):
        return [plain(part) for part in value]
    return value


def described(event: Event, wanted: dict[str, Any]) -> dict[str, Any]:
    """Return as much of an event as the vector says of it."""
    fields = plain(event)
    fields["bytes"] = len(fields.get("payload") or b"")
    message = fields.get("message")
    if isinstance(message, str | bytes):
        fields["message"] = written(message)
    return {name: part(fields[name], value) for name, value in wanted.items()}


def part(found: Any, wanted: Any) -> Any:
    """Leave out of what was found what is not asked for."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        return {name: part(found[name], value) for name, value in wanted.items() if name in found}
    if isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        return [part(one, other) for one, other in zip(found, wanted, strict=True)]
    return found


def written(message: Message) -> Any:
    if isinstance(message, bytes):
        return {"$binary": b64encode(message).decode()}
    try:
        return json.loads(message)
    except ValueError:
        return message


def ask(dialect: Dialect, what: str, arguments: list[str]) -> list[Any] | None:
    if what == "media":
        return [written(message) for message in dialect.media(b64decode(arguments[0]))]
    messages = getattr(dialect, what)(*arguments)
    return None if messages is None else [written(message) for message in messages]


@pytest.mark.parametrize("path", FILES, ids=[f"{path.parent.name}/{path.stem}" for path in FILES])
def test_the_senders_messages_mean_what_its_documents_say(path: Path) -> None:
    dialect, script = opened(path)
    for number, step in enumerate(script, 1):
        if "ask" in step:
            assert ask(dialect, step["ask"], step.get("with", [])) == step["sends"], f"step {number}"
        elif "refused" in step:
            with pytest.raises(ProtocolError) as caught:
                feed(dialect, *sent(step))
            assert [caught.value.code, caught.value.reason] == step["refused"], f"step {number}"
            fit_to_send(caught.value)
        else:
            found = feed(dialect, *sent(step))
            names = [next(iter(wanted)) for wanted in step["events"]]
            assert [type(event).__name__ for event in found] == names, f"step {number}: {found}"
            for event, wanted in zip(found, step["events"], strict=True):
                ((name, fields),) = wanted.items()
                assert described(event, fields) == fields, f"step {number}: {name}"


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_has_vectors_and_says_where_they_are_from(name: str) -> None:
    assert [path for path in FILES if path.parent.name == name]
    assert (VECTORS / name / "README.md").read_text()


# anything at all


def keys(value: object) -> list[str]:
    """Return the names of all fields, at any depth."""
    if not isinstance(value, dict):
        return []
    return [*value, *(name for inner in value.values() for name in keys(inner))]


def openings() -> list[tuple[type[Dialect], list[tuple[str, bytes]]]]:
    """Return for each vector the messages up to its start, after which anything may come."""
    found = []
    for path in FILES:
        dialect, script = opened(path)
        messages = []
        for step in script:
            if "ask" in step or "refused" in step:
                break
            messages.append(sent(step))
            if any(isinstance(event, Start) for event in feed(dialect, *messages[-1])):
                found.append((type(dialect), messages))
                break
    return found


OPENINGS = openings()
WORDS = sorted({name for path in FILES for step in steps(path) for name in keys(step.get("text"))})
TELLING = ["media", "start", "stop", "dtmf", "mark", "inbound", "audio/l16;rate=8000", "PCMU", "AAAA", "5"]
NAMED = st.sampled_from(WORDS) | st.text(max_size=8)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(TELLING),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMED, inner, max_size=6),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from(WORDS), VALUES, max_size=8)
MESSAGES = st.one_of(
    st.tuples(st.just("text"), st.binary(max_size=200)),
    st.tuples(st.just("text"), OBJECTS.map(lambda value: json.dumps(value).encode())),
    st.tuples(st.just("binary"), st.binary(max_size=200)),
)
EVENTS = get_args(Event)


def fit_to_send(error: ProtocolError) -> None:
    assert str(error).isascii()
    assert len(str(error)) <= 123
    assert error.reason.isascii()


def check(dialect: Dialect, messages: list[tuple[str, bytes]]) -> None:
    """Feed a dialect what may be anything: events come out, or a ProtocolError, and never anything else."""
    tracks: set[str] = set()
    starts = 0
    for kind, data in messages:
        try:
            found = feed(dialect, kind, data)
        except ProtocolError as error:
            fit_to_send(error)
            dialect.refused(error)
            return
        for event in found:
            assert isinstance(event, EVENTS)
            if isinstance(event, Start):
                starts += 1
                tracks |= {track.name for track in event.tracks}
                assert isinstance(event.codec, Codec)
                assert len(event.call_id) <= events.MAX_ID_CHARS
            elif isinstance(event, events.Opened):
                tracks.add(event.track.name)
            elif isinstance(event, events.Media):
                assert starts == 1
                assert event.track in tracks
                assert event.timestamp_ms is None or event.timestamp_ms >= 0
            elif isinstance(event, events.Key):
                assert event.digit in events.KEYS
            elif isinstance(event, events.Missing):
                assert event.duration_ms >= 0
    assert starts <= 1
    if starts:
        ours = [*dialect.started(), *dialect.media(bytes(320)), *dialect.clear(), *(dialect.mark("m") or ())]
        assert all(isinstance(message, str | bytes) for message in [*ours, *dialect.hang_up()])


@pytest.mark.parametrize("dialect", EVERY, ids=NAMES)
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(messages=st.lists(MESSAGES, max_size=4))
def test_strangers_break_nothing(dialect: type[Dialect], messages: list[tuple[str, bytes]]) -> None:
    check(dialect(Handshake()), messages)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(opening=st.sampled_from(range(len(OPENINGS))), messages=st.lists(MESSAGES, max_size=4))
def test_after_its_start_a_stream_breaks_nothing_either(opening: int, messages: list[tuple[str, bytes]]) -> None:
    dialect, first = OPENINGS[opening]
    check(dialect(Handshake()), [*first, *messages])
