"""What a line carries by itself: silence, hiss, hum, crackle, and what codecs make of nothing."""

from __future__ import annotations

from typing import Final

import numpy as np

from infra.model import SAMPLE_RATE_HZ
from media_gateway.audio import MULAW
from tests.noises.shapes import Maker, Random, Signal, band, coloured, gate, pulses, resonant, scattered, swell, tones

PHONE_HZ: Final = 8000


def silence(t: Signal, _: Random) -> Signal:
    return np.zeros(t.size)


def last_bit(t: Signal, random: Random) -> Signal:
    return random.integers(-1, 2, t.size) / 32768


def mulaw_idle(t: Signal, random: Random) -> Signal:
    """The codes next to zero, as a G.711 line without a talker sends them."""
    codes = random.choice(np.array([0xFF, 0x7F, 0xFE, 0x7E], np.uint8), t.size // 2 + 1, p=[0.5, 0.3, 0.1, 0.1])
    return np.repeat(MULAW[codes] / 32768, 2)[: t.size]


def mulaw_stuck(t: Signal, _: Random) -> Signal:
    """A line whose sender repeats one packet of 20 ms for ever."""
    packet = MULAW[np.random.default_rng(3).integers(0xE0, 0x100, 160).astype(np.uint8)] / 32768
    return np.repeat(np.resize(packet, t.size // 2 + 1), 2)[: t.size]


def comfort(t: Signal, random: Random) -> Signal:
    """Noise with a spectrum that changes every 0.4 s, as RFC 3389 describes it to the other end."""
    blocks = [
        resonant(random.standard_normal(6400), [(random.uniform(200, 3000), 1.0), (random.uniform(200, 900), 1.0)], 500)
        for _ in range(t.size // 6400 + 1)
    ]
    return np.concatenate(blocks)[: t.size]


def gated_comfort(t: Signal, random: Random) -> Signal:
    """The same, switched on and off where a detector of voice is in two minds."""
    return comfort(t, random) * gate(t, 0.7, 0.4, 0.2, 0.9, 1.4, 0.3)


def concealed(t: Signal, random: Random) -> Signal:
    """Noise of which single packets are played again and again, louder than what is around them."""
    line, frame = coloured(random.standard_normal(t.size), 0.5), 320
    for start in range(0, t.size - 8 * frame, 8 * frame):
        if random.random() < 0.4:
            line[start : start + 5 * frame] = 2 * np.tile(line[start : start + frame], 5)
    return line


def robot(t: Signal, random: Random) -> Signal:
    """What a vocoder makes of noise: a buzz of 50 frames a second with formants that jump."""
    line = pulses(t, np.full(t.size, 100.0))
    out = np.zeros(t.size)
    for start in range(0, t.size, 1920):
        piece = line[start : start + 1920]
        out[start : start + 1920] = resonant(piece, [(random.uniform(250, 900), 1.0), (random.uniform(900, 2600), 0.6)])
    return out * gate(t, 1.5, 1.0, 0.4, 0.8)


def handset_buzz(t: Signal, random: Random) -> Signal:
    """A GSM handset beside a loudspeaker: bursts 217 times a second, in the groups in which it reports."""
    burst = (t * 217 % 1 < 0.125) * (1 + 0.1 * random.standard_normal(t.size))
    return band(burst, 100, 4000) * gate(t, 0.1, 0.12, 0.1, 0.12, 0.1, 0.6, 0.9, 1.5)


def clicks(t: Signal, random: Random) -> Signal:
    return scattered(t, random, 3, lambda: random.uniform(0.3, 1) * np.array([1.0, -0.6, 0.2, -0.1]))


def crackle(t: Signal, random: Random) -> Signal:
    """A bad contact: showers of clicks."""

    def shower() -> Signal:
        length = int(random.uniform(0.05, 0.8) * SAMPLE_RATE_HZ)
        return np.where(random.random(length) < 0.01, random.standard_normal(length), 0.0)

    return scattered(t, random, 1.2, shower)


def dropouts(t: Signal, random: Random) -> Signal:
    """Hiss with holes of one packet."""
    return random.standard_normal(t.size) * np.repeat(random.random(t.size // 320 + 1) > 0.3, 320)[: t.size]


def crosstalk_pulses(t: Signal, _: Random) -> Signal:
    """A pulse-dialled neighbour: ten clicks a second in groups."""
    return np.diff(gate(t, *[0.06, 0.04] * 6, 0.06, 0.9), prepend=1.0)


def echo_of_noise(t: Signal, random: Random) -> Signal:
    """Bursts of noise and what a poor echo canceller leaves of them."""
    burst = scattered(t, random, 0.8, lambda: coloured(random.standard_normal(8000), 0.5) * swell(0.5, 0.1))
    return burst + 0.4 * np.roll(burst, 3200) + 0.2 * np.roll(burst, 6400)


LINE: Final[dict[str, dict[str, Maker]]] = {
    "silence": {"digital silence": silence, "last bit": last_bit, "mu-law idle": mulaw_idle, "one packet": mulaw_stuck},
    "hiss": {
        "white noise": lambda t, random: random.standard_normal(t.size),
        "pink noise": lambda t, random: coloured(random.standard_normal(t.size), 0.5),
        "brown noise": lambda t, random: coloured(random.standard_normal(t.size), 1.0),
        "comfort noise": comfort,
        "comfort noise, gated": gated_comfort,
        "dropouts": dropouts,
    },
    "hum": {
        "hum 50 Hz": lambda t, _: tones(t, 50, 100, 150),
        "hum 60 Hz and hiss": lambda t, random: tones(t, 60, 120, 180, 240) + 0.03 * random.standard_normal(t.size),
        "dimmer buzz": lambda t, _: band(pulses(t, np.full(t.size, 100.0)), 100, 4000),
    },
    "crackle": {
        "clicks": clicks,
        "crackle": crackle,
        "dial pulses": crosstalk_pulses,
        "echo of noise": echo_of_noise,
    },
    "codec": {"concealed packets": concealed, "vocoder buzz": robot, "handset buzz": handset_buzz},
}
"""By category and name."""
