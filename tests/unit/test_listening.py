"""Packets -> chunks on the call's clock, as the recogniser hears them: nothing glued together, gaps named."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.model import SAMPLES_PER_MS, AudioChunk, Hole
from media_gateway.audio import FRAME_SAMPLES, Samples
from media_gateway.listening import Listener, Listeners
from media_gateway.packet_order import Packet, PacketOrder
from media_gateway.protocols.sdp import Codec
from media_gateway.voices import encoder_for

PCMU = Codec("PCMU", 0, 8_000)
CODECS = {
    "PCMU": PCMU,
    "PCMA": Codec("PCMA", 8, 8_000),
    "G722": Codec("G722", 9, 8_000),
    "opus": Codec("opus", 96, 48_000, 2),
}
LATE = {"PCMU": 96, "PCMA": 96, "G722": 22, "opus": 127}
"""What coding and decoding take, in samples."""


class Ear:
    """A listener on a clock of its own: `hear` packets, let time go by, and see what is on the track."""

    def __init__(self, codec: Codec = PCMU, *, begins_ms: int = 1_000) -> None:
        self.chunks: list[AudioChunk] = []
        self.listeners = Listeners()
        self.listener: Listener = self.listeners.open(self, codec, lambda: 0)
        self.zero_s = self.listener._zero_s
        self.now_ms = float(begins_ms)
        self._errands: list[Callable[[], None]] = []

    def put(self, chunk: AudioChunk) -> None:
        self.chunks.append(chunk)

    def receive(self, sequence: int, timestamp: int, payload: bytes, *, ssrc: int = 7) -> None:
        now_s = self.zero_s + self.now_ms / 1000
        self.listener.receive(ssrc, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, payload, now_s)

    def wait(self, length_ms: float = 20) -> None:
        """Let time go by, beat after beat."""
        until_ms = self.now_ms + length_ms
        while self.now_ms < until_ms:
            self.now_ms = min(self.now_ms + 20, until_ms)
            now_s = self.zero_s + self.now_ms / 1000
            self.listeners.beat(now_s, now_s, self._errands.append)
            for errand in self._errands:
                errand()
            self._errands.clear()

    def close(self) -> None:
        self.listener.close()

    @property
    def holes(self) -> list[Hole]:
        return [hole for chunk in self.chunks for hole in chunk.holes]

    def heard(self) -> Samples:
        """The whole track from its first sample on, zeros where nothing is."""
        start_ms = self.chunks[0].start_ms
        track = np.zeros((self.chunks[-1].end_ms - start_ms) * SAMPLES_PER_MS, np.int16)
        for chunk in self.chunks:
            at = (chunk.start_ms - start_ms) * SAMPLES_PER_MS
            track[at : at + len(chunk.pcm) // 2] = np.frombuffer(chunk.pcm, "<i2")
        return track

    def end_ms(self) -> int:
        return self.chunks[-1].end_ms


def voice(length_ms: int, seed: int = 1) -> Samples:
    """Something like speech: a voice whose pitch glides, in syllables, with some breath."""
    at = np.arange(length_ms * SAMPLES_PER_MS) / 16_000
    pitch = 130 + 45 * np.sin(2 * np.pi * (0.9 + 0.1 * seed) * at + seed)
    phase = 2 * np.pi * np.cumsum(pitch) / 16_000
    tones = sum(np.sin(harmonic * phase + harmonic * seed) / harmonic**0.7 for harmonic in range(1, 14))
    breath = np.random.default_rng(seed).standard_normal(len(at)) * 0.1
    syllables = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * at)
    return ((tones + breath) * syllables * 2_500).clip(-32_768, 32_767).astype(np.int16)


def payloads(samples: Samples, codec: Codec = PCMU) -> list[bytes]:
    encode = encoder_for(codec).encode
    return [encode(samples[at : at + FRAME_SAMPLES]) for at in range(0, len(samples), FRAME_SAMPLES)]


def likeness(one: Samples, other: Samples) -> float:
    a, b = one.astype(float), other.astype(float)
    return float(a @ b / np.sqrt((a @ a) * (b @ b) or 1))


def level_db(one: npt.NDArray[np.int16], other: npt.NDArray[np.int16]) -> float:
    return float(20 * np.log10(np.std(one.astype(float)) / np.std(other.astype(float))))


@pytest.mark.parametrize("name", CODECS)
def test_what_is_sent_is_what_is_heard(name: str) -> None:
    codec, said = CODECS[name], voice(3_000)
    ear = Ear(codec)
    for number, payload in enumerate(payloads(said, codec)):
        ear.receive(65_530 + number, 0xFFFF_F000 + number * codec.clock_hz // 50, payload)
        ear.wait()
    ear.close()
    heard, late = ear.heard(), LATE[name]
    assert ear.chunks[0].start_ms == 980
    assert len(heard) == len(said)
    assert likeness(heard[late:], said[:-late]) > (0.7 if name == "opus" else 0.99)
    assert abs(level_db(heard[late:], said[:-late])) < 1.5
    assert ear.holes == []
    assert [chunk.seq for chunk in ear.chunks] == list(range(len(ear.chunks)))
    assert [chunk.last for chunk in ear.chunks].index(True) == len(ear.chunks) - 1


@pytest.mark.parametrize("packet_ms", [10, 30, 40, 60])
def test_packets_of_other_lengths(packet_ms: int) -> None:
    said = voice(2_400)
    line = b"".join(payloads(said))
    ear = Ear()
    size = packet_ms * 8
    for number, at in enumerate(range(0, len(line), size)):
        ear.receive(number, at, line[at : at + size])
        ear.wait(packet_ms)
    ear.close()
    assert len(ear.heard()) == len(said)
    assert likeness(ear.heard()[96:], said[:-96]) > 0.99
    assert ear.holes == []


def test_chunks_come_while_packets_do() -> None:
    ear = Ear()
    for number, payload in enumerate(payloads(voice(1_000))):
        ear.receive(number, number * 160, payload)
        ear.wait()
    assert [chunk.start_ms for chunk in ear.chunks] == [980, 1_180, 1_380, 1_580, 1_780]


def test_one_lost_packet_is_concealed_and_nothing_moves() -> None:
    said = voice(2_000)
    ear = Ear()
    for number, payload in enumerate(payloads(said)):
        if number not in {30, 55, 56}:
            ear.receive(number, number * 160, payload)
        ear.wait()
    ear.close()
    heard = ear.heard()
    assert ear.holes == []
    assert len(heard) == len(said)
    lost = slice(30 * FRAME_SAMPLES, 31 * FRAME_SAMPLES)
    assert heard[lost].any()
    rest = np.ones(len(said), dtype=bool)
    for number in (30, 31, 55, 56, 57):
        rest[number * FRAME_SAMPLES : (number + 1) * FRAME_SAMPLES + 96] = False
    assert likeness(heard[96:][rest[:-96]], said[:-96][rest[:-96]]) > 0.98


def test_a_longer_loss_is_a_hole() -> None:
    said = voice(2_000)
    ear = Ear()
    for number, payload in enumerate(payloads(said)):
        if not 40 <= number < 50:
            ear.receive(number, number * 160, payload)
        ear.wait()
    ear.close()
    assert ear.holes == [Hole(1_780, 1_980, "missing")]
    heard = ear.heard()
    assert len(heard) == len(said)
    assert not heard[40 * FRAME_SAMPLES : 50 * FRAME_SAMPLES].any()
    assert likeness(heard[51 * FRAME_SAMPLES :], said[51 * FRAME_SAMPLES - 96 : -96]) > 0.98


def test_packets_that_overtake_each_other_and_doubles() -> None:
    said = voice(2_000)
    numbered = list(enumerate(payloads(said)))
    for at in range(5, 95, 5):
        numbered[at : at + 3] = reversed(numbered[at : at + 3])
    ear = Ear()
    for number, payload in numbered:
        ear.receive(number, number * 160, payload)
        if number % 7 == 0:
            ear.receive(number, number * 160, payload)
        ear.wait()
    ear.close()
    assert len(ear.heard()) == len(said)
    assert likeness(ear.heard()[96:], said[:-96]) > 0.99
    assert ear.holes == []


def test_a_sender_that_falls_silent_leaves_silence_and_no_hole() -> None:
    said = payloads(voice(1_000))
    ear = Ear()
    for number, payload in enumerate(said):
        ear.receive(number, number * 160, payload)
        ear.wait()
    ear.receive(len(said), len(said) * 160, b"")  # comfort noise
    ear.wait(15_000)
    finished_ms = ear.end_ms()
    for number, payload in enumerate(said):
        ear.receive(len(said) + 1 + number, (len(said) + 750 + number) * 160, payload)
        ear.wait()
    ear.close()
    assert ear.holes == []
    assert finished_ms > 16_000
    assert len(ear.heard()) // SAMPLES_PER_MS == pytest.approx(17_000, abs=40)
    assert not ear.heard()[20_000:200_000].any()


def test_silence_without_a_word_is_silence_too() -> None:
    said = payloads(voice(400))
    ear = Ear()
    for part in range(3):
        for number, payload in enumerate(said):
            ear.receive(part * 20 + number, part * 16_000 + number * 160, payload)
            ear.wait()
        ear.wait(1_600)
    ear.close()
    assert ear.holes == []
    heard = ear.heard()
    for part in range(3):
        at = part * 2_000 * SAMPLES_PER_MS
        assert likeness(heard[at + 96 : at + 6_400], voice(400)[: 6_400 - 96]) > 0.98
        assert not heard[at + 7_000 : at + 30_000].any()


def test_the_last_words_are_finished_soon_though_nothing_follows() -> None:
    ear = Ear()
    for number, payload in enumerate(payloads(voice(500))):
        ear.receive(number, number * 160, payload)
        ear.wait()
    ear.wait(700)
    assert ear.end_ms() >= 1_900
    ear.wait(20_000)
    assert ear.end_ms() <= 2_600  # but a line that is dead does not fill the stream
    ear.close()


def test_a_pause_that_nothing_told_of_is_a_hole_when_it_is_long() -> None:
    said = payloads(voice(500))
    ear = Ear()
    for number, payload in enumerate(said):
        ear.receive(number, number * 160, payload)
        ear.wait()
    ear.wait(30_000)
    for number, payload in enumerate(said):
        ear.receive(25 + number, (25 + 1_500 + number) * 160, payload)
        ear.wait()
    ear.close()
    assert [hole.cause for hole in ear.holes] == ["silence"]
    assert ear.end_ms() == pytest.approx(31_980, abs=40)


def test_a_dead_line_that_comes_back_is_a_hole() -> None:
    said = payloads(voice(500))
    ear = Ear()
    for number, payload in enumerate(said):
        ear.receive(number, number * 160, payload)
        ear.wait()
    ear.wait(5_000)
    for number, payload in enumerate(said):
        ear.receive(275 + number, (275 + number) * 160, payload)
        ear.wait()
    ear.close()
    (hole,) = ear.holes
    assert hole.cause == "missing"
    assert hole.end_ms == 1_480 + 5_000
    assert ear.end_ms() == pytest.approx(6_980, abs=40)


def test_a_sender_whose_clock_stood_still() -> None:
    said = payloads(voice(500))
    ear = Ear()
    for number, payload in enumerate(said):
        ear.receive(number, number * 160, payload)
        ear.wait()
    ear.wait(6_000)
    for number, payload in enumerate(said):
        ear.receive(25 + number, (25 + number) * 160, payload)
        ear.wait()
    ear.close()
    assert [hole.cause for hole in ear.holes] == ["connection-lost"]
    assert ear.end_ms() == pytest.approx(7_980, abs=40)


@pytest.mark.parametrize("silence_ms", [0, 3_000])
@pytest.mark.parametrize("change", ["ssrc", "sequence", "timestamp back", "timestamp ahead"])
def test_a_sender_that_begins_anew(change: str, silence_ms: int) -> None:
    said = payloads(voice(500))
    ear = Ear()
    for number, payload in enumerate(said):
        ear.receive(number, 5_000_000 + number * 160, payload)
        ear.wait()
    ear.wait(silence_ms)
    sequence = 25 if change.startswith("timestamp") else 40_000
    timestamp = {"timestamp back": 77, "timestamp ahead": 900_000_000}.get(change, 5_004_000)
    for number, payload in enumerate(said):
        ear.receive(sequence + number, timestamp + number * 160, payload, ssrc=8 if change == "ssrc" else 7)
        ear.wait()
    ear.close()
    assert [hole.cause for hole in ear.holes] == (["clock-restart"] if silence_ms else [])
    assert ear.end_ms() == pytest.approx(1_980 + silence_ms, abs=40)
    heard = ear.heard()[-500 * SAMPLES_PER_MS + 96 :]
    assert likeness(heard, voice(500)[:-96]) > 0.98


def test_hold_is_a_hole() -> None:
    said = payloads(voice(500))
    ear = Ear()
    for number, payload in enumerate(said):
        ear.receive(number, number * 160, payload)
        ear.wait()
    ear.listener.pause()
    ear.wait(20_000)
    assert ear.end_ms() >= 1_900
    for number, payload in enumerate(said):
        ear.receive(25 + number, (25 + number) * 160, payload)
        ear.wait()
    ear.close()
    (hole,) = ear.holes
    assert (hole.cause, hole.end_ms) == ("hold", 21_480)
    assert ear.end_ms() == 21_980


def test_another_codec() -> None:
    ear, g722 = Ear(), CODECS["G722"]
    for number, payload in enumerate(payloads(voice(500))):
        ear.receive(number, number * 160, payload)
        ear.wait()
    ear.listener.change(g722)
    for number, payload in enumerate(payloads(voice(500, 2), g722)):
        ear.receive(25 + number, 77_000 + number * 160, payload)
        ear.wait()
    ear.close()
    heard = ear.heard()
    assert ear.holes == []
    assert likeness(heard[96:8_000], voice(500)[: 8_000 - 96]) > 0.98
    assert likeness(heard[8_022:], voice(500, 2)[:-22]) > 0.98


def test_keys_and_what_is_said_between_them() -> None:
    said = payloads(voice(400))
    ear = Ear()
    sequence = itertools.count()
    for part in range(3):
        at = part * 40 * 160
        for number, payload in enumerate(said):
            ear.receive(next(sequence), at + number * 160, payload)
            ear.wait()
        for _ in range(20):
            ear.receive(next(sequence), at + 20 * 160, b"")
            ear.wait()
    ear.close()
    assert ear.holes == []
    for part in range(3):
        at = part * 800 * SAMPLES_PER_MS
        assert likeness(ear.heard()[at + 96 : at + 6_400], voice(400)[: 6_400 - 96]) > 0.98


def test_g722_counted_at_16_khz_is_not_torn_apart() -> None:
    """Some senders count G.722's timestamps as its name says, not as RFC 3551 does."""
    said, g722 = voice(4_000), CODECS["G722"]
    ear = Ear(g722)
    for number, payload in enumerate(payloads(said, g722)):
        ear.receive(number, number * 320, payload)
        ear.wait()
    ear.close()
    heard = ear.heard()
    extra = len(heard) - len(said)
    assert extra <= 300 * SAMPLES_PER_MS
    assert likeness(heard[-32_000 + 22 :], said[-32_000:-22]) > 0.95


def test_the_end() -> None:
    ear = Ear()
    ear.close()
    ear.close()
    assert [(chunk.pcm, chunk.last) for chunk in ear.chunks] == [(b"", True)]
    ear = Ear()
    said = payloads(voice(100))
    for number in (0, 1, 2, 4):  # the last one waits for a lost one
        ear.receive(number, number * 160, said[number])
    ear.close()
    ear.receive(5, 800, said[0])
    ear.wait(500)
    assert ear.end_ms() == 980 + 100
    assert len(ear.listeners) == 0
    assert sum(chunk.last for chunk in ear.chunks) == 1


PACKETS = st.tuples(
    st.integers(0, 2),
    st.one_of(st.integers(0, 300), st.integers(0, 65_535)),
    st.one_of(st.integers(0, 50_000), st.integers(0, 2**32 - 1)),
    st.binary(max_size=200),
    st.floats(0, 700),
)


@settings(max_examples=60)
@given(st.sampled_from(sorted(CODECS)), st.lists(st.one_of(PACKETS, st.none(), st.sampled_from(sorted(CODECS)))))
def test_whatever_comes_the_track_goes_on(name: str, events: list[object]) -> None:
    ear = Ear(CODECS[name])
    for event in events:
        if event is None:
            ear.listener.pause()
        elif isinstance(event, str):
            ear.listener.change(CODECS[event])
        else:
            ssrc, sequence, timestamp, payload, pause_ms = event  # type: ignore[misc]
            ear.receive(sequence, timestamp, payload, ssrc=ssrc)
            ear.wait(pause_ms)
    ear.close()
    assert ear.chunks[-1].last
    for before, after in itertools.pairwise(ear.chunks):
        assert before.end_ms <= after.start_ms
        assert after.start_ms == before.end_ms or any(hole.start_ms <= before.end_ms for hole in after.holes)
    assert ear.end_ms() <= ear.now_ms + 4_000


@given(st.lists(st.tuples(st.integers(0, 1), st.one_of(st.integers(0, 200), st.integers(0, 65_535))), max_size=80))
def test_packets_are_handed_on_once_and_in_order(numbers: list[tuple[int, int]]) -> None:
    order, ready = PacketOrder(), []
    for at, (ssrc, sequence) in enumerate(numbers):
        ready += order.put(Packet(ssrc, sequence, at, b"x", at * 0.02))
        ready += order.give_up(at * 0.02)
    ready += order.flush()
    assert len(ready) <= len(numbers)
    assert len({placed.packet.timestamp for placed in ready}) == len(ready)
    for before, after in itertools.pairwise(ready):
        if not after.is_anew:
            assert after.packet.sequence == before.packet.sequence + 1 + after.missing & 0xFFFF
