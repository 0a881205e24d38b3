"""What a dialect's codec is to the rest of the gateway: a format that recognition reads, a voice at a bridge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from infra.model import SAMPLE_RATE_HZ
from media_gateway.audio import FRAME_MS, AudioFormat, AudioFormatError, Samples, decode, encode, live_resampler
from media_gateway.codecs import G722Decoder, G722Encoder, OpusDecoder, OpusEncoder
from media_gateway.protocols.dialects.dialect import Codec
from media_gateway.voices import PacketVoice

_PACKETS: Final = frozenset({"g722", "opus"})
"""Encodings whose payloads have to be decoded one after the other."""
_DECODED: Final = AudioFormat("l16le", SAMPLE_RATE_HZ)


class PcmDecoder:
    """One party's samples at any rate -> 16 kHz mono, at most 3 ms late."""

    def __init__(self, audio_format: AudioFormat) -> None:
        """Raises AudioFormatError: a rate that no conversation can have."""
        self._format = audio_format
        self._resampler = live_resampler(audio_format.rate_hz, SAMPLE_RATE_HZ)

    def decode(self, payload: bytes) -> Samples:
        """Return what follows on from the payload before; any length."""
        return self._resampler.process(decode(payload, self._format))


class PcmEncoder:
    """16 kHz mono -> one party's samples at any rate, at most 3 ms late."""

    def __init__(self, audio_format: AudioFormat) -> None:
        """Raises AudioFormatError: a rate that no conversation can have."""
        self._encoding = audio_format.encoding
        self._resampler = live_resampler(SAMPLE_RATE_HZ, audio_format.rate_hz)

    def encode(self, frame: Samples) -> bytes:
        """Return as much audio as comes in."""
        samples = self._resampler.process(frame)
        match self._encoding:
            case "mulaw" | "alaw" as law:
                return encode(samples, law)
            case "l16le":
                return samples.astype("<i2", copy=False).tobytes()
            case "l16be":
                return samples.astype(">i2").tobytes()


def read_format(codec: Codec) -> AudioFormat:
    """Return in what format recognition gets this codec's audio (see `packet_decoder`).

    Raises:
        AudioFormatError: it cannot be decoded here.
    """
    match codec.encoding:
        case "opus" | "g722":
            return _DECODED
        case encoding:
            return AudioFormat(encoding, codec.rate_hz, codec.channels)


def packet_decoder(codec: Codec) -> Callable[[bytes], Samples] | None:
    """Return a decoder for one track where recognition cannot read its payloads as they are."""
    match codec.encoding:
        case "opus":
            return OpusDecoder().decode
        case "g722":
            return G722Decoder().decode
    return None


def line_voice(heard: Codec, played: Codec) -> PacketVoice:
    """Return the voice of a caller who is heard and spoken to in these codecs.

    Raises:
        AudioFormatError: no conversation is possible in them.
    """
    if heard.channels != 1 or played.channels != 1:
        raise AudioFormatError("a conversation in stereo")
    return PacketVoice(live_decoder(heard), live_encoder(played), heard.rate_hz, gapless=False)


def live_decoder(codec: Codec) -> Callable[[bytes], Samples]:
    """Return what makes one party's payloads 16 kHz mono. Raises AudioFormatError: a rate of no conversation."""
    return packet_decoder(codec) or PcmDecoder(read_format(codec)).decode


def live_encoder(codec: Codec) -> Callable[[Samples], bytes]:
    """Return what makes 20 ms of 16 kHz mono one party's payload. Raises AudioFormatError: as above."""
    match codec.encoding:
        case "opus":
            return OpusEncoder().encode
        case "g722":
            return G722Encoder().encode
    return PcmEncoder(read_format(codec)).encode


def voice_packets(payload: bytes, timestamp_ms: int, codec: Codec) -> Iterator[tuple[int, bytes]]:
    """Return a payload as a voice takes it: pieces of at most 20 ms with their timestamps on the codec's clock."""
    at = timestamp_ms * codec.rate_hz // 1000
    if codec.encoding in _PACKETS:
        yield at, payload
        return
    samples = codec.rate_hz * FRAME_MS // 1000
    step = samples * codec.sample_bytes
    for index, start in enumerate(range(0, len(payload), step)):
        yield at + index * samples, payload[start : start + step]
