"""How fast a recording is imported: `python -m tests.bench.importing [--file FILE] [--json FILE]`.

The sample call goes through a whole installation, from the first byte that is sent to the end of the call, beside the
plain recogniser on the same speech in the same run: no server, no streams, no database, one stretch after the other.
Times real time, both; and what of the plain recogniser's words the import has.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from infra.importing import Wanted, bring_in
from infra.model import CHUNK_BYTES, CHUNK_MS, SAMPLE_RATE_HZ, AudioChunk
from tests.bench.score import score
from tests.recordings import read
from tests.whole import MODELS, ROOT, TOKEN, whole
from workers.asr.engines import Engine, open_engine
from workers.asr.segmenter import Decode, Segmenter, patient, policy_for
from workers.asr.vad import SpeechDetector

SAMPLE = ROOT / "infra" / "sample" / "call.flac"


def plain(file: Path, engine: Engine) -> tuple[float, str]:
    """Recognise a file's channels one after the other; return the seconds that it took, and the words."""
    samples, _ = read(file, SAMPLE_RATE_HZ)
    began_s = time.perf_counter()
    said = []
    for channel in range(samples.shape[1]):
        pcm = np.ascontiguousarray(samples[:, channel]).tobytes()
        segmenter = Segmenter(SpeechDetector(), patient(policy_for(engine.capabilities)))
        for at in range(0, len(pcm), CHUNK_BYTES):
            seq = at // CHUNK_BYTES
            last = at + CHUNK_BYTES >= len(pcm)
            chunk = AudioChunk(seq, seq * CHUNK_MS, pcm[at : at + CHUNK_BYTES], 0, last=last)
            for action in segmenter.push(chunk):
                if isinstance(action, Decode) and action.kind == "final":
                    heard = engine.transcribe(action.samples, language="en", final=True)
                    said.append((action.start_ms, heard.text))
    return time.perf_counter() - began_s, " ".join(text for _, text in sorted(said))


async def imported(file: Path) -> tuple[float, dict[str, Any]]:
    """Import a file; return the seconds that it took, and the call."""
    with tempfile.TemporaryDirectory() as folder:
        async with whole(
            Path(folder) / "data", ASR_LANGUAGE="en", ASR_ENGINE="moonshine", ASR_MODEL="moonshine/base-en"
        ) as running:
            began_s = time.perf_counter()
            (outcome,) = await bring_in(
                [file], running.url, TOKEN, Wanted(), wait=True, show=lambda _: None, tell=lambda _: None
            )
            took_s = time.perf_counter() - began_s
            assert outcome.status == "done", outcome.problem
            return took_s, await running.get(f"/api/v1/calls/{outcome.call_id}")


def main(words: list[str] | None = None) -> None:
    """Print the table; write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, default=SAMPLE)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args(words)
    engine = open_engine("moonshine", "moonshine/base-en", "cpu", "en", data_dir=MODELS.parent, threads=1)
    engine.warm_up()
    plain_s, plain_words = plain(arguments.file, engine)
    engine.close()
    took_s, call = asyncio.run(imported(arguments.file))
    audio_s = call["call"]["duration_ms"] / 1000
    apart = score(plain_words, " ".join(segment["text"] for segment in call["segments"]))
    found = {
        "audio_s": audio_s,
        "plain": {"took_s": plain_s, "times_real_time": audio_s / plain_s},
        "import": {"took_s": took_s, "times_real_time": audio_s / took_s},
        "words": apart.words,
        "words_apart": apart.errors,
    }
    print(f"{audio_s:.0f} s of audio, {apart.words} words")
    print(f"{'':<28}{'took':>10}{'times real time':>18}")
    for name, key in (("plain recogniser", "plain"), ("import, send to call", "import")):
        row = found[key]
        assert isinstance(row, dict)
        print(f"{name:<28}{row['took_s']:>8.1f} s{row['times_real_time']:>17.1f}x")
    print(f"words that differ between the two: {apart.errors}")
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
