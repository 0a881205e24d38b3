"""An audio-transcriptions server for tests: the real wire protocol, and every way in which such servers misbehave.

It knows POST /v1/audio/transcriptions: a multipart form with a WAV file, answered as OpenAI answers `json` and
`verbose_json`. What it hears is told by `hear`, which may be a real recogniser. What it does with a request is told by
`script`, as in tests.fakes.openai_server. It runs on a loop and thread of its own, since its clients block.
"""

from __future__ import annotations

import asyncio
import io
import threading
import wave
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiohttp import web
from numpy.typing import NDArray

from tests.fakes.openai_server import Behaviour
from workers.asr.engines import Recognition
from workers.asr.engines.languages import WHISPER_LANGUAGES

GRANULARITIES = {"word", "segment"}


def says(text: str, confidence: float = 0.9) -> Callable[[NDArray[np.float32], str], Recognition]:
    """A recogniser that hears the same in everything."""
    return lambda samples, language: Recognition(text, "en", confidence)


@dataclass
class FakeTranscriptions:
    """The server's memory and orders."""

    key: str = "test-key"
    models: tuple[str, ...] = ("whisper-1",)
    hear: Callable[[NDArray[np.float32], str], Recognition] = field(default_factory=lambda: says("Hello there."))
    script: deque[Behaviour] = field(default_factory=deque)
    always: Behaviour = field(default_factory=Behaviour)
    refuse: frozenset[str] = frozenset()
    """Form fields, or values of response_format, that it answers with 400."""
    raw: bytes | None = None
    """The answer's body, whatever was heard."""
    language_by_name: bool = True
    """As OpenAI's own service answers; others send the code."""
    doubts: bool = True
    """Whether segments come with their log-probability."""
    requests: list[dict[str, list[str]]] = field(default_factory=list)
    recordings: list[NDArray[np.float32]] = field(default_factory=list)
    base_url: str = ""

    def app(self) -> web.Application:
        app = web.Application(client_max_size=25 * 1024 * 1024)
        app.router.add_post("/v1/audio/transcriptions", self._transcribe)
        return app

    async def _transcribe(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            return _error(401, "Incorrect API key provided", code="invalid_api_key")
        if request.content_type != "multipart/form-data":
            return _error(400, "Could not parse multipart form")
        form = await request.post()
        fields: dict[str, list[str]] = {}
        for name, value in form.items():
            fields.setdefault(name, []).append(value if isinstance(value, str) else value.filename)
        self.requests.append(fields)
        upload = form["file"]
        assert isinstance(upload, web.FileField)
        with upload.file as file:
            recording = file.read()
        if fault := self._fault(fields):
            return fault
        try:
            samples = _from_wav(recording)
        except (wave.Error, EOFError):
            return _error(400, "The audio file could not be decoded or its format is not supported.", param="file")
        if samples.size < 1600:
            return _error(400, "Audio file is too short. Minimum audio length is 0.1 seconds.", code="audio_too_short")
        self.recordings.append(samples)
        behaviour = self.script.popleft() if self.script else self.always
        if behaviour.delay_s:
            await asyncio.sleep(behaviour.delay_s)
        if behaviour.drop:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if behaviour.status != 200:
            return _error(behaviour.status, behaviour.message, param=behaviour.param, headers=behaviour.headers)
        if self.raw is not None:
            return web.Response(body=self.raw, content_type="application/json")
        loop = asyncio.get_running_loop()
        heard = await loop.run_in_executor(None, self.hear, samples, fields.get("language", ["auto"])[0])
        answer = web.json_response(self._answer(fields, heard, samples.size / 16_000))
        if behaviour.cut_at is not None:
            return web.Response(body=answer.body[: behaviour.cut_at], content_type="application/json")  # type: ignore[index]
        return answer

    def _fault(self, fields: dict[str, list[str]]) -> web.Response | None:
        """Check a request as the real servers do."""
        shape = fields.get("response_format", ["json"])[0]
        wanted = fields.get("timestamp_granularities[]", [])
        if "file" not in fields or "." not in fields["file"][0]:
            return _error(400, "'file' must be a file with an extension", param="file")
        if fields.get("model", [""])[0] not in self.models:
            return _error(404, f"The model {fields.get('model')} does not exist", code="model_not_found")
        if refused := self.refuse & {*fields, shape}:
            name = "response_format" if shape in refused else min(refused)
            return _error(400, f"{name} is not supported by this model", param=name, code="unsupported_value")
        if shape not in {"json", "verbose_json", "text", "srt", "vtt"}:
            return _error(400, f"unknown response_format {shape}", param="response_format")
        if wanted and (shape != "verbose_json" or not set(wanted) <= GRANULARITIES):
            return _error(400, "timestamp_granularities need verbose_json", param="timestamp_granularities")
        if fields.get("language", ["en"])[0] not in WHISPER_LANGUAGES:
            return _error(400, "Invalid language", param="language")
        return None

    def _answer(self, fields: dict[str, list[str]], heard: Recognition, duration_s: float) -> dict[str, Any]:
        if fields["response_format"][0] == "json":
            answer: dict[str, Any] = {"text": heard.text}
            if "include[]" in fields:
                answer["logprobs"] = [
                    {"token": word, "logprob": float(np.log(heard.confidence)), "bytes": list(word.encode())}
                    for word in heard.text.split()
                ]
            return answer
        language = WHISPER_LANGUAGES[heard.language] if self.language_by_name else heard.language
        segment: dict[str, Any] = {
            "id": 0,
            "seek": 0,
            "start": 0.0,
            "end": duration_s,
            "text": f" {heard.text}",
            "tokens": [50364, 50464],
            "temperature": 0.0,
            "compression_ratio": 1.0,
            "no_speech_prob": 0.01,
        }
        if self.doubts:
            segment["avg_logprob"] = float(np.log(max(heard.confidence, 1e-6)))
        told: dict[str, Any] = {"task": "transcribe", "language": language, "duration": duration_s, "text": heard.text}
        told["segments"] = [segment] if heard.text else []
        if "word" in fields.get("timestamp_granularities[]", []):
            told["words"] = [
                {"word": word.w.strip(".,?!;:"), "start": word.start_ms / 1000, "end": word.end_ms / 1000}
                for word in heard.words
            ]
        return told


def _from_wav(data: bytes) -> NDArray[np.float32]:
    with wave.open(io.BytesIO(data)) as wav:
        if (wav.getnchannels(), wav.getsampwidth(), wav.getframerate()) != (1, 2, 16_000):
            raise wave.Error("not 16 kHz mono")
        return np.frombuffer(wav.readframes(wav.getnframes()), "<i2").astype(np.float32) / 32768


def _error(
    status: int,
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
    headers: dict[str, str] | None = None,
) -> web.Response:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    error = {"message": message, "type": kind, "param": param, "code": code}
    return web.json_response({"error": error}, status=status, headers=headers)


@contextmanager
def transcribing(fake: FakeTranscriptions | None = None) -> Iterator[FakeTranscriptions]:
    """Run the server on a free port of the loopback, in a thread of its own."""
    fake = fake or FakeTranscriptions()
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(fake.app(), shutdown_timeout=0.1, handler_cancellation=True)

    async def start() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    host, port = runner.addresses[0][:2]
    fake.base_url = f"http://{host}:{port}/v1"

    async def stop() -> None:
        await runner.cleanup()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await loop.shutdown_default_executor()

    try:
        yield fake
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()
