"""The recordings of the shared data folder as tracks at 16 kHz, each with its reference."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from infra.model import CHUNK_MS, SAMPLE_RATE_HZ, SAMPLES_PER_MS, AudioChunk

PHONE_RATE_HZ: Final = 8000
PHONE_BAND_HZ: Final = (300, 3400)


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One channel of a recording and what is said on it."""

    name: str
    language: str
    samples: NDArray[np.float32]
    """Shape (n,), 16 kHz, -1..1."""
    reference: str

    @property
    def duration_s(self) -> float:
        return self.samples.size / SAMPLE_RATE_HZ

    def chunks(self) -> Iterator[AudioChunk]:
        """Yield the track as the gateway cuts it."""
        pcm = np.clip(np.rint(self.samples * 32768), -32768, 32767).astype("<i2").tobytes()
        size = CHUNK_MS * SAMPLES_PER_MS * 2
        count = max(-(-len(pcm) // size), 1)
        for seq in range(count):
            yield AudioChunk(
                seq, seq * CHUNK_MS, pcm[seq * size : (seq + 1) * size], received_at_ms=0, last=seq == count - 1
            )


def load_set(data: Path, name: str, *, language: str | None = "en", phone: bool = False) -> list[Track]:
    """Return every track of `data/name` that has a reference, in the order of the names.

    `language` None takes all; `phone` sends the audio through a narrow-band G.711 channel first.
    """
    tracks: list[Track] = []
    for path in sorted((data / name).glob("*.json")):
        item = json.loads(path.read_text())
        if item["reference"]["file"] is None or language not in {None, item["language"]}:
            continue
        text = (path.parent / item["reference"]["file"]).read_text()
        audio = decode(path.parent / item["audio"])
        for label, channel, reference in split(item, text):
            samples = telephone(audio[channel]) if phone else audio[channel]
            tracks.append(Track(f"{item['name']}{label}", item["language"], samples, reference))
    return tracks


def decode(path: Path) -> NDArray[np.float32]:
    """Return an audio file as shape (channels, n) at 16 kHz."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        rate, count = stream.rate, stream.codec_context.channels
        planar = av.AudioResampler(format="fltp")
        blocks = [block.to_ndarray() for frame in container.decode(stream) for block in planar.resample(frame)]
    audio = np.concatenate(blocks, axis=1)
    assert audio.shape[0] == count, "planar frames have one row a channel"
    return np.stack([soxr.resample(channel, rate, SAMPLE_RATE_HZ) for channel in audio]).astype(np.float32)


def telephone(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 16 kHz audio as it sounds after 8 kHz, 300-3400 Hz and G.711 mu-law."""
    narrow = soxr.resample(samples, SAMPLE_RATE_HZ, PHONE_RATE_HZ)
    spectrum = np.fft.rfft(narrow)
    frequency = np.fft.rfftfreq(narrow.size, 1 / PHONE_RATE_HZ)
    spectrum[(frequency < PHONE_BAND_HZ[0]) | (frequency > PHONE_BAND_HZ[1])] = 0
    band = np.clip(np.fft.irfft(spectrum, narrow.size), -1, 1)
    companded = np.sign(band) * np.log1p(255 * np.abs(band)) / np.log(256)
    quantised = np.rint(companded * 127) / 127
    expanded = np.sign(quantised) * np.expm1(np.abs(quantised) * np.log(256)) / 255
    return soxr.resample(expanded, PHONE_RATE_HZ, SAMPLE_RATE_HZ).astype(np.float32)


def split(item: dict[str, object], text: str) -> list[tuple[str, int, str]]:
    """Return (suffix of the name, channel, its reference) for each channel worth hearing."""
    lines = [re.match(r"(?:\[(\S+)[^\]]*\] )?(.*)", line) for line in text.splitlines() if line.strip()]
    said = [(line[1], re.sub(r"\{[^}]*\}", "", line[2])) for line in lines if line]
    everything = " ".join(words for _, words in said)
    speakers = {speaker for speaker, _ in said}
    if item["channels"] != 2 or len(speakers) != 2:
        return [("", 0, everything)]
    roles = item.get("channel_roles")
    assert roles is None or isinstance(roles, list)
    for names in (roles, ["ch0", "ch1"]):
        if names is not None and set(names) == speakers:
            return [
                (f":{name}", channel, " ".join(words for speaker, words in said if speaker == name))
                for channel, name in enumerate(names)
            ]
    return [("", 0, everything)]  # both channels carry the same mix
