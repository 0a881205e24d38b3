"""A recogniser behind an OpenAI-compatible `POST {base}/audio/transcriptions`: OpenAI's own, or one in the house.

Servers differ in what they can be asked for. The engine starts with word times (`verbose_json` with
`timestamp_granularities[]=word`), steps down to plain `verbose_json` and to `json` where the server refuses, and
remembers what worked. The calls block the scheduler's threads; the sockets live on a loop of the engine's own, so that
`close` ends whatever is under way at once. Nothing of what was said is logged or put into an error.
"""

from __future__ import annotations

import asyncio
import io
import json
import math
import random
import threading
import time
import wave
from collections.abc import Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, Self

import aiohttp
import msgspec
import numpy as np
from numpy.typing import NDArray

from infra.model import SAMPLE_RATE_HZ, Word
from infra.telemetry import logger
from workers.asr.engines import Capabilities, Context, EngineUnusableError, Recognition, RemoteError, Server
from workers.asr.engines.biasing import hinted
from workers.asr.engines.languages import WHISPER_LANGUAGES, code_of
from workers.asr.engines.word_times import Timed, timed_words
from workers.asr.text import MAX_COMPRESSION, plausible, tidy

log = logger(__name__)

DEFAULT_MODEL: Final = "whisper-1"
LEVELS: Final = ("words", "segments", "text")
"""What is asked for, the most first."""

CONNECT_S: Final = 5.0
FINAL_S: Final = 30.0
"""The longest that a final may take, retries and waits included."""
PARTIAL_S: Final = 5.0
"""The same for a partial, which is asked for once: a newer one will follow."""
MAX_RETRY_AFTER_S: Final = 8.0
"""A server that wants to be left alone for longer is given up for this stretch."""
FIRST_PAUSE_S: Final = 0.5
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
CLOSE_S: Final = 2.0
PARALLEL: Final = 4

MIN_SAMPLES: Final = SAMPLE_RATE_HZ // 10
"""The public service refuses shorter audio."""
MIN_LOG_PROBABILITY: Final = -1.0
UNKNOWN_CONFIDENCE: Final = 0.51
"""Where the server says nothing of its doubts."""

_TRANSIENT: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_REFUSED: Final = frozenset({400, 404, 415, 422, 501})


class _Word(msgspec.Struct):
    start: float
    end: float
    word: str
    probability: float | None = None


class _Segment(msgspec.Struct):
    text: str = ""
    avg_logprob: float | None = None
    compression_ratio: float | None = None
    words: list[_Word] | None = None
    """Some servers put the words here."""


class _LogProb(msgspec.Struct):
    logprob: float


class _Answer(msgspec.Struct):
    """What a server sends; fields that we do not use are left out."""

    text: str
    language: str | None = None
    segments: list[_Segment] | None = None
    words: list[_Word] | None = None
    logprobs: list[_LogProb] | None = None


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a server is sent."""

    recording: bytes
    language: str | None
    prompt: str = ""
    """Phrases to expect."""


class _Refusal(Exception):
    """The server does not do what it was asked for in this form."""


class _Again(Exception):
    """It may work later; `after_s` as the server said."""

    def __init__(self, reason: str, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s


class OpenAiTranscriptions:
    """One per worker process. `transcribe` may be called from `PARALLEL` threads at once."""

    def __init__(self, server: Server, *, model: str, final_s: float = FINAL_S, partial_s: float = PARTIAL_S) -> None:
        """`final_s` and `partial_s` limit one stretch with all its retries, in seconds."""
        self.name = f"openai/{model.rpartition('/')[2]}"
        self._url = f"{server.base_url.rstrip('/')}/audio/transcriptions"
        self._headers = {"Authorization": f"Bearer {server.api_key}"} if server.api_key else {}
        self._model = model
        self._final_s = final_s
        self._partial_s = partial_s
        self._level = 0
        self._include_logprobs = True
        self._session: aiohttp.ClientSession | None = None
        self._closing = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="asr-openai", daemon=True)
        self._thread.start()

    @classmethod
    def open(
        cls, model: str, *, device: str, language: str, data_dir: Path, threads: int, server: Server | None = None
    ) -> Self:
        """Return a client; the server is not asked for anything yet. Raises as `EngineClass.open` does."""
        if server is None:
            raise EngineUnusableError("ASR_ENGINE=openai needs ASR_BASE_URL, such as https://HOST/v1")
        if language not in {"auto", "", *WHISPER_LANGUAGES}:
            raise EngineUnusableError(f"no such server writes {language!r}: ASR_LANGUAGE must be an ISO 639-1 code")
        return cls(server, model=DEFAULT_MODEL if model == "auto" else model)

    @property
    def capabilities(self) -> Capabilities:
        """`word_times` turns False once the server has refused them."""
        return Capabilities(
            "utterance",
            languages=frozenset(WHISPER_LANGUAGES),
            longest_ms=20_000,
            word_times=LEVELS[self._level] == "words",
            devices=frozenset({"remote"}),
            parallel=PARALLEL,
            partial_ms=2_000,  # each is a request with the segment's whole audio
        )

    def warm_up(self) -> None:
        """Ask once, so that a wrong key or address is told at the start; a server that is away may still come."""
        try:
            self.transcribe(np.zeros(SAMPLE_RATE_HZ, np.float32), language="en", final=False)
        except RemoteError as error:
            log.warning("the recogniser's server does not answer yet", reason=str(error))

    def close(self) -> None:
        """End what is under way; whoever waits for it gets a `RemoteError`."""
        if self._closing.is_set():
            return
        self._closing.set()
        asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        self._thread.join(CLOSE_S)
        if not self._thread.is_alive():
            self._loop.close()

    def transcribe(
        self,
        samples: NDArray[np.float32],
        *,
        language: str,
        final: bool,
        earlier: Recognition | None = None,
        before: Context | None = None,
        vocabulary: tuple[str, ...] = (),
    ) -> Recognition:
        """Return the words in `samples` (shape (n,), 16 kHz, -1..1); see `Engine.transcribe`. Raises `RemoteError`."""
        known = None if language in {"auto", ""} else language
        if samples.size < MIN_SAMPLES:
            return Recognition("", known or "en", 0.0)
        if self._closing.is_set():
            raise RemoteError("the recogniser is closed")
        asked = _Asked(_as_wav(samples), known)
        heard = self._wait_for(asked, samples.size, final=final)
        if not final or not vocabulary:
            return heard
        return hinted(heard, vocabulary, lambda prompt: self._again(replace(asked, prompt=prompt), samples.size))

    def _again(self, asked: _Asked, samples: int) -> Recognition:
        """Ask once more, in the time of a partial; what was heard before stands where that fails."""
        try:
            return self._wait_for(asked, samples, final=False, with_words=True)
        except RemoteError as error:
            log.info("the recogniser's server heard nothing of the vocabulary", reason=str(error))
            return Recognition("", asked.language or "en", 0.0)

    def _wait_for(self, asked: _Asked, samples: int, *, final: bool, with_words: bool = False) -> Recognition:
        waiting = asyncio.run_coroutine_threadsafe(self._ask(asked, final=final), self._loop)
        try:
            answer, words_asked = waiting.result(self._final_s + CONNECT_S + CLOSE_S)
        except CancelledError:
            raise RemoteError("the recogniser was closed") from None
        except TimeoutError:
            waiting.cancel()
            raise RemoteError("the server's answer did not come") from None
        return _heard(answer, samples, asked.language, with_words=(final or with_words) and words_asked)

    async def _ask(self, asked: _Asked, *, final: bool) -> tuple[_Answer, bool]:
        budget_s = self._final_s if final else self._partial_s
        try:
            async with asyncio.timeout(budget_s):
                return await self._persistently(asked, final=final, until=time.monotonic() + budget_s)
        except TimeoutError:
            raise RemoteError(f"the server gave no answer within {budget_s:g} s") from None

    async def _persistently(self, asked: _Asked, *, final: bool, until: float) -> tuple[_Answer, bool]:
        pause_s = FIRST_PAUSE_S
        while True:
            level = self._level
            try:
                return await self._once(asked, level), LEVELS[level] == "words"
            except _Refusal as refusal:
                self._step_down(level, str(refusal))
                continue
            except _Again as again:
                reason, after_s = str(again), again.after_s
            except aiohttp.ClientError as error:
                reason, after_s = f"the server cannot be reached ({type(error).__name__})", None
            wait_s = pause_s * (0.5 + random.random() / 2) if after_s is None else after_s  # noqa: S311  (jitter)
            if not final or wait_s > MAX_RETRY_AFTER_S or time.monotonic() + wait_s >= until:
                raise RemoteError(reason)
            await asyncio.sleep(wait_s)
            pause_s *= 2

    def _step_down(self, refused: int, reason: str) -> None:
        if self._level != refused:
            return  # another call has found out already
        if LEVELS[refused] == "text" and self._include_logprobs:
            self._include_logprobs = False
        elif refused + 1 < len(LEVELS):
            self._level = refused + 1
            log.info("the recogniser's server knows less than asked for", now=LEVELS[self._level])
        else:
            raise RemoteError(reason)

    async def _once(self, asked: _Asked, level: int) -> _Answer:
        if self._session is None:
            limits = aiohttp.ClientTimeout(total=None, connect=CONNECT_S, sock_connect=CONNECT_S)
            self._session = aiohttp.ClientSession(headers=self._headers, timeout=limits, trust_env=True)
        form = self._form(asked, LEVELS[level])
        async with self._session.post(self._url, data=form, allow_redirects=False) as reply:
            body = await reply.content.read(MAX_ANSWER_BYTES + 1)
            while not reply.content.at_eof() and len(body) <= MAX_ANSWER_BYTES:
                body += await reply.content.read(MAX_ANSWER_BYTES + 1 - len(body))
            if reply.status == 200:
                return _parsed(body)
            reason = f"the server answers {reply.status}"
            if reply.status in {401, 403}:
                raise RemoteError(f"{reason}: it refuses the key in ASR_API_KEY")
            if reply.status in _TRANSIENT:
                raise _Again(reason, _retry_after_s(reply.headers))
            if reply.status in _REFUSED and _about_the_form(body):
                raise _Refusal(reason)
            raise RemoteError(f"{reason}: check ASR_BASE_URL and ASR_MODEL")

    def _form(self, asked: _Asked, wanted: str) -> aiohttp.FormData:
        form = aiohttp.FormData(quote_fields=False)
        form.add_field("file", asked.recording, filename="segment.wav", content_type="audio/wav")
        form.add_field("model", self._model)
        form.add_field("response_format", "json" if wanted == "text" else "verbose_json")
        form.add_field("temperature", "0")
        if asked.language is not None:
            form.add_field("language", asked.language)
        if asked.prompt:
            form.add_field("prompt", asked.prompt)
        if wanted == "words":
            form.add_field("timestamp_granularities[]", "word")
            form.add_field("timestamp_granularities[]", "segment")
        elif wanted == "text" and self._include_logprobs:
            form.add_field("include[]", "logprobs")
        return form

    async def _end(self) -> None:
        mine = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not mine]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
        self._loop.call_soon(self._loop.stop)


def _as_wav(samples: NDArray[np.float32]) -> bytes:
    pcm = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(SAMPLE_RATE_HZ)
        wav.writeframes(pcm)
    return file.getvalue()


def _parsed(body: bytes) -> _Answer:
    if len(body) > MAX_ANSWER_BYTES:
        raise _Again("the server's answer is too long")
    try:
        return msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _Again("the server's answer is no transcription") from None


def _about_the_form(body: bytes) -> bool:
    """Tell whether an error is about what was asked for, and not about the model or the audio."""
    try:
        error = json.loads(body)
    except ValueError:
        return False
    text = json.dumps(error).lower()
    return any(word in text for word in ("response_format", "timestamp_granularities", "include", "logprobs"))


def _heard(answer: _Answer, samples: int, language: str | None, *, with_words: bool) -> Recognition:
    spoken = language or code_of(answer.language or "") or "en"
    nothing = Recognition("", spoken, 0.0)
    segments = answer.segments or []
    kept = [segment for segment in segments if _believable(segment)]
    text = tidy(" ".join(segment.text.strip() for segment in kept) if segments else answer.text.strip())
    told = _confidence(answer, kept)
    if not plausible(text, samples / SAMPLE_RATE_HZ, 1.0 if told is None else told):
        return nothing
    confidence = UNKNOWN_CONFIDENCE if told is None else told
    if not with_words:
        return Recognition(text, spoken, confidence)
    timed = answer.words or [word for segment in kept for word in segment.words or ()]
    times = [Timed(word.word, _ms(word.start), _ms(word.end), word.probability) for word in timed]
    end_ms = samples * 1000 // SAMPLE_RATE_HZ
    return Recognition(text, spoken, confidence, _with_p(timed_words(text, times, end_ms), confidence))


def _ms(seconds: float) -> int:
    return round(min(max(seconds, 0.0), 3600.0) * 1000) if math.isfinite(seconds) else 0


def _with_p(words: list[Timed], confidence: float) -> tuple[Word, ...]:
    return tuple(
        Word(word.text, word.start_ms, word.end_ms, confidence if word.p is None else min(max(word.p, 0.0), 1.0))
        for word in words
    )


def _believable(segment: _Segment) -> bool:
    """Apply Whisper's own guards, which not every server does."""
    if segment.compression_ratio is not None and segment.compression_ratio > MAX_COMPRESSION:
        return False
    return segment.avg_logprob is None or segment.avg_logprob >= MIN_LOG_PROBABILITY


def _confidence(answer: _Answer, kept: list[_Segment]) -> float | None:
    told = [
        (segment.avg_logprob, max(len(segment.text), 1)) for segment in kept if segment.avg_logprob is not None
    ] or [(token.logprob, 1) for token in answer.logprobs or ()]
    if not told:
        return None
    mean = sum(log_probability * weight for log_probability, weight in told) / sum(weight for _, weight in told)
    return round(math.exp(min(mean, 0.0)), 4)


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return how long a server asks to be left alone, in seconds."""
    try:
        if (milliseconds := headers.get("retry-after-ms")) is not None:
            after_s = float(milliseconds) / 1000
        elif (after := headers.get("retry-after")) is None:
            return None
        elif after.strip().replace(".", "", 1).isdigit():
            after_s = float(after)
        else:
            after_s = parsedate_to_datetime(after).timestamp() - time.time()
    except ValueError:
        return None
    return max(0.0, after_s) if math.isfinite(after_s) else None
