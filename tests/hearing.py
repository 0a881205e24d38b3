"""An ear for tests: what a person would understand of audio that came out somewhere."""

from functools import cache

import numpy as np
import numpy.typing as npt

from infra.model import SAMPLE_RATE_HZ
from infra.settings import read_settings
from media_gateway.audio import resampler
from tests.conftest import missing
from workers.asr.engines import Engine, open_engine
from workers.asr.models import ModelMissingError


@cache
def _engine() -> Engine:
    try:
        engine = open_engine(
            "moonshine", "moonshine/base-en", "cpu", "en", data_dir=read_settings().hearline_data_dir, threads=1
        )
    except ModelMissingError as error:
        missing(str(error))
    engine.warm_up()
    return engine


def words_in(samples: npt.NDArray[np.int16], rate_hz: int) -> str:
    """Return the words of some seconds of mono audio, in lower case."""
    stream = resampler(rate_hz)
    wide = np.concatenate([stream.process(samples), stream.flush()]).astype(np.float32) / 32768
    engine = _engine()
    longest = engine.capabilities.longest_ms * SAMPLE_RATE_HZ // 1000
    pieces = [wide[start : start + longest] for start in range(0, len(wide), longest)]
    return " ".join(engine.transcribe(piece, language="en", final=True).text for piece in pieces).lower()
