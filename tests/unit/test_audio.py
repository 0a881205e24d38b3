"""Decode, encode and resample, against the standard's tables and the quality that recognition needs."""

from __future__ import annotations

import numpy as np
import pytest

from media_gateway.audio import (
    ALAW,
    MULAW,
    AudioFormat,
    AudioFormatError,
    Samples,
    decode,
    encode,
    mix,
    resampler,
    split,
)

audioop = pytest.importorskip("audioop")

EVERY_CODE = bytes(range(256))
EVERY_SAMPLE = np.arange(-32768, 32768).astype(np.int16)


def tone(hertz: float, rate_hz: int, seconds: float = 4.0) -> Samples:
    moments = np.arange(int(rate_hz * seconds)) / rate_hz
    samples: Samples = np.rint(12000 * np.sin(2 * np.pi * hertz * moments)).astype(np.int16)
    return samples


def through(samples: Samples, rate_in_hz: int, rate_out_hz: int = 16_000, block: int | None = None) -> Samples:
    stream = resampler(rate_in_hz, rate_out_hz)
    block = block or rate_in_hz // 50
    parts = [stream.process(samples[start : start + block]) for start in range(0, len(samples), block)]
    return np.concatenate([*parts, stream.flush()])


def gain_snr_phase(samples: Samples, hertz: float, rate_hz: int) -> tuple[float, float, float]:
    """Return what became of `tone`: its level in dB, what else there is in dB below it, its phase in degrees."""
    middle = samples[rate_hz // 2 : -rate_hz // 2].astype(float)
    moments = (np.arange(len(middle)) + rate_hz // 2) / rate_hz
    basis = np.stack([np.sin(2 * np.pi * hertz * moments), np.cos(2 * np.pi * hertz * moments)], 1)
    (sine, cosine), *_ = np.linalg.lstsq(basis, middle, rcond=None)
    rest = middle - basis @ [sine, cosine]
    level = np.hypot(sine, cosine)
    return (
        float(20 * np.log10(level / 12000)),
        float(10 * np.log10(level**2 / 2 / rest.var())),
        float(np.degrees(np.arctan2(cosine, sine))),
    )


def test_g711_tables_are_the_standards() -> None:
    assert MULAW.tobytes() == audioop.ulaw2lin(EVERY_CODE, 2)
    assert ALAW.tobytes() == audioop.alaw2lin(EVERY_CODE, 2)


@pytest.mark.parametrize(("law", "table", "twins"), [("mulaw", MULAW, {0x7F: 0xFF}), ("alaw", ALAW, {})])
def test_encoding_takes_the_nearest_code(law: str, table: Samples, twins: dict[int, int]) -> None:
    assert law in {"mulaw", "alaw"}
    codes = encode(EVERY_SAMPLE, "mulaw" if law == "mulaw" else "alaw")
    error = np.abs(table[np.frombuffer(codes, np.uint8)].astype(int) - EVERY_SAMPLE)
    nearest = np.abs(table.astype(int)[:, None] - EVERY_SAMPLE[None, ::251]).min(axis=0)
    assert (error[::251] == nearest).all()
    assert encode(table, "mulaw" if law == "mulaw" else "alaw") == bytes(twins.get(code, code) for code in EVERY_CODE)


def test_silence_is_the_code_that_telephones_send() -> None:
    assert encode(np.zeros(3, np.int16)) == b"\xff\xff\xff"


@pytest.mark.parametrize(("order", "payload"), [("little", b"\x01\x02\xff\xff"), ("big", b"\x02\x01\xff\xff")])
def test_l16_in_both_byte_orders(order: str, payload: bytes) -> None:
    wire = AudioFormat.from_media_type("audio/L16;rate=16000", 8000, byte_order="big" if order == "big" else "little")
    assert wire.rate_hz == 16_000
    assert decode(payload, wire).tolist() == [0x0201, -1]


def test_half_a_sample_is_left_off() -> None:
    assert decode(b"\x01\x02\x03", AudioFormat("l16le", 16_000)).tolist() == [0x0201]


def test_stereo_is_split_and_mixed() -> None:
    interleaved = np.array([100, 300, -100, -300, 7], np.int16)
    assert [part.tolist() for part in split(interleaved, 2)] == [[100, -100], [300, -300]]
    assert mix(interleaved, 2).tolist() == [200, -200]


@pytest.mark.parametrize(
    ("name", "rate_hz", "channels"),
    [
        ("audio/opus", 8000, 1),
        ("", 8000, 1),
        ("audio/x-mulaw", 0, 1),
        ("audio/x-mulaw", 10**9, 1),
        ("audio/l16", 8000, 3),
    ],
)
def test_what_cannot_be_decoded_is_refused(name: str, rate_hz: int, channels: int) -> None:
    with pytest.raises(AudioFormatError):
        AudioFormat.from_media_type(name, rate_hz, channels)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 22_050, 24_000, 32_000, 44_100, 48_000])
@pytest.mark.parametrize("hertz", [1000.3, 3003.7, 3400.1])
def test_speech_survives_the_way_to_16_khz(rate_hz: int, hertz: float) -> None:
    gain_db, snr_db, phase = gain_snr_phase(through(tone(hertz, rate_hz), rate_hz), hertz, 16_000)
    assert snr_db >= 80
    assert abs(gain_db) <= 0.1
    assert abs(phase) < 0.5  # the delay is compensated: a degree of 1 kHz is 3 microseconds


def test_no_image_above_the_telephone_band() -> None:
    spectrum = np.abs(np.fft.rfft(through(tone(3400.1, 8000), 8000)[8000:-8000] * np.blackman(48_000))) ** 2
    above = spectrum[spectrum.size // 2 :].sum() / spectrum.sum()
    assert 10 * np.log10(above) < -80


@pytest.mark.parametrize("hertz", [9200.3, 10_000.3, 15_000.3])
def test_what_16_khz_cannot_hold_is_removed(hertz: float) -> None:
    left = through(tone(hertz, 48_000), 48_000)[2000:-2000].astype(float)
    assert 20 * np.log10(left.std() / (12000 / 2**0.5) + 1e-9) < -80


@pytest.mark.parametrize(
    ("rate_in_hz", "rate_out_hz"), [(8000, 16_000), (48_000, 16_000), (44_100, 16_000), (16_000, 8000)]
)
@pytest.mark.parametrize("length", [0, 1, 2, 159, 160, 8001])
def test_flushed_output_is_as_long_as_the_input(rate_in_hz: int, rate_out_hz: int, length: int) -> None:
    out = through(np.ones(length, np.int16), rate_in_hz, rate_out_hz)
    assert len(out) == -(-length * rate_out_hz // rate_in_hz)


def test_the_cut_into_blocks_does_not_show() -> None:
    noise = np.random.default_rng(1).integers(-9000, 9000, 8000).astype(np.int16)
    whole, pieces = through(noise, 8000, block=8000), through(noise, 8000, block=77)
    assert np.abs(whole.astype(int) - pieces).max() <= 1  # a rounding


def test_a_flushed_resampler_begins_anew() -> None:
    stream = resampler(8000)
    samples = tone(440.0, 8000, 0.5)
    first = np.concatenate([stream.process(samples), stream.flush()])
    again = np.concatenate([stream.process(samples), stream.flush()])
    assert (first == again).all()


def test_loud_input_is_clipped_not_wrapped() -> None:
    square = np.where(np.arange(800) // 4 % 2, 32767, -32768).astype(np.int16)
    out = through(square, 8000).astype(int)
    assert np.abs(out[::2] - square).max() <= 1  # at twice the rate, every other sample is the one that went in
    assert out.max() == 32767
    assert out.min() == -32768
