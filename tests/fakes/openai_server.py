"""A chat-completions server for tests: the real wire protocol, and every way in which such servers misbehave.

It knows GET /v1/models and POST /v1/chat/completions. What it does with a request is told by `script`: the behaviours
for the next requests in their order; when they are used up it answers well.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web

_LINE = re.compile(r"^(\d+) (customer|agent|supervisor|unknown): (\".*\")$", re.MULTILINE)


@dataclass(frozen=True)
class Behaviour:
    """What happens to one request."""

    delay_s: float = 0.0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "scripted error"
    param: str | None = None
    drop: bool = False
    """Close the connection without an answer."""
    content: str | None = None
    """The answer's text; None: a valid analysis of the transcript in the prompt."""
    fence: bool = False
    cut_at: int | None = None
    """Keep so many characters, and say finish_reason 'length'."""
    change: Callable[[dict[str, Any]], None] | None = None
    """Change the valid analysis, e.g. to break the schema."""


WELL = Behaviour()


@dataclass
class FakeOpenAI:
    """The server's memory and orders."""

    key: str = "test-key"
    models: list[str] = field(default_factory=lambda: ["fake-model"])
    script: deque[Behaviour] = field(default_factory=deque)
    always: Behaviour = WELL
    refuse: dict[str, int] = field(default_factory=dict)
    """Status with which a response_format type is refused: {'json_schema': 400}."""
    requests: list[dict[str, Any]] = field(default_factory=list)
    base_url: str = ""

    def queue(self, *behaviours: Behaviour) -> None:
        self.script.extend(behaviours)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1/models", self._list)
        app.router.add_post("/v1/chat/completions", self._complete)
        return app

    def _refusal(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            return _error(401, "Incorrect API key provided", code="invalid_api_key")
        return None

    async def _list(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request):
            return refusal
        data = [{"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "test"} for name in self.models]
        return web.json_response({"object": "list", "data": data})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        if refusal := self._refusal(request):
            return refusal
        body = await request.json()
        self.requests.append(body)
        if fault := _fault(body):
            return _error(400, fault)
        if body["model"] not in self.models:
            return _error(404, f"The model {body['model']!r} does not exist", code="model_not_found")
        behaviour = self.script.popleft() if self.script else self.always
        if behaviour.delay_s:
            await asyncio.sleep(behaviour.delay_s)
        if behaviour.drop:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if behaviour.status != 200:
            return _error(behaviour.status, behaviour.message, param=behaviour.param, headers=behaviour.headers)
        wanted = body.get("response_format", {}).get("type", "text")
        if wanted in self.refuse:
            return _error(self.refuse[wanted], f"response_format {wanted} is not supported", param="response_format")
        return self._answer(body, behaviour)

    def _answer(self, body: dict[str, Any], behaviour: Behaviour) -> web.Response:
        content = behaviour.content
        if content is None:
            analysis = analyse(body["messages"])
            if behaviour.change is not None:
                behaviour.change(analysis)
            content = json.dumps(analysis)
        if behaviour.fence:
            content = f"Here is the analysis:\n```json\n{content}\n```\nLet me know if you need more."
        finish = "stop"
        if behaviour.cut_at is not None:
            content, finish = content[: behaviour.cut_at], "length"
        prompt_tokens = sum(len(message["content"]) for message in body["messages"]) // 4
        return web.json_response(
            {
                "id": f"chatcmpl-{len(self.requests)}",
                "object": "chat.completion",
                "created": int(time.time()),
                "model": body["model"],
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": content, "refusal": None},
                        "logprobs": None,
                        "finish_reason": finish,
                    }
                ],
                "usage": {
                    "prompt_tokens": prompt_tokens,
                    "completion_tokens": len(content) // 4,
                    "total_tokens": prompt_tokens + len(content) // 4,
                },
            }
        )


def _fault(body: dict[str, Any]) -> str | None:
    """Return what is wrong with a request, as the real servers check it."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return "'messages' must be a non-empty array"
    if any(message.get("role") not in {"system", "user", "assistant"} for message in messages):
        return "unknown role"
    if any(not isinstance(message.get("content"), str) for message in messages):
        return "'content' must be a string"
    form = body.get("response_format", {"type": "text"})
    if form["type"] == "json_schema" and not {"name", "schema"} <= set(form.get("json_schema", {})):
        return "'json_schema' needs a name and a schema"
    return None


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


def transcript(messages: list[dict[str, str]]) -> list[tuple[int, str, str]]:
    """Return the numbered lines of a prompt: number, role, words."""
    found = _LINE.findall(messages[1]["content"])
    return [(int(number), role, json.loads(text)) for number, role, text in found]


def analyse(messages: list[dict[str, str]]) -> dict[str, Any]:
    """Return a valid analysis that rests on the first and the last line."""
    lines = transcript(messages)
    first, last = lines[0], lines[-1]
    mood = {"label": "neutral", "score": 0.1}
    return {
        "summary": {"text": "The customer asked for help and the agent agreed.", "evidence": [first[0], last[0]]},
        "intent": {"label": "billing_question", "confidence": 0.9, "evidence": [first[0]]},
        "sentiment": {"label": "neutral", "score": 0.1, "customer": mood, "agent": None, "evidence": [last[0]]},
        "complaint": {
            "is_complaint": True,
            "category": "billing",
            "severity": "medium",
            "reason": "The bill is wrong.",
            "quote": first[2],
            "evidence": [first[0]],
        },
        "action_items": [
            {
                "text": "Send the corrected bill",
                "owner": "agent",
                "assignee": None,
                "priority": "medium",
                "due_date": None,
                "turn": last[0],
                "quote": last[2],
            }
        ],
        "key_topics": {"topics": ["bill"], "evidence": [first[0]]},
    }


def breaking(**members: Any) -> Behaviour:
    """Return a behaviour that replaces members of the valid analysis."""
    return replace(WELL, change=lambda analysis: analysis.update(members))


@asynccontextmanager
async def serving(fake: FakeOpenAI | None = None) -> AsyncIterator[FakeOpenAI]:
    """Run the server on a free port of the loopback."""
    fake = fake or FakeOpenAI()
    runner = web.AppRunner(fake.app(), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    fake.base_url = f"http://{host}:{port}/v1"
    try:
        yield fake
    finally:
        await runner.cleanup()
