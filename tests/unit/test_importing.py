"""What is read of a file, how it becomes chunks, and what is made of its name."""

import asyncio
from collections import deque
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import av
import msgspec
import numpy as np
import pytest

from infra.console import UnusableError
from infra.importing import Wanted, chosen, moment, token_for
from infra.inbox import Inbox
from infra.model import AudioChunk
from infra.settings import Settings
from infra.store.imports import Job
from infra.store.transcripts import Progress
from media_gateway.importing import decoder, wire
from media_gateway.importing.call import began_at, call_id_of, parties_of, tracks_of
from media_gateway.importing.runner import ImportRunner
from media_gateway.importing.source import UnreadableError, opened
from media_gateway.importing.tracks import AHEAD, BATCH, AudioLost, Cutter, Feed
from tests.conftest import until

RATE = 16_000


def write(
    path: Path, samples: np.ndarray[Any, Any], *, rate_hz: int = RATE, codec: str = "pcm_s16le", **tags: str
) -> Path:
    """Write samples (a row a moment, a column a channel) as a file."""
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[1]]
    with av.open(str(path), "w") as container:
        container.metadata.update(tags)
        stream = container.add_stream(codec, rate=rate_hz, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples).reshape(1, -1), format="s16", layout=layout)
        frame.sample_rate = rate_hz
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


def noise(seconds: float, channels: int = 1, *, rate_hz: int = RATE, seed: int = 3) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(-8000, 8000, (int(seconds * rate_hz), channels)).astype(np.int16)


def decoded(path: Path, most_s: float = 3600) -> tuple[list[tuple[bytes, Any]], bytes]:
    """What the decoder writes: the frames that are no audio, and all of the audio."""
    frames: list[bytes] = []
    decoder.write(str(path), most_s, frames.append)
    told, audio = [], b""
    kinds = {wire.HEAD: wire.Head, wire.MISSING: wire.Missing, wire.END: wire.End, wire.REFUSAL: wire.Refusal}
    for frame in frames:
        kind, length = wire.HEADER.unpack(frame[: wire.HEADER.size])
        content = frame[wire.HEADER.size :]
        assert len(content) == length
        if kind == wire.AUDIO:
            audio += content
        else:
            told.append((kind, msgspec.json.decode(content, type=kinds[kind])))
    return told, audio


def test_a_file_of_our_own_rate_comes_out_as_it_is(tmp_path: Path) -> None:
    samples = noise(2.3)
    told, audio = decoded(write(tmp_path / "call.wav", samples))
    assert told == [(wire.HEAD, wire.Head(1, False, 2300, None)), (wire.END, wire.End(0, False))]
    assert audio == samples.astype("<i2").tobytes()


def test_channels_that_carry_the_same_are_noticed(tmp_path: Path) -> None:
    one = noise(3)
    alike = decoded(write(tmp_path / "alike.wav", np.hstack([one, one])))[0][0][1]
    apart = decoded(write(tmp_path / "apart.wav", noise(3, 2)))[0][0][1]
    half_silent = decoded(write(tmp_path / "half.wav", np.hstack([one, np.zeros_like(one)])))[0][0][1]
    assert (alike.alike, apart.alike, half_silent.alike) == (True, False, False)


def test_when_it_was_made_is_read_where_it_is_a_moment(tmp_path: Path) -> None:
    head = decoded(write(tmp_path / "a.flac", noise(1), codec="flac", date="2024-05-06T07:08:09+02:00"))[0][0][1]
    assert head.made_at == datetime(2024, 5, 6, 5, 8, 9, tzinfo=UTC)
    assert decoded(write(tmp_path / "b.flac", noise(1), codec="flac", date="2024"))[0][0][1].made_at is None
    assert decoded(write(tmp_path / "c.flac", noise(1), codec="flac", date="soon"))[0][0][1].made_at is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"The customer called.\n" * 500, "is no recording that can be read"),
        (bytes(range(256)) * 100, "is no recording that can be read"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/hostname\n", "is no recording that can be read"),
        (b"ffconcat version 1.0\nfile '/etc/hostname'\n", "is no recording that can be read"),
        (b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=audio 9 RTP/AVP 0\r\n", "is no recording that can be read"),
    ],
)
def test_what_is_no_recording_is_refused_and_leads_nowhere(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(content)
    assert decoded(path)[0] == [(wire.REFUSAL, wire.Refusal(reason))]


def test_what_cannot_be_a_call_is_refused(tmp_path: Path) -> None:
    six = write(tmp_path / "six.wav", np.zeros((RATE, 6), np.int16))
    assert decoded(six)[0] == [(wire.REFUSAL, wire.Refusal("has 6 channels; a call has one or two parties"))]
    long = write(tmp_path / "long.wav", noise(12))
    assert decoded(long, most_s=10)[0] == [(wire.REFUSAL, wire.Refusal("is longer than 10 s"))]


def test_a_file_that_breaks_off_gives_what_it_holds(tmp_path: Path) -> None:
    whole = write(tmp_path / "call.flac", noise(20), codec="flac").read_bytes()
    path = tmp_path / "half.flac"
    path.write_bytes(whole[: len(whole) // 2])
    told, audio = decoded(path)
    assert told[-1] == (wire.END, wire.End(told[-1][1].damaged_packets, True))
    assert 8 < len(audio) / 2 / RATE < 11


def test_a_wav_file_that_breaks_off_is_known_by_its_header(tmp_path: Path) -> None:
    whole = write(tmp_path / "call.wav", noise(20)).read_bytes()
    path = tmp_path / "half.wav"
    path.write_bytes(whole[: len(whole) // 2])
    told, audio = decoded(path)
    assert told[-1] == (wire.END, wire.End(0, True))
    assert 9 < len(audio) / 2 / RATE < 11


@pytest.mark.parametrize("length", [0, 0x7FFF_FFFF, 0xFFFF_FFFF])
def test_a_wav_file_whose_writer_did_not_know_its_length_is_whole(tmp_path: Path, length: int) -> None:
    path = write(tmp_path / "call.wav", noise(5))
    content = path.read_bytes()
    at = content.index(b"data") + 4
    path.write_bytes(content[:at] + length.to_bytes(4, "little") + content[at + 4 :])
    told, audio = decoded(path)
    assert told[-1] == (wire.END, wire.End(0, False))
    assert len(audio) / 2 / RATE == 5


def test_what_is_missing_within_a_file_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "call.flac", noise(20), codec="flac")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + len(content) // 10] = bytes(len(content) // 10)
    path.write_bytes(content)
    told, _ = decoded(path)
    missing = sum(each.samples for kind, each in told if kind == wire.MISSING)
    assert missing > RATE
    assert told[-1][1].missing_ms == pytest.approx(missing * 1000 / RATE, abs=1)


@pytest.mark.parametrize("seed", range(8))
def test_damage_in_the_middle_never_ends_in_more_than_a_word(tmp_path: Path, seed: int) -> None:
    path = write(tmp_path / "call.mp3", noise(6), codec="libmp3lame")
    content = bytearray(path.read_bytes())
    places = np.random.default_rng(seed).integers(200, len(content), 60)
    for place in places:
        content[place] ^= 0xFF
    path.write_bytes(content)
    told, _ = decoded(path)
    assert told[-1][0] in {wire.END, wire.REFUSAL}


async def test_the_decoder_is_a_process_of_its_own(tmp_path: Path) -> None:
    samples = noise(3, 2)
    async with opened(write(tmp_path / "call.wav", samples), 60) as source:
        pieces = [piece async for piece in source.pieces()]
    assert source.head.channels == 2
    parts = [np.concatenate([piece[n] for piece in pieces if not isinstance(piece, int)]) for n in (0, 1)]
    assert np.array_equal(np.stack(parts, axis=1), samples)
    with pytest.raises(UnreadableError, match="no recording"):
        async with opened(Path(__file__), 60):
            pass


def cut_up(pieces: list[Any], parties: Any = "two", tracks: int = 2) -> list[list[AudioChunk]]:
    cutter = Cutter(parties, tracks)
    for piece in pieces:
        cutter.put(piece)
    cutter.close()
    return cutter.take()


def test_the_same_file_gives_the_same_chunks_however_it_comes() -> None:
    left, right = noise(5.13, seed=1)[:, 0], noise(5.13, seed=2)[:, 0]
    at_once = cut_up([[left, right]])
    small = cut_up([[left[at : at + 777], right[at : at + 777]] for at in range(0, len(left), 777)])
    plain = [[(chunk.seq, chunk.start_ms, chunk.pcm, chunk.last) for chunk in track] for track in at_once]
    assert plain == [[(chunk.seq, chunk.start_ms, chunk.pcm, chunk.last) for chunk in track] for track in small]
    assert b"".join(chunk.pcm for chunk in at_once[1]) == right.astype("<i2").tobytes()


def test_stereo_is_mixed_without_clipping_and_holes_are_named() -> None:
    loud = np.full(RATE, 30_000, np.int16)
    (track,) = cut_up([[loud, loud], 8000, [loud, -loud]], "mixed", 1)
    assert np.frombuffer(track[0].pcm, "<i2")[0] == 30_000
    assert [hole.end_ms - hole.start_ms for chunk in track for hole in chunk.holes] == [500]
    assert not np.frombuffer(track[-2].pcm, "<i2").any()


class FakeAudio:
    """Streams in memory; what is read is trimmed by the test."""

    def __init__(self) -> None:
        self.streams: dict[UUID, deque[AudioChunk]] = {}
        self.last: dict[UUID, int] = {}

    async def append(self, batch: list[tuple[UUID, AudioChunk]]) -> None:
        for track_id, chunk in batch:
            if chunk.seq > self.last.get(track_id, -1):
                self.streams.setdefault(track_id, deque()).append(chunk)
                self.last[track_id] = chunk.seq

    async def append_behind(self, track_id: UUID, after_seq: int, chunks: list[AudioChunk]) -> bool:
        known = self.last.get(track_id, -1) >= after_seq
        if known:
            await self.append([(track_id, chunk) for chunk in chunks])
        return known

    async def length(self, track_id: UUID) -> int:
        return len(self.streams.get(track_id, ()))

    async def last_seq(self, track_id: UUID) -> int:
        return self.last.get(track_id, -1)

    async def newest_end_ms(self, track_id: UUID) -> int | None:
        stream = self.streams.get(track_id)
        return stream[-1].end_ms if stream else None

    def forget(self) -> None:
        self.streams.clear()
        self.last.clear()


class Fed:
    """A feed of one track, and a worker that the test moves on."""

    def __init__(self, resume_chunk: int = 0) -> None:
        self.audio = FakeAudio()
        self.track_id = uuid4()
        self.known = Progress(resume_chunk=resume_chunk)
        self.feed = Feed(self.audio, [self.track_id], self.progress)  # type: ignore[arg-type]

    async def progress(self) -> list[Progress]:
        return [self.known]

    @property
    def stream(self) -> deque[AudioChunk]:
        return self.audio.streams[self.track_id]


async def test_no_more_waits_in_redis_than_may_and_nothing_is_left_out() -> None:
    fed = Fed()
    (chunks,) = cut_up([[noise(200)[:, 0]]], "one", 1)
    seen: list[int] = []

    async def worker() -> None:
        while not seen or seen[-1] != chunks[-1].seq:
            await asyncio.sleep(0.001)
            assert len(fed.audio.streams.get(fed.track_id, ())) <= AHEAD
            ready = min(40, len(fed.audio.streams.get(fed.track_id, ())))
            seen.extend(fed.stream.popleft().seq for _ in range(ready))
        fed.known = Progress(closed=True)

    await fed.feed.begin()
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(worker())
        await fed.feed.put([chunks])
        await fed.feed.finish()
    assert seen == [chunk.seq for chunk in chunks]


async def test_who_goes_on_sends_only_what_is_still_needed() -> None:
    fed = Fed(resume_chunk=10)
    (chunks,) = cut_up([[noise(10)[:, 0]]], "one", 1)
    await fed.audio.append([(fed.track_id, chunk) for chunk in chunks[10:14]])
    await fed.feed.begin()
    await fed.feed.put([chunks])
    fed.known = Progress(closed=False)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        finishing = tasks.create_task(fed.feed.finish())
        await until(lambda: fed.stream and fed.stream[-1].last)
        fed.known = Progress(closed=True)
        await finishing
    assert [chunk.seq for chunk in fed.stream] == [chunk.seq for chunk in chunks[10:]]


async def test_a_redis_that_came_back_empty_gets_what_is_not_stored() -> None:
    fed = Fed(resume_chunk=47)
    (chunks,) = cut_up([[noise(30)[:, 0]]], "one", 1)
    await fed.feed.begin()
    await fed.feed.put([chunks])
    await fed.feed.put([[]])
    assert fed.stream[0].seq == 47


async def test_a_redis_that_forgot_is_noticed() -> None:
    fed = Fed()
    (chunks,) = cut_up([[noise(30)[:, 0]]], "one", 1)
    await fed.feed.begin()
    await fed.feed.put([chunks[: 2 * BATCH]])
    fed.audio.forget()
    with pytest.raises(AudioLost):
        await fed.feed.put([chunks[2 * BATCH :]])


async def test_a_feed_that_breaks_off_ends_the_track_where_it_is() -> None:
    fed = Fed()
    (chunks,) = cut_up([[noise(30)[:, 0]]], "one", 1)
    await fed.feed.begin()
    await fed.feed.put([chunks[: BATCH + 10]])
    assert await fed.feed.break_off() == BATCH * 200
    last = fed.stream[-1]
    assert (last.seq, last.start_ms, last.pcm, last.last) == (BATCH, BATCH * 200, b"", True)


def job(**facts: Any) -> Job:
    told: dict[str, Any] = {
        "id": uuid4(),
        "tenant_id": UUID(int=1),
        "name": "call.wav",
        "size_bytes": 1,
        "sha256": "a" * 64,
        "number": 1,
        "parties": "auto",
        "left_role": "customer",
        "title": None,
        "from_number": None,
        "to_number": None,
        "started_at": None,
        "modified_at": None,
        "created_at": datetime(2026, 3, 2, tzinfo=UTC),
        "status": "waiting",
    }
    return Job(**{**told, **facts})


def test_the_same_file_is_the_same_call_unless_it_is_brought_in_again() -> None:
    assert call_id_of(job()) == call_id_of(job())
    assert call_id_of(job()) != call_id_of(job(number=2))
    assert call_id_of(job()) != call_id_of(job(tenant_id=UUID(int=2)))
    assert (job().external_id, job(number=3).external_id) == ("file:" + "a" * 64, "file:" + "a" * 64 + ":3")


def test_who_is_heard() -> None:
    mono, stereo, alike = (wire.Head(n, same, None, None) for n, same in ((1, False), (2, False), (2, True)))
    assert [parties_of("auto", head) for head in (mono, stereo, alike)] == ["mixed", "two", "mixed"]
    assert [parties_of("two", head) for head in (mono, stereo, alike)] == ["mixed", "two", "two"]
    assert parties_of("one", stereo) == "one"
    assert [(party.role, party.mixed) for party in tracks_of("mixed", job())] == [("unknown", True)]
    assert [party.role for party in tracks_of("two", job(left_role="agent"))] == ["agent", "customer"]
    assert [party.role for party in tracks_of("one", job(left_role="agent"))] == ["agent"]


def test_when_it_began() -> None:
    now = datetime(2026, 3, 2, 12, tzinfo=UTC)
    written = datetime(2025, 1, 1, 12, tzinfo=UTC)
    head = wire.Head(1, False, 60_000, written - timedelta(hours=1))
    bare = wire.Head(1, False, 60_000, None)
    told = written - timedelta(days=1)
    assert began_at(job(started_at=told, modified_at=written), head, now) == told
    assert began_at(job(modified_at=written), head, now) == head.made_at
    assert began_at(job(modified_at=written), bare, now) == written - timedelta(minutes=1)
    assert began_at(job(), bare, now) == job().created_at
    assert began_at(job(started_at=now + timedelta(days=1)), bare, now) == now


def test_files_lie_under_names_of_our_own_and_belong_to_one(tmp_path: Path) -> None:
    inbox, import_id = Inbox(tmp_path), uuid4()
    inbox.write(import_id, 0, b"abc", last=False)
    inbox.write(import_id, 3, b"def", last=True)
    inbox.write(import_id, 0, b"abc", last=False)
    assert inbox.file(import_id).read_bytes() == b"abcdef"
    assert inbox.file(import_id).stat().st_mode & 0o077 == 0
    claim = inbox.claim(import_id)
    assert claim is not None
    with claim:
        assert inbox.claim(import_id) is None
    second = inbox.claim(import_id)
    assert second is not None
    with second:
        pass
    assert inbox.held() == [import_id]
    assert Inbox(tmp_path).place == inbox.place
    inbox.remove(import_id)
    with pytest.raises(FileNotFoundError):
        inbox.claim(import_id)


def test_a_directory_stands_for_the_recordings_in_it(tmp_path: Path) -> None:
    for name in ("b.wav", "a.MP3", "notes.txt", "deep/c.ogg", "._b.wav", ".local/d.opus"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in chosen([tmp_path, tmp_path / "b.wav"])] == ["a.MP3", "b.wav", "c.ogg"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnusableError, match="no recordings in it"):
        chosen([tmp_path / "empty"])
    with pytest.raises(UnusableError, match="is no moment"):
        moment("yesterday")
    assert Wanted().fields()["parties"] == "auto"


async def test_a_token_of_this_machine_goes_to_no_other() -> None:
    settings = Settings(_env_file=None, hearline_api_token=None)
    with pytest.raises(UnusableError, match="needs --token"):
        await token_for(settings, "http://recordings.example.com:8080")
    automation = Settings(_env_file=None, hearline_api_token="told")
    assert await token_for(automation, "http://recordings.example.com:8080") == "told"


async def test_an_import_that_cannot_even_be_given_up_ends_no_other(tmp_path: Path) -> None:
    class Broken:
        """Everything fails, for a reason that nobody foresaw."""

        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    whatever: Any = Broken()
    runner = ImportRunner(Inbox(tmp_path), whatever, whatever, parallel=1, most_hours=1)
    await runner._carry_out(job())  # its file is gone, and nothing can be told of it
    assert not runner._running
