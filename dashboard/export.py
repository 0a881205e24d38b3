"""A call as a file to keep: JSON, CSV, subtitles, plain text or PDF."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Final
from uuid import UUID
from xml.sax.saxutils import escape

import msgspec
from msgspec import structs

from dashboard import pdf
from dashboard.views import CallSummary, SegmentView, Snapshot, WordView
from infra.model import Role

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_CSV_COLUMNS: Final = ("start", "end", "role", "speaker", "text", "language", "confidence")
_NAME_MAX_CHARS: Final = 80
_SHORT_MS: Final = 1000
"""A stutter, such as a browser's as it begins to send, is no lost connection."""


class ExportError(ValueError):
    """A call that this kind of file cannot hold."""


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of file."""

    media_type: str
    write: Callable[[Snapshot], bytes]


def to_json(snapshot: Snapshot) -> bytes:
    """Return the whole snapshot, indented."""
    return msgspec.json.format(msgspec.json.encode(snapshot), indent=2)


def to_csv(snapshot: Snapshot) -> bytes:
    """Return a row a turn. A cell that a spreadsheet would take for a formula gets an apostrophe in front."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(_CSV_COLUMNS)
    for segment in turns(snapshot):
        cells = (
            clock(segment.start_ms, "."),
            clock(segment.end_ms, "."),
            segment.role,
            segment.speaker,
            segment.text,
            segment.language,
            f"{segment.confidence:.3f}",
        )
        writer.writerow([harmless_cell(cell) for cell in cells])
    return file.getvalue().encode()


def to_srt(snapshot: Snapshot) -> bytes:
    """Return SubRip subtitles."""
    blocks = [
        f"{number}\n{clock(segment.start_ms, ',')} --> {clock(_shown_until(segment), ',')}\n"
        f"{who}: {one_line(segment.text)}\n"
        for number, (who, segment) in enumerate(named_turns(snapshot), 1)
    ]
    return "\n".join(blocks).encode()


def to_vtt(snapshot: Snapshot) -> bytes:
    """Return WebVTT subtitles with the speaker as voice."""
    blocks = ["WEBVTT\n"]
    blocks += [
        f"{clock(segment.start_ms, '.')} --> {clock(_shown_until(segment), '.')}\n"
        f"<v {escape(who)}>{escape(one_line(segment.text))}\n"
        for who, segment in named_turns(snapshot)
    ]
    return "\n".join(blocks).encode()


def to_txt(snapshot: Snapshot) -> bytes:
    """Return the call as people read it: its head, what it meant, what was said, and what is missing."""
    return ("\n".join(text_lines(snapshot)) + "\n").encode()


def to_pdf(snapshot: Snapshot) -> bytes:
    """Return the plain text on pages. Raises ExportError when its letters are not in a PDF's own fonts."""
    try:
        return pdf.to_pdf(text_lines(snapshot), f"Call {one_line(snapshot.call.external_id)}")
    except pdf.NoGlyphError as error:
        raise ExportError(f"the call holds {error}, which a PDF's built-in fonts lack: take another format") from None


def text_lines(snapshot: Snapshot) -> list[str]:
    """Return the lines of the plain text."""
    call = snapshot.call
    head = [
        ("Call", call.external_id),
        ("Title", call.title),
        ("From", call.from_number),
        ("To", call.to_number),
        ("Started", call.started_at.isoformat(timespec="seconds")),
        ("Duration", clock(call.duration_ms, ".")[:8] if call.duration_ms is not None else None),
        ("Intent", call.intent.label if call.intent else None),
        ("Sentiment", call.sentiment.label if call.sentiment else None),
        ("Summary", call.summary),
    ]
    lines = [f"{name}: {one_line(value)}" for name, value in head if value]
    items = [insight.body for insight in snapshot.insights if insight.kind == "action_item"]
    if items:
        lines += ["", "Action items:"]
        lines += [f"- [{item.get('status', 'open')}] {one_line(str(item.get('text', '')))}" for item in items]
    said = [
        (segment.start_ms, f"[{clock(segment.start_ms, '.')[:8]}] {who}: {one_line(segment.text)}")
        for who, segment in named_turns(snapshot)
    ]
    lost = dict.fromkeys((gap.start_ms, gap.end_ms, gap.cause) for gap in snapshot.gaps)  # once, if both sides lack it
    missing = [
        (
            start_ms,
            f"[{clock(start_ms, '.')[:8]}] (no audio for {end_ms - start_ms} ms: {_why(cause, end_ms - start_ms)})",
        )
        for start_ms, end_ms, cause in lost
    ]
    return [*lines, "", *(line for _, line in sorted(said + missing, key=lambda entry: entry[0]))]


FORMATS: Final[Mapping[str, Format]] = {
    "json": Format("application/json", to_json),
    "csv": Format("text/csv; charset=utf-8", to_csv),
    "srt": Format("application/x-subrip; charset=utf-8", to_srt),
    "vtt": Format("text/vtt; charset=utf-8", to_vtt),
    "txt": Format("text/plain; charset=utf-8", to_txt),
    "pdf": Format("application/pdf", to_pdf),
}


def _why(cause: str, lost_ms: int) -> str:
    if cause == "connection-lost" and lost_ms < _SHORT_MS:
        return "a short break in the audio"
    return one_line(cause.replace("-", " "))


def turns(snapshot: Snapshot) -> Iterator[SegmentView]:
    """Yield the segments; one in which several people speak comes as a piece for each turn of theirs."""
    roles = {(one.track_id, one.speaker): one.role for one in snapshot.speakers}
    for segment in snapshot.segments:
        runs = [(name, list(run)) for name, run in groupby(segment.words, attrgetter("speaker"))]
        if len(runs) < 2:
            yield segment
            continue
        for name, words in runs:
            speaker = name or segment.speaker
            yield _piece(segment, words, speaker, roles.get((segment.track_id, speaker), "unknown"))


def _piece(segment: SegmentView, words: list[WordView], speaker: str, role: Role) -> SegmentView:
    return structs.replace(
        segment,
        start_ms=words[0].start_ms,
        end_ms=words[-1].end_ms,
        text=" ".join(word.w for word in words),
        words=words,
        speaker=speaker,
        role=role,
    )


def file_name(call: CallSummary, extension: str) -> str:
    """Return a name that is safe on every system and in a header."""
    name = _UNSAFE.sub("-", call.external_id).strip("-.")[:_NAME_MAX_CHARS]
    return f"call-{name or call.id}.{extension}"


def harmless_cell(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA_STARTS) else text


def one_line(text: str) -> str:
    """Return text that cannot end its line, its cue or its block."""
    return " ".join(text.split()).replace("-->", "->")


def clock(ms: int, decimal: str) -> str:
    """Return hh:mm:ss and milliseconds."""
    seconds, rest = divmod(ms, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{decimal}{rest:03}"


def _shown_until(segment: SegmentView) -> int:
    """A cue has to last: players drop one that ends as it begins."""
    return max(segment.end_ms, segment.start_ms + 1)


def named_turns(snapshot: Snapshot) -> list[tuple[str, SegmentView]]:
    """Return the turns, each with who speaks: the role, numbered where several people have the same."""
    said = list(turns(snapshot))
    people: dict[str, dict[tuple[UUID, str], int]] = {}
    for segment in said:
        numbers = people.setdefault(_who(segment), {})
        numbers.setdefault((segment.leg_id, segment.speaker), len(numbers) + 1)
    return [(_numbered(_who(segment), people[_who(segment)], segment), segment) for segment in said]


def _numbered(who: str, numbers: Mapping[tuple[UUID, str], int], segment: SegmentView) -> str:
    return f"{who} {numbers[segment.leg_id, segment.speaker]}" if len(numbers) > 1 else who


def _who(segment: SegmentView) -> str:
    return segment.role.capitalize() if segment.role != "unknown" else segment.speaker
