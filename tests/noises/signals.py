"""What exchanges, telephones, fax machines and modems send."""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np

from infra.model import SAMPLE_RATE_HZ
from media_gateway.tones import KEYS, dtmf
from tests.noises.shapes import Maker, Random, Signal, band, gate, swept, tones


def cadence(t: Signal, _: Random, *, hz: tuple[float, ...], spans_s: tuple[float, ...]) -> Signal:
    """Tones on and off (ITU-T E.180 supplement 2 has every country's)."""
    return tones(t, *hz) * gate(t, *spans_s)


def warbled(t: Signal, _: Random, *, hz: float, by_hz: float, spans_s: tuple[float, ...]) -> Signal:
    return tones(t, hz) * (1 + np.sin(2 * np.pi * by_hz * t)) / 2 * gate(t, *spans_s)


def information(t: Signal, _: Random) -> Signal:
    """Three rising tones: 'the number you have dialled ...', without the announcement."""
    place = (t % 2.5 / 0.33).astype(int)
    return np.sin(2 * np.pi * t * np.select([place == 0, place == 1], [950.0, 1400.0], 1800.0)) * (place < 3)


def alternating(t: Signal, _: Random, *, hz: tuple[float, ...], each_s: float) -> Signal:
    return np.sin(swept(t, np.take(np.array(hz), (t / each_s).astype(int) % len(hz))))


def keys(t: Signal, random: Random, *, pause_s: float = 0.0) -> Signal:
    """Keys by chance, as the product sends them, with pauses as people make them."""
    line = np.zeros(0)
    while line.size < t.size:
        gap = np.zeros(int(random.uniform(0.2, 1.8) * pause_s * SAMPLE_RATE_HZ))
        line = np.concatenate((line, dtmf(KEYS[random.integers(16)]) / 32768, gap))
    return line[: t.size]


def answer(t: Signal, _: Random) -> Signal:
    """ANSam (V.8): 2,100 Hz that swells 15 times a second and turns its phase every 450 ms."""
    turned = np.where((t / 0.45).astype(int) % 2, np.pi, 0.0)
    return np.sin(2 * np.pi * 2100 * t + turned) * (1 + 0.2 * np.sin(2 * np.pi * 15 * t)) * gate(t, 3.3, 1.0)


def shifted(t: Signal, random: Random, *, hz: tuple[float, float], baud: float, flags: bool) -> Signal:
    """Data as two tones in turn; `flags`: HDLC's, with which a fax begins its preamble."""
    count = int(t[-1] * baud) + 2
    bits = np.resize([0, 1, 1, 1, 1, 1, 1, 0], count) if flags else random.integers(0, 2, count)
    return np.sin(swept(t, np.take(np.array(hz), bits[(t * baud).astype(int)])))


def page(t: Signal, random: Random) -> Signal:
    """A fax page as V.29 sends it: 2,400 symbols a second of 16 points on 1,700 Hz."""
    points = np.array(
        [3, 1 + 1j, 3j, -1 + 1j, -3, -1 - 1j, -3j, 1 - 1j, 5, 3 + 3j, 5j, -3 + 3j, -5, -3 - 3j, -5j, 3 - 3j]
    )
    symbols = points[random.integers(0, 16, int(t[-1] * 2400) + 2)][(t * 2400).astype(int)]
    return band((symbols * np.exp(2j * np.pi * 1700 * t)).real / 5, 450, 2950)


def fax(t: Signal, random: Random) -> Signal:
    """A whole fax: calling tone, answer, preamble, training, page, over and over."""
    parts = [
        (3.0, cadence(t, random, hz=(1100,), spans_s=(0.5, 0.7))),
        (3.0, tones(t, 2100)),
        (1.2, shifted(t, random, hz=(1850, 1650), baud=300, flags=True)),
        (0.6, shifted(t, random, hz=(1850, 1650), baud=300, flags=False)),
        (0.3, np.zeros(t.size)),
        (0.5, tones(t, 1700) * gate(t, 0.1, 0.02)),
        (6.0, page(t, random)),
        (0.6, np.zeros(t.size)),
    ]
    edges, place = np.cumsum([length for length, _ in parts]), t % sum(length for length, _ in parts)
    return np.choose(np.searchsorted(edges, place, side="right"), [sound for _, sound in parts])


def handshake(t: Signal, random: Random) -> Signal:
    """A modem's: answer tone, then two carriers at once with data (V.22 bis)."""
    data = np.sign(random.standard_normal(int(t[-1] * 600) + 2))[(t * 600).astype(int)]
    carriers = data * np.sin(2 * np.pi * 1200 * t) + np.roll(data, 999) * np.sin(2 * np.pi * 2400 * t)
    return np.where(t % 10 < 3, tones(t, 2100), band(carriers, 600, 3000))


def ring(t: Signal, _: Random) -> Signal:
    """A mobile's melody on a small loudspeaker, twice, then nothing."""
    tune_hz = np.array([659, 587, 370, 415, 554, 494, 294, 330, 494, 440, 277, 330, 440, 440, 440, 440.0])
    place = (t % 5 / 0.16).astype(int)
    wave = np.sin(swept(t, np.take(2 * tune_hz, place % 16)))
    return np.sign(wave) * np.abs(wave) ** 0.3 * (place < 16)


EXCHANGE: Final[dict[str, Maker]] = {
    "dial tone": partial(cadence, hz=(350, 440), spans_s=(9.0, 0.01)),
    "dial tone, German": partial(cadence, hz=(425,), spans_s=(9.0, 0.01)),
    "dial tone, stutter": partial(cadence, hz=(350, 440), spans_s=(0.1, 0.1)),
    "ringback": partial(cadence, hz=(440, 480), spans_s=(2.0, 4.0)),
    "ringback, British": partial(cadence, hz=(400, 450), spans_s=(0.4, 0.2, 0.4, 2.0)),
    "ringback, German": partial(cadence, hz=(425,), spans_s=(1.0, 4.0)),
    "ringback, French": partial(cadence, hz=(440,), spans_s=(1.5, 3.5)),
    "ringback, Japanese": partial(warbled, hz=400, by_hz=16, spans_s=(1.0, 2.0)),
    "ringback, Indian": partial(warbled, hz=400, by_hz=25, spans_s=(0.4, 0.2, 0.4, 2.0)),
    "busy": partial(cadence, hz=(480, 620), spans_s=(0.5, 0.5)),
    "busy, British": partial(cadence, hz=(400,), spans_s=(0.375, 0.375)),
    "busy, German": partial(cadence, hz=(425,), spans_s=(0.48, 0.48)),
    "reorder": partial(cadence, hz=(480, 620), spans_s=(0.25, 0.25)),
    "special information": information,
    "off the hook": partial(cadence, hz=(1400, 2060, 2450, 2600), spans_s=(0.1, 0.1)),
    "call waiting": partial(cadence, hz=(440,), spans_s=(0.3, 5.0)),
    "recording beep": partial(cadence, hz=(1400,), spans_s=(0.4, 4.0)),
    "siren": partial(alternating, hz=(440, 585), each_s=0.6),
}
KEYPAD: Final[dict[str, Maker]] = {"keys": keys, "keys, slow": partial(keys, pause_s=0.6)}
DATA: Final[dict[str, Maker]] = {
    "fax calling": partial(cadence, hz=(1100,), spans_s=(0.5, 3.0)),
    "fax answering": partial(cadence, hz=(2100,), spans_s=(3.0, 0.8)),
    "answer tone V.8": answer,
    "preamble V.21": partial(shifted, hz=(1850, 1650), baud=300, flags=True),
    "data V.21": partial(shifted, hz=(1180, 980), baud=300, flags=False),
    "page V.29": page,
    "whole fax": fax,
    "modem V.22": handshake,
    "text telephone": partial(shifted, hz=(1800, 1400), baud=45.45, flags=False),
}
SIGNALS: Final[dict[str, dict[str, Maker]]] = {
    "exchange": EXCHANGE,
    "keys": KEYPAD,
    "fax and modem": DATA,
    "ringing": {"mobile ring": ring, "bell": partial(warbled, hz=2000, by_hz=20, spans_s=(1.0, 2.0))},
}
"""By category and name."""
