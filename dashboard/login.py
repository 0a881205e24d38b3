"""Coming in by a one-time link, and going out again."""

from __future__ import annotations

from datetime import timedelta
from html import escape
from typing import Final

from aiohttp import web

from dashboard.auth import IDENTITY, SECRET_MAX_CHARS, Guard
from dashboard.headers import is_https
from infra.settings import Settings
from infra.store.database import StoreAway
from infra.telemetry import logger

SESSION_LIFE: Final = timedelta(hours=12)

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} - Hearline</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 15vh auto; padding: 0 1.5rem; }}
h1 {{ font-size: 1.5rem; }}
code {{ font-size: .95em; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{text}</p>
<p>{hint}</p>
</body>
</html>
"""
_REFUSED: Final = (
    "This login link does not work",
    "It was used before, has run out, or was not copied whole. Each link opens one session, once.",
    "Start <code>make run</code> again for a new link, or ask whoever runs this server for one.",
)
_AWAY: Final = (
    "One moment, please",
    "The database is away just now, so nobody can be let in.",
    "Reload this page in a few seconds.",
)

_log = logger(__name__)


class Login:
    """The two doors of a session."""

    def __init__(self, guard: Guard, settings: Settings) -> None:
        self._guard = guard
        self._secure = is_https(settings)

    async def enter(self, request: web.Request) -> web.StreamResponse:
        """GET /login?token=...: open a session and go to the dashboard."""
        token = request.query.get("token", "")
        users = self._guard.users
        try:
            user = await users.use_once(token, "login") if _could_be_secret(token) else None
            if user is None:
                return _page(403, _REFUSED)
            session = await users.issue(user, "session", life=SESSION_LIFE)
            await users.audit(user, "login", str(user.id))
        except StoreAway as error:
            _log.warning("login while the database is away", error=type(error).__name__)
            return _page(503, _AWAY)
        response = web.Response(status=303, headers={"Location": "/", "Cache-Control": "no-store"})
        response.set_cookie(
            self._guard.cookie,
            session,
            max_age=int(SESSION_LIFE.total_seconds()),
            path="/",
            httponly=True,
            samesite="Lax",
            secure=self._secure,
        )
        return response

    async def leave(self, request: web.Request) -> web.StreamResponse:
        """POST /api/v1/logout: end the session that asks, and close its sockets. A token stays valid."""
        identity = request[IDENTITY]
        response = web.Response(status=204)
        if identity.way == "session":
            await self._guard.users.revoke(request.cookies[self._guard.cookie])
            await self._guard.users.audit(identity.user, "logout", str(identity.user.id))
            await self._guard.end({identity.digest})
            response.del_cookie(self._guard.cookie, path="/", secure=self._secure, httponly=True, samesite="Lax")
        return response


def _could_be_secret(token: str) -> bool:
    return 0 < len(token) <= SECRET_MAX_CHARS and token.isascii() and token.isprintable()


def _page(status: int, words: tuple[str, str, str]) -> web.Response:
    title, text, hint = words
    return web.Response(
        status=status,
        text=_PAGE.format(title=escape(title), text=escape(text), hint=hint),
        content_type="text/html",
        headers={"Cache-Control": "no-store"},
    )
