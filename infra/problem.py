"""Errors over HTTP as problem details (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web


def problem(status: HTTPStatus, detail: str, headers: dict[str, str] | None = None) -> web.Response:
    """Return a problem document; `detail` is one sentence for a person, without secrets."""
    return web.json_response(
        {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": detail},
        status=int(status),
        content_type="application/problem+json",
        headers=headers,
    )
