"""Finished recordings: every sample in its place, nothing wrapped around, in any length with the same memory."""

import os
import stat
import tracemalloc
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import av
import msgspec
import numpy as np
import pytest

from infra.model import Call
from infra.settings import RecordingFormat
from infra.shelf import Shelf, peaks_path
from media_gateway.recording.file import Peaks, read_tags
from media_gateway.recording.finish import Abandoned, Finished, NothingRecorded, finish
from media_gateway.recording.take import LONGEST_MS, Side, Take, TakenError, claim, look, takes, tidy, track_name
from tests.parts import new_call
from tests.recorded import Samples, click, found_at, heard

CODECS: list[RecordingFormat] = ["opus", "flac"]


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


class Tape:
    """A take, written by hand."""

    def __init__(self, shelf: Shelf, call: Call | None = None) -> None:
        self.shelf = shelf
        self.call = call or new_call()
        self.take = Take(shelf, self.call)
        self.tracks = 0

    def track(self, side: Side) -> str:
        name = track_name(side, self.tracks)
        self.tracks += 1
        self.take.open_track(name)
        return name

    def put(self, track: str, at_ms: int, samples: Samples) -> None:
        self.take.write(track, at_ms, samples.astype("<i2").tobytes())

    def finish(self, codec: RecordingFormat = "flac", duration_ms: int = 0) -> Finished:
        self.take.close()
        found = finish(self.shelf, self.call.id, codec, duration_ms, stopped=lambda: False)
        assert found is not None
        return found

    def sound(self, codec: RecordingFormat = "flac", duration_ms: int = 0) -> Samples:
        found = self.finish(codec, duration_ms)
        found.remove_takes()
        return heard(self.shelf.root / found.name)


def loud(value: int, ms: int) -> Samples:
    return np.full(ms * 16, value, np.int16)


@pytest.mark.parametrize("codec", CODECS)
def test_a_click_lies_where_it_was_made(shelf: Shelf, codec: RecordingFormat) -> None:
    tape, sound = Tape(shelf), click()
    customer, agent = tape.track("left"), tape.track("right")
    places = {0: (1_000, 60_001), 1: (31_007, 119_990)}
    for track, channel in ((customer, 0), (agent, 1)):
        for at_ms in places[channel]:
            tape.put(track, at_ms, sound)
    both = tape.sound(codec, duration_ms=120_003)
    assert both.shape == (120_003 * 16, 2)
    for channel, moments in places.items():
        for at_ms in moments:
            assert abs(found_at(both[:, channel], sound, at_ms * 16) - at_ms * 16) <= (1 if codec == "opus" else 0)
            other = both[(at_ms - 20) * 16 : (at_ms + 20) * 16, 1 - channel]
            assert np.abs(other.astype(int)).max() < 50
    if codec == "flac":
        assert np.array_equal(both[1_000 * 16 : 1_000 * 16 + 64, 0], sound)


def test_gaps_are_silence_of_their_length(shelf: Shelf) -> None:
    tape = Tape(shelf)
    track = tape.track("left")
    tape.put(track, 200, loud(1000, 200))
    tape.put(track, 3_617, loud(2000, 200))
    both = tape.sound()
    expected = np.zeros(3_817 * 16, np.int16)
    expected[200 * 16 : 400 * 16] = 1000
    expected[3_617 * 16 :] = 2000
    assert np.array_equal(both[:, 0], expected)
    assert not both[:, 1].any()


def test_a_pause_is_silence_in_its_place(shelf: Shelf) -> None:
    tape = Tape(shelf)
    left, right = tape.track("left"), tape.track("right")
    for track in (left, right):
        tape.put(track, 0, loud(500, 1000))
        tape.put(track, 1000, loud(500, 1000))  # ahead of the clock: already there when the pause begins
    tape.take.pause(1_250)
    for track in (left, right):
        tape.put(track, 2000, loud(500, 1000))
    tape.take.resume(2_501)
    for track in (left, right):
        tape.put(track, 2400, loud(600, 600))
    name = tape.take.path
    kept = np.frombuffer((name / left).read_bytes(), np.int16)
    assert not kept[2000 * 16 : 2_501 * 16].any()  # it never reached the disk
    both = tape.sound()
    for channel in (0, 1):
        assert (both[: 1_250 * 16, channel] == 500).all()
        assert not both[1_250 * 16 : 2_501 * 16, channel].any()
        assert (both[2_501 * 16 :, channel] == 600).all()


def test_together_is_as_loud_as_it_gets_and_no_louder(shelf: Shelf) -> None:
    tape = Tape(shelf)
    agents = [tape.track("right") for _ in range(3)]
    tape.put(agents[0], 0, loud(30_000, 400))
    tape.put(agents[1], 200, loud(20_000, 400))
    tape.put(agents[2], 1000, loud(-30_000, 200))
    tape.put(agents[0], 1000, loud(-30_000, 200))
    both = tape.sound()
    steps = ((0, 200, 30_000), (200, 400, 32_767), (400, 600, 20_000), (600, 1000, 0), (1000, 1200, -32_768))
    for begin, end, value in steps:
        assert (both[begin * 16 : end * 16, 1] == value).all()
    assert not both[:, 0].any()


def test_the_file_says_whose_it_is_and_nothing_more(shelf: Shelf) -> None:
    for codec in CODECS:
        tape = Tape(shelf, new_call(title="Broken kettle"))
        tape.put(tape.track("left"), 0, loud(1, 200))
        found = tape.finish(codec)
        path = shelf.root / found.name
        assert found.name == f"2026/03/02/{tape.call.id}.{codec}"
        assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(peaks_path(path).stat().st_mode) == 0o600
        assert stat.S_IMODE(shelf.root.stat().st_mode) == 0o700
        for file in tape.take.path.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        tags = read_tags(path)
        assert tags["HEARLINE_CALL_ID"] == str(tape.call.id)
        assert tags["DATE"] == "2026-03-02T09:00:00+00:00"
        with av.open(str(path)) as container:
            assert container.streams.audio[0].codec_context.name == codec
        for secret in (tape.call.from_number, tape.call.to_number, tape.call.external_id, "kettle"):
            assert secret
            assert secret.encode() not in path.read_bytes()
            assert all(secret.encode() not in file.read_bytes() for file in tape.take.path.iterdir())
        found.remove_takes()


def test_peaks_show_who_is_heard_when(shelf: Shelf) -> None:
    tape = Tape(shelf)
    tape.put(tape.track("left"), 100, loud(16_384, 60))
    tape.put(tape.track("right"), 1000, loud(-32_768, 30))
    found = tape.finish(duration_ms=5_010)
    peaks = msgspec.json.decode(peaks_path(shelf.root / found.name).read_bytes(), type=Peaks)
    assert (peaks.duration_ms, peaks.step_ms, len(peaks.left), len(peaks.right)) == (5_010, 20, 251, 251)
    assert {n: value for n, value in enumerate(peaks.left) if value} == dict.fromkeys((5, 6, 7), 0.5)
    assert {n: value for n, value in enumerate(peaks.right) if value} == dict.fromkeys((50, 51), 1.0)


def test_a_day_long_call_has_no_more_peaks_than_a_screen_can_draw(shelf: Shelf) -> None:
    tape = Tape(shelf)
    tape.put(tape.track("left"), 3_000_000, loud(100, 200))
    found = tape.finish()
    peaks = msgspec.json.decode(peaks_path(shelf.root / found.name).read_bytes(), type=Peaks)
    assert found.duration_ms == peaks.duration_ms == 3_000_200
    assert peaks.step_ms == 1920
    assert len(peaks.left) == -(-3_000_200 // 1920)


def test_memory_does_not_grow_with_the_call(shelf: Shelf) -> None:
    tape = Tape(shelf)
    sides: tuple[Side, Side] = ("left", "right")
    for track in [tape.track(side) for side in sides]:
        for minute in range(20):
            tape.put(track, minute * 60_000, loud(1000 + minute, 60_000))
    tracemalloc.start()
    try:
        found = tape.finish()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.duration_ms == 1_200_000
    assert most < 8_000_000  # the mix alone is 77 MB


def test_what_lies_before_or_far_behind_the_call_is_left_out(shelf: Shelf) -> None:
    tape = Tape(shelf)
    track = tape.track("left")
    tape.put(track, -100, loud(700, 200))
    tape.put(track, LONGEST_MS - 100, np.empty(0, np.int16))
    tape.put(track, LONGEST_MS + 1, loud(1, 200))
    tape.put(track, 10**15, loud(1, 200))
    both = tape.sound()
    assert len(both) == 100 * 16
    assert (both[:, 0] == 700).all()


def test_a_call_that_comes_back_goes_on_in_its_recording(shelf: Shelf) -> None:
    """Once while what was left of it still lies there, and once more when it was finished already."""
    call = new_call()
    for second, value in ((0, 1000), (2, 2000)):
        tape = Tape(shelf, call)
        tape.put(tape.track("left"), second * 1000, loud(value, 1000))
        tape.take.close()
    found = tape.finish(duration_ms=4000)
    assert len(found.takes) == 2
    found.remove_takes()
    assert takes(shelf) == {}
    again = Tape(shelf, call)
    again.put(again.track("right"), 5000, loud(3000, 1000))
    both = again.sound("opus")  # it stays what it is
    assert len(both) == 6000 * 16
    for begin, end, channel, value in ((0, 1, 0, 1000), (1, 2, 0, 0), (2, 3, 0, 2000), (3, 6, 0, 0), (5, 6, 1, 3000)):
        assert (both[begin * 16_000 : end * 16_000, channel] == value).all()
    assert not both[: 5 * 16_000, 1].any()


def test_what_was_mixed_in_is_not_mixed_in_twice(shelf: Shelf) -> None:
    tape = Tape(shelf)
    tape.put(tape.track("left"), 0, loud(1000, 500))
    first = tape.finish()
    first.release()  # a kill before the takes are removed
    second = finish(shelf, tape.call.id, "flac", 0, stopped=lambda: False)
    assert second is not None
    assert (second.name, second.duration_ms, second.size_bytes) == (first.name, first.duration_ms, first.size_bytes)
    second.release()
    again = Tape(shelf, tape.call)
    again.put(again.track("left"), 1000, loud(3000, 500))
    both = again.sound()
    assert (both[: 500 * 16, 0] == 1000).all()
    assert (both[1000 * 16 :, 0] == 3000).all()
    assert takes(shelf) == {}


def test_a_clock_that_began_anew_is_set_right(shelf: Shelf) -> None:
    call = new_call()
    tape = Tape(shelf, call)
    tape.put(tape.track("left"), 0, loud(1000, 500))
    tape.take.close()
    later = Tape(shelf, replace(call, started_at=call.started_at + timedelta(seconds=7)))
    later.put(later.track("left"), 0, loud(2000, 500))
    both = later.sound()
    assert (both[7000 * 16 :, 0] == 2000).all()
    assert (len(both), both[: 500 * 16, 0].min()) == (7500 * 16, 1000)


def test_a_pause_outlives_its_gateway(shelf: Shelf) -> None:
    call = new_call()
    tape = Tape(shelf, call)
    tape.put(tape.track("left"), 0, loud(1000, 1000))
    tape.take.pause(600)
    tape.take.close()
    again = Tape(shelf, call)
    assert again.take.pauses.since_ms == 600
    track = again.track("left")
    again.put(track, 2000, loud(2000, 1000))
    again.take.resume(2500)
    again.put(track, 3000, loud(3000, 1000))
    both = again.sound()
    assert (both[: 600 * 16, 0] == 1000).all()
    assert not both[600 * 16 : 3000 * 16, 0].any()
    assert (both[3000 * 16 :, 0] == 3000).all()


def test_nobody_finishes_what_a_living_gateway_writes(shelf: Shelf) -> None:
    tape = Tape(shelf)
    tape.put(tape.track("left"), 0, loud(1000, 500))
    other = Tape(shelf, tape.call)  # the call came back to another gateway while this one had not noticed
    other.put(other.track("left"), 1000, loud(2000, 500))
    other.take.close()
    with pytest.raises(TakenError):
        finish(shelf, tape.call.id, "flac", 0, stopped=lambda: False)
    with pytest.raises(TakenError):
        claim(shelf, tape.call.id)
    found = tape.finish()
    with pytest.raises(TakenError):  # and not twice
        finish(shelf, tape.call.id, "flac", 0, stopped=lambda: False)
    assert found.duration_ms == 1500


def test_a_process_that_stops_leaves_it_to_the_next(shelf: Shelf) -> None:
    tape = Tape(shelf)
    tape.put(tape.track("left"), 0, loud(1000, 10_000))
    tape.take.close()
    asked = iter([False, False, True])
    with pytest.raises(Abandoned):
        finish(shelf, tape.call.id, "flac", 0, stopped=lambda: next(asked))
    assert shelf.finished(tape.call.id, tape.call.started_at) is None
    assert len(tape.sound()) == 160_000


def test_a_call_without_audio_leaves_nothing(shelf: Shelf) -> None:
    tape = Tape(shelf)
    tape.take.close()
    with pytest.raises(NothingRecorded):
        finish(shelf, tape.call.id, "opus", 5000, stopped=lambda: False)
    assert takes(shelf) == {}
    assert finish(shelf, tape.call.id, "opus", 5000, stopped=lambda: False) is None


def test_what_is_half_made_or_none_of_ours_is_passed_over(shelf: Shelf, tmp_path: Path) -> None:
    tape = Tape(shelf)
    tape.put(tape.track("left"), 0, loud(1000, 200))
    (tape.take.path / "journal").write_text('{"what":"paused","at_ms":100}\n{"what":"resu')
    (tape.take.path / "..left-1.pcm").write_bytes(b"\x01\x02")
    call_id = uuid4()
    begun = shelf.writing / f"{call_id}-{'0' * 24}"
    begun.mkdir()
    (shelf.writing / f"{call_id}").mkdir()
    (shelf.writing / f"{uuid4()}-{'1' * 24}").symlink_to(tmp_path)
    assert set(takes(shelf)) == {tape.call.id, call_id}
    assert [about.call_id for about in look(shelf, takes(shelf))] == [tape.call.id]
    tidy(shelf)
    assert begun.is_dir()  # it may be in the making
    (begun / "about").touch()
    os.utime(begun, (0, 0))
    tidy(shelf)
    assert not begun.exists()
    assert finish(shelf, call_id, "flac", 0, stopped=lambda: False) is None
    both = tape.sound()
    assert (both[: 100 * 16, 0] == 1000).all()
    assert not both[100 * 16 :, 0].any()


@pytest.mark.parametrize(
    "name",
    [
        "../../../etc/passwd",
        "/etc/passwd",
        "2026/03/02/../../../secrets/stream",
        "2026/03/02/00000000-0000-0000-0000-000000000001.opus",
        "2026/03/02/{}.wav",
        "2026/03/02/{}.peaks.json",
        "2026/03/02/{}.opus\n",
        "2026/3/2/{}.opus",
        "writing/{}.opus",
        "",
    ],
)
def test_no_name_leads_out_of_the_directory(shelf: Shelf, name: str) -> None:
    call_id = uuid4()
    assert shelf.path(f"2026/03/02/{call_id}.opus", call_id).is_relative_to(shelf.root)
    with pytest.raises(ValueError, match="not the name"):
        shelf.path(name.format(call_id), call_id)
