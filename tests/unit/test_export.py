"""Exports: harmless in spreadsheets, players and file systems."""

import csv
import io
import re
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from dashboard import export
from dashboard.pdf import NoGlyphError, to_pdf
from dashboard.views import (
    CallSummary,
    GapView,
    InsightView,
    Intent,
    RecordingView,
    SegmentView,
    Sentiment,
    Snapshot,
)

ONE = UUID(int=1)


def call(external_id: str = "CA1", title: str | None = None) -> CallSummary:
    return CallSummary(
        id=ONE,
        external_id=external_id,
        door="twilio",
        title=title,
        status="ended",
        end_reason="completed",
        from_number="+15550100",
        to_number=None,
        started_at=datetime(2026, 3, 2, 9, 0, 0, 123456, tzinfo=UTC),
        ended_at=None,
        duration_ms=3_723_004,
        settled_at=None,
        stage=None,
        queue=None,
        agent=None,
        summary="They\ntalk.",
        intent=Intent("billing", 0.9),
        sentiment=Sentiment("negative", -0.5, None),
        complaint=None,
        segment_count=1,
        open_action_items=1,
    )


def segment(text: str, start_ms: int = 61_500, end_ms: int = 3_723_004) -> SegmentView:
    return SegmentView(
        segment_id=ONE,
        track_id=ONE,
        leg_id=ONE,
        role="customer",
        speaker="SPEAKER_00",
        seq=0,
        start_ms=start_ms,
        end_ms=end_ms,
        text=text,
        original_text=text,
        language="en",
        confidence=0.98765,
        words=[],
        latency_ms=None,
        is_final=True,
    )


def snapshot(*texts: str, external_id: str = "CA1") -> Snapshot:
    began = datetime(2026, 3, 2, tzinfo=UTC)
    item = InsightView(ONE, "action_item", {"text": "send\nit", "status": "open"}, [], "builtin", 1, began)
    return Snapshot(
        call=call(external_id),
        legs=[],
        tracks=[],
        segments=[segment(text) for text in texts],
        gaps=[GapView(ONE, 500, 1200, "packet loss")],
        insights=[item],
        recording=RecordingView("off"),
        cursor="0-0",
    )


def rows(*texts: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(export.to_csv(snapshot(*texts)).decode(), newline="")))


def test_csv() -> None:
    (row,) = rows('He said "no", then\nleft')
    assert row == {
        "start": "00:01:01.500",
        "end": "01:02:03.004",
        "role": "customer",
        "speaker": "SPEAKER_00",
        "text": 'He said "no", then\nleft',
        "language": "en",
        "confidence": "0.988",
    }


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "=cmd|' /C calc'!A0", "\uff1d1", "\uff0b1"],
)
def test_csv_holds_no_formulas(text: str) -> None:
    (row,) = rows(text)
    assert row["text"] == f"'{text}"


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=40), max_size=5))
def test_csv_keeps_every_word(texts: list[str]) -> None:
    # A lone line end inside a quoted cell is read back as the reader's own.
    found = [row["text"] for row in rows(*texts)]
    assert len(found) == len(texts)
    for text, cell in zip(texts, found, strict=True):
        assert cell in {text, f"'{text}"}
        assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r"))


def test_srt() -> None:
    assert export.to_srt(snapshot("Good morning.", "Bye.")).decode() == (
        "1\n00:01:01,500 --> 01:02:03,004\nCustomer: Good morning.\n\n"
        "2\n00:01:01,500 --> 01:02:03,004\nCustomer: Bye.\n"
    )


def test_two_people_of_one_role_are_told_apart() -> None:
    call = snapshot("Hello?", "Hi, his wife here.", "Yes.")
    named = zip(call.segments, ("SPEAKER_00", "SPEAKER_01", "SPEAKER_00"), strict=True)
    call = structs.replace(call, segments=[structs.replace(said, speaker=speaker) for said, speaker in named])
    assert [who for who, _ in export.named_turns(call)] == ["Customer 1", "Customer 2", "Customer 1"]
    assert b"Customer 2: Hi, his wife here." in export.to_txt(call)


def test_vtt() -> None:
    assert export.to_vtt(snapshot("a <b>bold</b> & <v Agent>word")).decode() == (
        "WEBVTT\n\n00:01:01.500 --> 01:02:03.004\n<v Customer>a &lt;b&gt;bold&lt;/b&gt; &amp; &lt;v Agent&gt;word\n"
    )


@given(st.text())
def test_no_text_breaks_out_of_its_cue(text: str) -> None:
    hostile = f"{text}\n\n99\n00:00:00,000 --> 00:00:01,000\nfalse\r\n\r\n\u2028\u2029\x85\x0b\x0c{text}"
    for kind in ("srt", "vtt"):
        file = export.FORMATS[kind].write(snapshot(hostile)).decode()
        assert len(re.findall("-->", file)) == 1
        assert len(file.strip("\n").splitlines()) == {"srt": 3, "vtt": 4}[kind]


def test_txt_tells_the_call_in_order() -> None:
    assert export.to_txt(snapshot("Good\nmorning.")).decode().splitlines() == [
        "Call: CA1",
        "From: +15550100",
        "Started: 2026-03-02T09:00:00+00:00",
        "Duration: 01:02:03",
        "Intent: billing",
        "Sentiment: negative",
        "Summary: They talk.",
        "",
        "Action items:",
        "- [open] send it",
        "",
        "[00:00:00] (no audio for 700 ms: packet loss)",
        "[00:01:01] Customer: Good morning.",
    ]


def test_txt_tells_once_what_both_sides_lack_and_calls_a_stutter_a_short_break() -> None:
    lost = [(5000, 5250, "connection-lost"), (8000, 9000, "connection-lost"), (10_000, 12_000, "audio-lost")]
    gaps = [GapView(UUID(int=track), *gap) for gap in lost for track in (1, 2)]
    lines = export.text_lines(structs.replace(snapshot(), gaps=gaps))
    assert lines[-3:] == [
        "[00:00:05] (no audio for 250 ms: a short break in the audio)",
        "[00:00:08] (no audio for 1000 ms: connection lost)",
        "[00:00:10] (no audio for 2000 ms: audio lost)",
    ]


def test_a_call_without_words_can_be_exported() -> None:
    files = {name: form.write(snapshot()) for name, form in export.FORMATS.items()}
    assert files["srt"] == b""
    assert files["vtt"] == b"WEBVTT\n"
    assert len(files["csv"].splitlines()) == 1


@given(st.text())
def test_file_names_are_harmless(external_id: str) -> None:
    name = export.file_name(call(external_id), "csv")
    assert re.fullmatch(r"call-[A-Za-z0-9._-]{1,80}\.csv", name)
    assert not name.startswith("call-.")


def test_a_name_of_nothing_but_odd_letters_becomes_the_id() -> None:
    assert export.file_name(call("通話"), "srt") == f"call-{ONE}.srt"


def test_pdf_has_a_true_index() -> None:
    file = to_pdf([f"line {number} (with) \\ é €" for number in range(200)], "title (1)")
    index = int(file.rsplit(b"startxref\n", 1)[1].split(b"\n")[0])
    assert file[index : index + 4] == b"xref"
    places = [int(entry) for entry in re.findall(rb"(\d{10}) 00000 n", file[index:])]
    for number, place in enumerate(places, 1):
        assert file[place:].startswith(b"%d 0 obj" % number)
    assert file.count(b"/Type /Page ") == 4
    assert rb"(line 199 \(with\) \\ " + "é €".encode("cp1252") + b")" in file
    for content in re.finditer(rb"<< /Length (\d+) >>\nstream\n(.*?)\nendstream", file, re.DOTALL):
        assert int(content[1]) == len(content[2])


def test_pdf_wraps_and_cannot_be_broken_out_of() -> None:
    file = to_pdf(["x" * 500, ") Tj ET endstream endobj \x00\x1b\\"], "t")
    assert max(map(len, re.findall(rb"\((x+)\)", file))) <= 82
    assert b"(\\) Tj ET endstream" in file
    with pytest.raises(NoGlyphError, match=r"U\+901A"):
        to_pdf(["通話"], "t")
