"""Pieces of recordings, as files and as samples."""

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt


def read(source: Path, rate_hz: int | None = None) -> tuple[npt.NDArray[np.int16], int]:
    """Return a recording's samples, a row for each moment and a column for each channel, and their rate in Hz."""
    with av.open(str(source)) as container:
        stream = container.streams.audio[0]
        rate = rate_hz or stream.rate
        channels = stream.codec_context.channels
        packed = av.AudioResampler(format="s16", rate=rate)
        frames = [*container.decode(stream), None]
        blocks = [block.to_ndarray() for frame in frames for block in packed.resample(frame)]
    return np.concatenate(blocks, axis=1).reshape(-1, channels), rate


def cut(source: Path, target: Path, start_s: float, end_s: float, *, channel: int | None = None) -> Path:
    """Write a stretch of a 16-bit recording as WAV, all channels or one of them; return its path."""
    samples, rate = read(source)
    samples = samples[int(start_s * rate) : int(end_s * rate)]
    if channel is not None:
        samples = samples[:, [channel]]
    with av.open(str(target), "w") as container:
        layout = "mono" if samples.shape[1] == 1 else "stereo"
        stream = container.add_stream("pcm_s16le", rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples).reshape(1, -1), format="s16", layout=layout)
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return target
