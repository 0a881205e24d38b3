"""Refusals as RFC 9457 problem JSON: what went wrong and with which parameter, never how the inside looks."""

from __future__ import annotations

import secrets
import traceback
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import asyncpg
import msgspec
from aiohttp import web

from infra.bus.streams import BusError
from infra.store.database import StoreAway
from infra.telemetry import logger

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PROBLEM_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 2
STARTED: Final = web.RequestKey("response-started", bool)

_OURS: Final = ("/api/", "/ws/", "/webrtc/", "/healthz", "/readyz", "/metrics", "/login")

_log = logger(__name__)


class Problem(Exception):
    """A request that is refused; becomes a problem JSON answer."""

    def __init__(
        self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **members: object
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}
        self.members = members


def bad_parameter(name: str, why: str) -> Problem:
    """Return the refusal of one parameter of a request."""
    return Problem(400, f"{name}: {why}", parameter=name)


def away(part: str) -> Problem:
    """Return the refusal while something that the answer needs is away."""
    return Problem(503, f"{part} is away; try again", headers={"Retry-After": str(RETRY_AFTER_S)})


def problem_response(problem: Problem) -> web.Response:
    """Return the answer that tells of a problem."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        **problem.members,
    }
    return web.Response(
        status=problem.status,
        body=msgspec.json.encode(body),
        content_type=PROBLEM_TYPE,
        headers={"Cache-Control": "no-store", **problem.headers},
    )


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every refusal and every error of our own routes into problem JSON."""
    try:
        return await handler(request)
    except Problem as problem:
        return problem_response(problem)
    except web.HTTPException as error:
        if error.status < 400 or not _is_ours(request):
            raise
        return problem_response(_from_http(error))
    except Exception as error:
        if request.get(STARTED, False) or not _is_ours(request):
            raise
        if isinstance(error, (*StoreAway, *BusError)) and not isinstance(error, asyncpg.DataError):
            _log.warning("dependency away", path=_route(request), error=type(error).__name__)
            return problem_response(away("A part that this answer needs"))
        return problem_response(_unexpected(request, error))


def where(error: Exception) -> list[str]:
    """Return the lines at which an error was raised, not its message, which may repeat what somebody said."""
    return [line.strip() for line in traceback.format_tb(error.__traceback__)[-6:]]


async def note_start(request: web.Request, _: web.StreamResponse) -> None:
    """Remember that the answer has begun: from here on an error cannot become another answer."""
    request[STARTED] = True


def _is_ours(request: web.Request) -> bool:
    return request.match_info.http_exception is not None or request.path.startswith(_OURS)


def _from_http(error: web.HTTPException) -> Problem:
    headers = {name: error.headers[name] for name in ("Allow", "Retry-After") if name in error.headers}
    details = {
        404: "there is nothing at this address",
        405: f"this address takes {error.headers.get('Allow', 'another method')} only",
        413: "the body is too large",
    }
    return Problem(error.status, details.get(error.status, error.reason or "refused"), headers=headers)


def _unexpected(request: web.Request, error: Exception) -> Problem:
    error_id = secrets.token_hex(8)
    _log.error(
        "request failed", error_id=error_id, path=_route(request), error=type(error).__name__, where=where(error)
    )
    return Problem(500, f"something went wrong here; it is in the log as {error_id}", error_id=error_id)


def _route(request: web.Request) -> str:
    """Return the pattern of the route, without the ids and words of the address."""
    resource: Any = request.match_info.route.resource
    return resource.canonical if resource is not None else "(no route)"
