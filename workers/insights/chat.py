"""The line to a language model: chat completions with retries, a time budget and a circuit breaker.

Servers differ in what they let one ask for. The client starts with the strictest form (`json_schema`), steps down to
`json_object` and to the bare prompt where the server refuses, and remembers what worked.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from workers.insights.breaker import CircuitBreaker
from workers.insights.providers.presets import Endpoint

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

LEVELS: Final = ("json_schema", "json_object", "prompt")
"""The forms of asking for JSON, strictest first."""

_TRANSIENT: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_REFUSED: Final = frozenset({400, 404, 415, 422, 501})
_FIRST_PAUSE_S: Final = 0.5
_MAX_PAUSE_S: Final = 20.0
_HOPELESS_REST_S: Final = 300.0
"""How long to leave a server alone that refuses the key or does not know the model."""


class LlmUnavailable(Exception):
    """The language model gave no usable answer; `reason` says why, in words for the screen."""

    def __init__(self, reason: str, *, rest_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.rest_s = rest_s
        """How long not to ask again, where the server said so or it is plain."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model wrote."""

    text: str
    cut_off: bool
    """True when it ran into the limit of tokens."""
    level: str


@dataclass(slots=True)
class Spent:
    """What has been used since the client was made."""

    requests: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    seconds: float = 0.0


class LlmClient:
    """One per worker process, shared by its calls. Nothing of a prompt or an answer is logged or kept.

    `attempt_s` limits one request, `budget_s` one question with all its retries, both in seconds;
    `concurrency` is how many questions may be under way at once (the others wait within their budget).
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        max_tokens: int,
        attempt_s: float = 60.0,
        budget_s: float = 90.0,
        concurrency: int = 2,
        breaker: CircuitBreaker | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.endpoint = endpoint
        self.breaker = breaker or CircuitBreaker()
        self.spent = Spent()
        self._max_tokens = max_tokens
        self._attempt_s = attempt_s
        self._budget_s = budget_s
        self._places = asyncio.Semaphore(concurrency)
        self._clock = clock
        self._sleep = sleep
        self._client: AsyncOpenAI | None = None
        self._model = endpoint.model
        self._level = 0
        self._proven = False
        self._limit_field = endpoint.limit_field
        self._temperature: float | None = 0.0

    @property
    def model(self) -> str:
        """The model's name, as far as it is known yet."""
        return self._model or "unknown"

    @property
    def level(self) -> str:
        """The form of asking for JSON that is in use."""
        return LEVELS[self._level]

    def _openai(self) -> AsyncOpenAI:
        if self._client is None:
            from openai import AsyncOpenAI  # takes a second to import: only where a model is configured

            self._client = AsyncOpenAI(
                api_key=self.endpoint.api_key,
                base_url=self.endpoint.base_url,
                timeout=self._attempt_s,
                max_retries=0,
            )
        return self._client

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def models(self) -> list[str]:
        """Return the models that the server lists: a check that it is there and takes the key."""
        from openai import APIStatusError, OpenAIError

        try:
            async with asyncio.timeout(self._attempt_s):
                page = await self._openai().models.list()
        except APIStatusError as error:
            raise LlmUnavailable(f"the server answers {error.status_code} when asked for its models") from error
        except (OpenAIError, TimeoutError) as error:
            raise LlmUnavailable("the server cannot be reached") from error
        return [model.id for model in page.data]

    @asynccontextmanager
    async def turn_to_ask(self) -> AsyncIterator[None]:
        """Pass the circuit breaker and report to it: what goes wrong inside counts against the model."""
        if not self.breaker.admit():
            raise LlmUnavailable(f"it failed repeatedly; the next try is in {self.breaker.wait_s():.0f} s")
        try:
            yield
        except LlmUnavailable as error:
            self.breaker.failed(error.rest_s)
            raise
        except BaseException:
            self.breaker.abandoned()
            raise
        else:
            self.breaker.succeeded()

    async def ask(self, messages: Sequence[Mapping[str, str]], schema: Mapping[str, Any]) -> Reply:
        """Return the model's answer; raise `LlmUnavailable` when there is none within the budget."""
        started = self._clock()
        try:
            async with asyncio.timeout(self._budget_s), self._places:
                if self._model is None:
                    self._model = await self._first_model()
                return await self._persistently(messages, schema, started + self._budget_s)
        except TimeoutError as error:
            raise LlmUnavailable(f"it gave no answer within {self._budget_s:g} s") from error
        finally:
            self.spent.seconds += self._clock() - started

    async def _first_model(self) -> str:
        models = await self.models()
        if not models:
            raise LlmUnavailable("the server has no model; set LLM_MODEL or load one", rest_s=_HOPELESS_REST_S)
        return models[0]

    async def _persistently(
        self, messages: Sequence[Mapping[str, str]], schema: Mapping[str, Any], until: float
    ) -> Reply:
        from openai import APIConnectionError, APIStatusError, APITimeoutError, OpenAIError

        level, pause_s = self._level, _FIRST_PAUSE_S
        while True:
            wait_s: float | None = None
            try:
                reply = await self._once(messages, schema, level)
            except APIStatusError as error:
                reason = f"the server answers {error.status_code}"
                if error.status_code in {401, 403}:
                    raise LlmUnavailable(f"{reason}: it refuses the key", rest_s=_HOPELESS_REST_S) from error
                if error.status_code in _REFUSED and self._drop_parameter(error):
                    continue
                if level + 1 < len(LEVELS) and _may_be_the_format(error.status_code, proven=self._proven):
                    level += 1
                    continue
                if error.status_code not in _TRANSIENT:
                    rest_s = _HOPELESS_REST_S if error.status_code == 404 else None
                    raise LlmUnavailable(reason, rest_s=rest_s) from error
                wait_s = _retry_after_s(error.response.headers)
            except APITimeoutError:
                reason = f"it gave no answer within {self._attempt_s:g} s"
            except APIConnectionError:
                reason = "the server cannot be reached"
            except OpenAIError as error:
                raise LlmUnavailable("the server's answer is no chat completion") from error
            else:
                self._level, self._proven = level, True
                return reply
            pause = wait_s if wait_s is not None else pause_s * (0.5 + random.random() / 2)  # noqa: S311 - jitter
            if self._clock() + pause >= until:
                raise LlmUnavailable(reason, rest_s=wait_s)
            self.spent.retries += 1
            await self._sleep(pause)
            pause_s = min(2 * pause_s, _MAX_PAUSE_S)

    async def _once(self, messages: Sequence[Mapping[str, str]], schema: Mapping[str, Any], level: int) -> Reply:
        request: dict[str, Any] = {
            "model": self._model,
            "messages": list(messages),
            self._limit_field: self._max_tokens,
        }
        if self._temperature is not None:
            request["temperature"] = self._temperature
        if LEVELS[level] == "json_schema":
            wanted = {"name": "call_analysis", "strict": True, "schema": dict(schema)}
            request["response_format"] = {"type": "json_schema", "json_schema": wanted}
        elif LEVELS[level] == "json_object":
            request["response_format"] = {"type": "json_object", "schema": dict(schema)}
        self.spent.requests += 1
        completion = await self._openai().chat.completions.create(**request)
        if not completion.choices:
            return Reply("", cut_off=False, level=LEVELS[level])
        if completion.usage is not None:
            self.spent.prompt_tokens += completion.usage.prompt_tokens or 0
            self.spent.answer_tokens += completion.usage.completion_tokens or 0
        choice = completion.choices[0]
        return Reply(choice.message.content or "", choice.finish_reason == "length", LEVELS[level])

    def _drop_parameter(self, error: APIStatusError) -> bool:
        """Leave out, or rename, the parameter that the server complains about; False if it is none of ours."""
        text = f"{error.param or ''} {error.message}".lower()
        if self._temperature is not None and "temperature" in text:
            self._temperature = None
            return True
        if self._limit_field == "max_tokens" and "max_completion_tokens" in text:
            self._limit_field = "max_completion_tokens"
            return True
        if self._limit_field == "max_completion_tokens" and "max_completion_tokens" in text:
            self._limit_field = "max_tokens"
            return True
        return False


def _may_be_the_format(status: int, *, proven: bool) -> bool:
    """Tell whether a status may mean that this form of asking for JSON is not known to the server."""
    if status == 500:  # llama.cpp's server crashes on json_schema; once a form has worked, 500 is an accident
        return not proven
    return status in {400, 415, 422, 501}


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return how long a server asks to be left alone, in seconds."""
    try:
        if (milliseconds := headers.get("retry-after-ms")) is not None:
            return max(0.0, float(milliseconds) / 1000)
        if (after := headers.get("retry-after")) is None:
            return None
        if after.strip().replace(".", "", 1).isdigit():
            return float(after)
        return max(0.0, parsedate_to_datetime(after).timestamp() - time.time())
    except ValueError:
        return None
