"""One party's packets -> samples and back, in order, packet after packet: G.711, G.722 and Opus."""

from __future__ import annotations

from fractions import Fraction
from typing import Final, Literal

import av
import numpy as np

from infra.model import SAMPLE_RATE_HZ, SAMPLES_PER_MS
from media_gateway.audio import ALAW, FRAME_MS, FRAME_SAMPLES, MULAW, PayloadError, Samples, encode, live_resampler


class _G711Decoder:
    """One party's G.711 at 8 kHz -> 16 kHz mono, two samples for each byte, 3 ms late."""

    joins: Final = True
    """Payloads that follow on may be decoded as one."""

    def __init__(self, table: Samples) -> None:
        self._table = table
        self._resampler = live_resampler(8_000, SAMPLE_RATE_HZ)

    def length(self, payload: bytes) -> int:
        """Return how many samples a payload stands for."""
        return 2 * len(payload)

    def decode(self, payload: bytes) -> Samples:
        """Return what follows on from the payload before; any length."""
        return self._resampler.process(self._table.take(np.frombuffer(payload, np.uint8)))


class MulawDecoder(_G711Decoder):
    """Mu-law (PCMU)."""

    def __init__(self) -> None:
        super().__init__(MULAW)


class AlawDecoder(_G711Decoder):
    """A-law (PCMA)."""

    def __init__(self) -> None:
        super().__init__(ALAW)


class _G711Encoder:
    """16 kHz mono -> one party's G.711 at 8 kHz, 3 ms late."""

    def __init__(self, law: Literal["mulaw", "alaw"]) -> None:
        self._law: Literal["mulaw", "alaw"] = law
        self._resampler = live_resampler(SAMPLE_RATE_HZ, 8_000)

    def encode(self, frame: Samples) -> bytes:
        """Return one byte for every two samples: 160 for a frame."""
        return encode(self._resampler.process(frame), self._law)


class MulawEncoder(_G711Encoder):
    """Mu-law (PCMU)."""

    def __init__(self) -> None:
        super().__init__("mulaw")


class AlawEncoder(_G711Encoder):
    """A-law (PCMA)."""

    def __init__(self) -> None:
        super().__init__("alaw")


class G722Decoder:
    """One party's G.722 at 64 kbit/s -> 16 kHz mono, two samples for each byte, 1.4 ms late."""

    joins: Final = True

    def __init__(self) -> None:
        self._codec = av.CodecContext.create("g722", "r")
        self._codec.sample_rate = SAMPLE_RATE_HZ
        self._codec.layout = "mono"

    def length(self, payload: bytes) -> int:
        """Return how many samples a payload stands for."""
        return 2 * len(payload)

    def decode(self, payload: bytes) -> Samples:
        """Return what follows on from the payload before; any length.

        Raises:
            PayloadError: an empty payload.
        """
        if not payload:  # would end FFmpeg's stream for good
            raise PayloadError("an empty packet")
        frames = self._codec.decode(av.Packet(payload))
        return np.concatenate([frame.to_ndarray().ravel() for frame in frames]).astype(np.int16, copy=False)


class G722Encoder:
    """16 kHz mono -> one party's G.722 at 64 kbit/s."""

    def __init__(self) -> None:
        self._codec = av.CodecContext.create("g722", "w")
        self._codec.sample_rate = SAMPLE_RATE_HZ
        self._codec.layout = "mono"
        self._codec.format = "s16"
        self._codec.time_base = Fraction(1, SAMPLE_RATE_HZ)
        self._samples = 0

    def encode(self, frame: Samples) -> bytes:
        """Return one byte for every two samples: 160 for a frame."""
        block = av.AudioFrame.from_ndarray(frame.reshape(1, -1), format="s16", layout="mono")
        block.sample_rate = SAMPLE_RATE_HZ
        block.pts = self._samples
        self._samples += len(frame)
        return b"".join(bytes(packet) for packet in self._codec.encode(block))


class OpusDecoder:
    """One party's Opus packets (RFC 6716) -> 16 kHz mono, 1.5 ms late; stereo is mixed down."""

    joins: Final = False
    _RATE_HZ: Final = 48_000
    """FFmpeg's wrapper of libopus knows no other."""
    _MOST: Final = 120 * SAMPLES_PER_MS

    def __init__(self) -> None:
        self._codec = av.CodecContext.create("libopus", "r")
        self._codec.sample_rate = self._RATE_HZ
        self._codec.layout = "mono"
        self._codec.format = "s16"
        self._resampler = live_resampler(self._RATE_HZ, SAMPLE_RATE_HZ)

    def length(self, payload: bytes) -> int:
        """Return how many samples a packet stands for, by its first bytes (RFC 6716, section 3.1); 0 if it is none."""
        if not payload:
            return 0
        config, code = payload[0] >> 3, payload[0] & 3
        if config < 12:
            frame = (160, 320, 640, 960)[config & 3]
        elif config < 16:
            frame = (160, 320)[config & 1]
        else:
            frame = (40, 80, 160, 320)[config & 3]
        frames = (1, 2, 2)[code] if code < 3 else payload[1] & 63 if len(payload) > 1 else 0
        return frames * frame if frames * frame <= self._MOST else 0

    def decode(self, payload: bytes) -> Samples:
        """Return a packet's 2.5 to 120 ms. Packets come in the order in which they were sent.

        Raises:
            PayloadError: not an Opus packet.
        """
        if not payload:  # would end FFmpeg's stream for good
            raise PayloadError("an empty packet")
        try:
            frames = self._codec.decode(av.Packet(payload))
        except av.FFmpegError as error:
            raise PayloadError("not an Opus packet") from error
        if not frames:
            raise PayloadError("an Opus packet without audio")
        return self._resampler.process(frames[0].to_ndarray().ravel().astype(np.int16, copy=False))


class OpusEncoder:
    """16 kHz mono -> one party's Opus packets of 20 ms, made for speech over a line that loses packets."""

    _OPTIONS: Final = {
        "application": "voip",
        "frame_duration": str(FRAME_MS),
        "compression_level": "2",  # libopus' complexity: the least that has error correction
        "fec": "1",
        "packet_loss": "5",  # per cent; without a loss to expect, libopus sends no error correction
    }

    def __init__(self, bit_rate_hz: int = 32_000) -> None:
        self._codec = av.CodecContext.create("libopus", "w")
        self._codec.sample_rate = SAMPLE_RATE_HZ
        self._codec.layout = "mono"
        self._codec.format = "s16"
        self._codec.bit_rate = bit_rate_hz
        self._codec.time_base = Fraction(1, SAMPLE_RATE_HZ)
        self._codec.options = dict(self._OPTIONS)
        self._samples = 0

    def encode(self, frame: Samples) -> bytes:
        """Return the packet for a frame of FRAME_SAMPLES.

        Raises:
            ValueError: a frame of another length.
        """
        if len(frame) != FRAME_SAMPLES:
            raise ValueError(f"a frame has {FRAME_SAMPLES} samples")
        block = av.AudioFrame.from_ndarray(frame.reshape(1, -1), format="s16", layout="mono")
        block.sample_rate = SAMPLE_RATE_HZ
        block.pts = self._samples
        self._samples += FRAME_SAMPLES
        (packet,) = self._codec.encode(block)
        return bytes(packet)
