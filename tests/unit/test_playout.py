"""A party's packets over lines of every kind: how late it is heard, what is made up, and that its words survive."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media_gateway.audio import FRAME_SAMPLES, PayloadError, Samples
from media_gateway.codecs import MulawDecoder, MulawEncoder, OpusDecoder, OpusEncoder
from media_gateway.playout.buffer import MAX_PACKETS, MAX_PAYLOAD_BYTES, Frame, Playout
from tests.speech import clicks, loud_frames, snr_db, speech

Line = Callable[[int, float], float | None]
"""(number, sent at, seconds) -> seconds on the way; None: lost."""


@dataclass
class Heard:
    """What came out."""

    playout: Playout
    frames: list[Frame]
    delays_ms: dict[int, float]
    """From the arrival of each packet that was decoded to the frame that it was decoded for."""
    arrived_s: dict[int, float]

    @property
    def samples(self) -> Samples:
        return np.concatenate([frame.samples for frame in self.frames])

    def delay_ms(self, from_s: float = 0.0, to_s: float = 1e9) -> float:
        """Mean of the packets that were sent in this time, 20 ms each."""
        return float(np.mean([ms for number, ms in self.delays_ms.items() if from_s <= number * 0.02 < to_s]))

    def concealed(self, from_s: float = 0.0, to_s: float = 1e9) -> int:
        """How many frames were not all heard."""
        return sum(frame.kind != "heard" for frame in self.frames[int(from_s * 50) : int(min(to_s, 1e6) * 50)])


def hear(
    said: Samples,
    line: Line,
    *,
    phase_s: float = 0.009,
    packet_ms: int = 20,
    late_tick_s: Callable[[], float] = lambda: 0.0,
    drift: float = 0.0,
    first_timestamp: int = 0,
    after_s: float = 0.0,
    make: Callable[[Callable[[bytes], Samples]], Playout] | None = None,
) -> Heard:
    """Send speech in packets over a line, and take frames every 20 ms for as long as the speech lasts."""
    length = packet_ms * 16
    packets = []
    for number in range(len(said) // length):
        sent_s = number * packet_ms / 1000 * (1 + drift)
        way_s = line(number, sent_s)
        if way_s is not None:
            packets.append((sent_s + way_s, number))
    packets.sort()
    arrived_s: dict[int, float] = {}
    for at_s, number in packets:
        arrived_s.setdefault(number, at_s)
    now_s = 0.0
    delays_ms: dict[int, float] = {}

    def decode(payload: bytes) -> Samples:
        (number,) = struct.unpack_from("<i", payload)
        delays_ms[number] = (now_s - arrived_s[number]) * 1000
        return np.frombuffer(payload, np.int16, offset=4)

    playout = make(decode) if make else Playout(decode, 16_000)
    frames = []
    waiting = iter([*packets, (1e9, -1)])
    at_s, number = next(waiting)
    for tick in range(int((packets[-1][0] + after_s) * 50)):
        now_s = tick * 0.02 + phase_s + late_tick_s()
        while at_s <= now_s:
            timestamp = first_timestamp + number * length & 0xFFFF_FFFF
            playout.put(timestamp, struct.pack("<i", number) + said[number * length :][:length].tobytes(), at_s)
            at_s, number = next(waiting)
        frames.append(playout.frame(now_s))
    return Heard(playout, frames, delays_ms, arrived_s)


def steady(number: int, sent_s: float, way_s: float = 0.02) -> float:
    return way_s


def losing(share: float, line: Line = steady, seed: int = 1) -> Line:
    chance = random.Random(seed)
    return lambda number, sent_s: None if chance.random() < share else line(number, sent_s)


def jittering(most_s: float, seed: int = 1, *, from_s: float = 0.0, to_s: float = 1e9) -> Line:
    chance = random.Random(seed)

    def line(number: int, sent_s: float) -> float:
        way_s = chance.uniform(0, most_s)
        return 0.02 + way_s if from_s <= sent_s < to_s else 0.02 + way_s * 0.05

    return line


def stalling(from_s: float, to_s: float) -> Line:
    return lambda number, sent_s: max(to_s - sent_s, 0.02) if from_s <= sent_s < to_s else 0.02


def words_kept(said: Samples, heard: Samples, lost: Sequence[int] = ()) -> float:
    """Return which part of the spoken packets is found in what was heard, in order; lost ones do not count."""
    text = heard.tobytes()
    place = found = 0
    numbers = [number for number in loud_frames(said) if number not in set(lost)]
    for number in numbers:
        middle = said[number * 320 + 200 : number * 320 + 280].tobytes()
        at = text.find(middle, place, 2 * (number * 320 + 64_000))
        if at >= 0:
            found += 1
            place = at
    return found / len(numbers)


# -- a good line


@pytest.mark.parametrize("phase_s", [0.0005, 0.003, 0.006, 0.0095, 0.013, 0.0165, 0.0199])
@pytest.mark.parametrize("noise_s", [0.0, 0.004])
def test_on_a_good_line_the_delay_is_small_and_nothing_is_made_up(phase_s: float, noise_s: float) -> None:
    chance = random.Random(3)
    heard = hear(
        speech()[: 20 * 16_000],
        lambda number, sent_s: 0.02 + chance.uniform(0, noise_s),
        phase_s=phase_s,
        late_tick_s=lambda: chance.uniform(0, noise_s),
    )
    assert heard.delay_ms() <= 30
    assert heard.playout.delay_ms == pytest.approx(heard.delay_ms(), abs=4)
    assert heard.concealed(from_s=0.1) == 0
    assert heard.playout.underruns == heard.playout.lost_packets == 0


def test_on_a_good_line_every_sample_is_as_it_was_sent() -> None:
    said = speech()[: 10 * 16_000]
    heard = hear(said, steady).samples
    start = heard.tobytes().find(said[16_000:16_200].tobytes()) // 2
    length = min(len(heard) - start, len(said) - 16_000)
    assert (heard[start : start + length] == said[16_000 : 16_000 + length]).all()


@pytest.mark.parametrize("packet_ms", [10, 20, 30, 40, 60])
def test_packets_of_any_length(packet_ms: int) -> None:
    said = speech()[: 10 * 16_000]
    heard = hear(said, jittering(0.003), packet_ms=packet_ms)
    assert np.mean(list(heard.delays_ms.values())) <= 30
    assert heard.concealed(from_s=0.2) == 0
    assert words_kept(said[: -16 * 200], heard.samples) == 1


def test_before_the_first_packet_there_is_silence() -> None:
    playout = Playout(lambda payload: np.zeros(320, np.int16), 16_000)
    frame = playout.frame(5.0)
    assert frame.kind == "silent"
    assert not frame.samples.any()
    assert len(frame.samples) == FRAME_SAMPLES


# -- losses


@pytest.mark.parametrize("share", [0.01, 0.05])
def test_a_lost_packet_costs_its_length_of_concealment_and_no_delay(share: float) -> None:
    said = speech()[: 40 * 16_000]
    line = losing(share)
    heard = hear(
        said, lambda number, sent_s: steady(number, sent_s) if sent_s < 5 or sent_s > 35 else line(number, sent_s)
    )
    lost = [number for number in range(1990) if number not in heard.delays_ms]
    assert heard.delay_ms(36) == pytest.approx(heard.delay_ms(1, 5), abs=0.1)
    assert heard.playout.lost_packets == len(lost)
    assert heard.concealed(from_s=0.1) == len(lost)
    assert 15 * len(lost) < heard.playout.concealed_ms <= 20 * len(lost)  # some were silence
    assert heard.playout.left_out_ms == heard.playout.said_again_ms == 0


def test_away_from_the_losses_every_sample_is_as_it_was_sent() -> None:
    said = speech()[: 40 * 16_000]
    heard = hear(said, losing(0.05))
    lost = {number for number in range(2000) if number not in heard.delays_ms}
    behind = heard.samples.tobytes().find(said[80_000:80_320].tobytes()) // 2 - 80_000
    assert 0 < behind < 1000
    wrong = 0
    for number in range(10, 1980):
        begin = number * 320 + (160 if number - 1 in lost else 0)  # the seam is 10 ms
        wanted = said[begin : number * 320 + 320]
        wrong += number not in lost and (wanted != heard.samples[begin + behind :][: len(wanted)]).any()
    assert wrong == 0
    assert clicks(heard.samples) <= clicks(said) * 1.05


def test_five_lost_in_a_row_fade_and_come_back_without_delay() -> None:
    said = speech()[: 12 * 16_000]
    heard = hear(said, lambda number, sent_s: None if 300 <= number < 308 else 0.02)
    assert heard.delay_ms(7) == pytest.approx(heard.delay_ms(0, 5), abs=0.1)
    assert heard.playout.lost_packets == 8
    kinds = [frame.kind for frame in heard.frames if frame.kind != "heard"]
    assert kinds.count("concealed") in {5, 6}  # 100 ms, and the first frame's start may be a packet's end
    assert kinds.count("silent") >= 2


def test_a_packet_that_cannot_be_decoded_is_a_lost_one() -> None:
    said = speech()[: 6 * 16_000]
    calls = 0

    def make(decode: Callable[[bytes], Samples]) -> Playout:
        def picky(payload: bytes) -> Samples:
            nonlocal calls
            calls += 1
            if calls % 20 == 0:
                raise PayloadError("no")
            return decode(payload) if calls % 20 != 10 else np.empty(0, np.int16)

        return Playout(picky, 16_000)

    heard = hear(said, steady, make=make)
    assert heard.playout.lost_packets == pytest.approx(calls / 10, abs=1)
    assert heard.delay_ms(4) == pytest.approx(heard.delay_ms(0, 2), abs=0.1)


def test_payloads_of_no_or_absurd_length_are_lost_ones() -> None:
    playout = Playout(lambda payload: np.ones(320, np.int16), 16_000)
    playout.put(0, b"", 0.0)
    playout.put(320, bytes(MAX_PAYLOAD_BYTES + 1), 0.02)
    assert playout.waiting_packets == 0


# -- jitter


@pytest.mark.parametrize("most_s", [0.02, 0.04, 0.08])
def test_jitter_is_waited_for(most_s: float) -> None:
    said = speech()[: 40 * 16_000]
    heard = hear(said, jittering(most_s))
    assert heard.delay_ms() < most_s * 500 + 30  # on average a packet is late by half of the most
    assert heard.concealed(from_s=1) <= 8
    assert words_kept(said, heard.samples) > 0.99


def test_the_delay_follows_jitter_up_at_once_and_down_within_seconds() -> None:
    said = speech()[: 40 * 16_000]
    heard = hear(said, jittering(0.04, from_s=10, to_s=20), phase_s=0.012)
    before, during, after = heard.delay_ms(5, 10), heard.delay_ms(11, 20), heard.delay_ms(25)
    assert during <= 40
    assert heard.concealed(from_s=11, to_s=20) <= 2
    assert abs(after - before) <= 5
    assert words_kept(said, heard.samples) > 0.99
    assert clicks(heard.samples) <= clicks(said) * 1.2


def test_five_per_cent_lost_with_jitter_and_reordering_leave_the_words() -> None:
    said = speech()[: 40 * 16_000]
    heard = hear(said, losing(0.05, jittering(0.04)))
    lost = [number for number in range(2000) if number not in heard.delays_ms]
    on_line = [number for number in range(1990) if number not in heard.arrived_s]
    assert len(lost) - len(on_line) <= 12  # next to none came too late
    assert words_kept(said[: -16 * 200], heard.samples, lost) > 0.99
    assert clicks(heard.samples) <= clicks(said) * 1.2
    assert heard.delay_ms() < 50


def test_swapped_packets_are_put_in_order() -> None:
    said = speech()[: 20 * 16_000]
    heard = hear(said, lambda number, sent_s: 0.045 if number % 7 == 3 else 0.02)
    assert words_kept(said, heard.samples) > 0.99
    assert heard.concealed(from_s=2) == 0
    assert list(heard.delays_ms) == sorted(heard.delays_ms)


def test_after_half_a_second_without_packets_all_is_heard_and_the_delay_comes_down() -> None:
    said = speech()[: 30 * 16_000]
    heard = hear(said, stalling(10, 10.5))
    assert heard.playout.underruns >= 1
    assert heard.playout.lost_packets == 0
    assert max(heard.delays_ms.values()) < 500
    assert heard.delay_ms(17) == pytest.approx(heard.delay_ms(5, 10), abs=21)
    assert words_kept(said[: 10 * 16_000], heard.samples) > 0.99
    assert clicks(heard.samples) <= clicks(said) * 1.3


def test_what_waits_too_long_is_heard_faster_and_then_left_off() -> None:
    said = speech()[: 40 * 16_000]
    heard = hear(said, stalling(10, 15))
    assert heard.delay_ms(20) < 60
    assert max(heard.delays_ms.values()) < 2100
    assert heard.playout.waiting_packets < 10


@pytest.mark.parametrize("drift", [200e-6, -200e-6, 5e-3, -5e-3])
def test_a_sender_whose_clock_runs_slow_or_fast_is_kept_up_with(drift: float) -> None:
    said = speech()
    heard = hear(said, jittering(0.003), drift=drift)
    assert heard.delay_ms() < 45
    assert heard.delay_ms(50) < 45
    assert heard.concealed(from_s=1) <= 3
    assert words_kept(said[: -16 * 300], heard.samples) > 0.93  # where a period goes in or out, samples change
    assert clicks(heard.samples) <= clicks(said) * 1.2


# -- clocks


@pytest.mark.parametrize("first", [0, 2**31 - 32_000, 2**32 - 32_000, 4_242_424_242])
def test_timestamps_begin_anywhere_and_wrap(first: int) -> None:
    heard = hear(speech()[: 10 * 16_000], steady, first_timestamp=first)
    assert heard.concealed(from_s=0.1) == 0


@pytest.mark.parametrize("leap", [2**31 - 1, 2**31, -5 * 16_000, 5 * 16_000, 123_456_789, -16_000, 16_000, -4800])
def test_a_stream_that_begins_anew_is_heard_again_at_once(leap: int) -> None:
    said = speech()[: 20 * 16_000]
    playout = Playout(lambda payload: np.frombuffer(payload, np.int16), 16_000)
    frames = []
    for number in range(len(said) // 320):
        timestamp = number * 320 + (leap if number >= 500 else 0)
        playout.put(timestamp, said[number * 320 :][:320].tobytes(), number * 0.02)
        frames.append(playout.frame(number * 0.02 + 0.012))
    assert sum(frame.kind != "heard" for frame in frames[500:]) <= 60
    assert all(frame.kind == "heard" for frame in frames[600:])
    assert playout.delay_ms < 60
    assert playout.stray_packets == 0


def test_one_stray_packet_is_left_out() -> None:
    said = speech()[: 10 * 16_000]
    playout = Playout(lambda payload: np.frombuffer(payload, np.int16), 16_000)
    frames = []
    for number in range(len(said) // 320):
        if number % 50 == 7:
            playout.put(number * 320 + 99_999_999 + number * 7_777_777, bytes(640), number * 0.02)
        playout.put(number * 320, said[number * 320 :][:320].tobytes(), number * 0.02)
        frames.append(playout.frame(number * 0.02 + 0.012))
    assert all(frame.kind == "heard" for frame in frames[1:])
    assert playout.stray_packets == 10


def test_duplicates_are_heard_once() -> None:
    said = speech()[: 10 * 16_000]
    playout = Playout(lambda payload: np.frombuffer(payload, np.int16), 16_000)
    frames = []
    for number in range(len(said) // 320):
        for again in (0, 0, 3):
            playout.put((number - again) * 320, said[max(number - again, 0) * 320 :][:320].tobytes(), number * 0.02)
        frames.append(playout.frame(number * 0.02 + 0.012))
    assert all(frame.kind == "heard" for frame in frames[2:])
    assert playout.duplicate_packets > 900
    assert playout.lost_packets == 0


def test_a_sender_that_pauses_is_silent_and_not_lost() -> None:
    """Discontinuous transmission: a tiny packet now and then (RFC 7587)."""
    said = speech()[16_000 : 6 * 16_000]
    playout = Playout(
        lambda payload: np.frombuffer(payload, np.int16) if len(payload) > 2 else np.zeros(320, np.int16), 16_000
    )
    frames = []
    for number in range(250):
        talks = number < 100 or number >= 200
        if talks or number % 20 == 0:
            playout.put(number * 320, said[number * 320 :][:320].tobytes() if talks else b"\x08", number * 0.02)
        frames.append(playout.frame(number * 0.02 + 0.012))
    assert playout.lost_packets == 0
    assert sum(frame.kind == "silent" for frame in frames[100:200]) > 60
    assert all(frame.kind == "heard" for frame in frames[201:])
    assert playout.delay_ms < 30


def test_after_a_long_silence_any_clock_goes() -> None:
    playout = Playout(lambda payload: np.full(320, 1000, np.int16), 48_000)
    kinds = []
    for tick in range(400):
        if tick < 50 or tick >= 200:
            playout.put(tick * 960 + (0 if tick < 50 else 3_000_000_000), b"x" * 50, tick * 0.02)
        kinds.append(playout.frame(tick * 0.02 + 0.01).kind)
    assert kinds[:50] == ["heard"] * 50
    assert kinds[60:199] == ["silent"] * 139
    assert set(kinds[202:]) == {"heard"}


def test_the_thread_that_takes_frames_may_be_held_up() -> None:
    said = speech()[: 20 * 16_000]
    ticks = iter(range(2000))

    def late_s() -> float:
        tick = next(ticks)
        return max(0.0, 0.3 - (tick - 300) * 0.02) if 300 <= tick < 330 else 0.0

    heard = hear(said, steady, late_tick_s=late_s)
    assert words_kept(said, heard.samples) == 1
    assert heard.concealed(from_s=0.1) == 0
    assert heard.delay_ms(12) <= 30


# -- with real codecs


@pytest.mark.parametrize("codec", ["opus", "mulaw"])
def test_speech_over_a_bad_line_through_the_codecs(codec: str) -> None:
    said = speech()[: 20 * 16_000]
    clock_hz = 48_000 if codec == "opus" else 8_000
    encode = OpusEncoder().encode if codec == "opus" else MulawEncoder().encode
    payloads = [encode(said[start : start + 320]) for start in range(0, len(said), 320)]
    chance = random.Random(5)

    def through(share: float, most_s: float) -> tuple[Playout, Samples]:
        playout = Playout((OpusDecoder() if codec == "opus" else MulawDecoder()).decode, clock_hz)
        arrivals = sorted(
            (number * 0.02 + chance.uniform(0, most_s), number)
            for number in range(len(payloads))
            if chance.random() >= share
        )
        frames = []
        for tick in range(len(payloads)):
            while arrivals and arrivals[0][0] <= tick * 0.02 + 0.009:
                at_s, number = arrivals.pop(0)
                playout.put(7_000 + number * clock_hz // 50, payloads[number], at_s)
            frames.append(playout.frame(tick * 0.02 + 0.009).samples)
        return playout, np.concatenate(frames)

    _, clean = through(0, 0.0)
    first, second = said.astype(float), clean.astype(float)
    behind = int(np.argmax([first[:-2000] @ second[shift : len(second) - 2000 + shift] for shift in range(2000)]))
    assert behind < 800
    assert snr_db(said[:-behind], clean[behind:]) > 10
    playout, bad = through(0.05, 0.04)
    assert playout.delay_ms < 60
    assert clicks(bad) <= max(clicks(clean), clicks(said)) * 1.2
    assert np.sqrt(np.mean(bad.astype(float) ** 2)) == pytest.approx(np.sqrt(np.mean(second**2)), rel=0.1)


# -- whatever comes


class Hostile:
    """A decoder that returns anything."""

    def decode(self, payload: bytes) -> Samples:
        if payload[0] % 7 == 0:
            raise PayloadError("no")
        length = {1: 0, 2: 1, 3: 40, 4: 1920, 5: 8192, 6: 20_000}.get(payload[0] % 7, 320)
        return np.full(length, 32767 if len(payload) % 2 else -32768, np.int16)


_TIMESTAMPS = st.one_of(
    st.integers(0, 2**32 - 1),
    st.integers(0, 40).map(lambda number: number * 960),
    st.integers(-(2**70), 2**70),
)
_STEPS = st.one_of(
    st.tuples(st.just("put"), _TIMESTAMPS, st.binary(max_size=6)),
    st.tuples(st.just("next"), st.integers(-3, 5), st.binary(min_size=1, max_size=4)),
    st.tuples(st.just("burst"), st.integers(1, 400), st.binary(min_size=1, max_size=4)),
    st.tuples(st.just("frame"), st.integers(1, 80), st.just(b"")),
    st.tuples(st.just("wait"), st.integers(-50, 3000), st.just(b"")),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_STEPS, max_size=30), st.sampled_from([8_000, 16_000, 48_000, 44_100]), st.floats(-1e6, 1e9))
def test_any_packets_at_any_time_give_frames(
    steps: list[tuple[str, int, bytes]], clock_hz: int, start_s: float
) -> None:
    playout = Playout(Hostile().decode, clock_hz)
    now_s, timestamp = start_s, 0
    for step, number, payload in steps:
        if step == "put":
            playout.put(number, payload, now_s)
        elif step == "wait":
            now_s += number / 1000
        elif step in {"next", "burst"}:
            for _ in range(number if step == "burst" else 1):
                timestamp += clock_hz // 50 * (1 if step == "burst" else number)
                playout.put(timestamp & 0xFFFF_FFFF, payload, now_s)
        else:
            for _ in range(number):
                frame = playout.frame(now_s)
                now_s += 0.02
                assert frame.samples.dtype == np.int16
                assert frame.samples.shape == (FRAME_SAMPLES,)
                assert frame.kind in {"heard", "concealed", "silent"}
        assert playout.waiting_packets <= MAX_PACKETS
        assert len(playout._odd) < 3
        assert len(playout._recent) <= 64
        assert len(playout._waiting) == len(playout._order)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.binary(max_size=60)), max_size=40))
def test_garbage_through_the_real_decoder_gives_frames(packets: list[tuple[int, bytes]]) -> None:
    playout = Playout(OpusDecoder().decode, 48_000)
    for number, (timestamp, payload) in enumerate(packets):
        playout.put(timestamp if number % 3 == 0 else number * 960, payload, number * 0.02)
        assert len(playout.frame(number * 0.02 + 0.005).samples) == FRAME_SAMPLES


def test_a_hostile_sender_takes_no_memory() -> None:
    chance = random.Random(2)
    playout = Playout(Hostile().decode, 48_000)
    put = partial(playout.put, payload=bytes(range(1, 200)))
    for number in range(20_000):
        put(
            timestamp=chance.randrange(2**32) if number % 2 else number * chance.choice([1, 2, 960]),
            now_s=number * 1e-4,
        )
        if number % 200 == 0:
            playout.frame(number * 1e-4)
        assert playout.waiting_packets <= MAX_PACKETS
