"""Pieces of recordings, as files."""

from pathlib import Path

import av
import numpy as np


def cut(source: Path, target: Path, start_s: float, end_s: float, *, channel: int | None = None) -> Path:
    """Write a stretch of a 16-bit recording as WAV, all channels or one of them; return its path."""
    with av.open(str(source)) as container:
        stream = container.streams.audio[0]
        rate, channels = stream.rate, stream.codec_context.channels
        packed = av.AudioResampler(format="s16")
        blocks = [block.to_ndarray() for frame in container.decode(stream) for block in packed.resample(frame)]
    samples = np.concatenate(blocks, axis=1).reshape(-1, channels)[int(start_s * rate) : int(end_s * rate)]
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
