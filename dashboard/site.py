"""The front end's files."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from aiohttp import web

from dashboard.problem import Handler

ASSETS: Final = "/assets/"
IMMUTABLE: Final = "public, max-age=31536000, immutable"
NO_CACHE: Final = "no-cache"

_SERVER_SIDE: Final = ("/api", "/ws", "/webrtc", "/twilio", "/media", "/healthz", "/readyz", "/metrics", "/login")
_NOT_BUILT: Final = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="color-scheme" content="light dark"><title>Hearline</title></head>
<body>
<h1>The dashboard has not been built</h1>
<p>The server runs, and so does its API (<a href="/api/docs">/api/docs</a>).
To build the pages, run <code>make setup</code> and reload.</p>
</body>
</html>
"""


class Site:
    """Answers what no route answers: files of the front end, and its one page for every address inside it."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Serve a file of the front end where the router knows nothing."""
        unknown = request.match_info.http_exception
        if not isinstance(unknown, web.HTTPNotFound) or request.method not in {"GET", "HEAD"}:
            return await handler(request)
        path = request.path
        if any(path == prefix or path.startswith(f"{prefix}/") for prefix in _SERVER_SIDE):
            return await handler(request)
        if "." in path.rsplit("/", 1)[-1]:
            file = self._file(path)
            if file is None:
                return await handler(request)
            caching = IMMUTABLE if path.startswith(ASSETS) else NO_CACHE
            return web.FileResponse(file, headers={"Cache-Control": caching})
        return self._page()

    def _page(self) -> web.StreamResponse:
        index = self._root / "index.html"
        headers = {"Cache-Control": NO_CACHE}
        if index.is_file():
            return web.FileResponse(index, headers=headers)
        return web.Response(status=503, text=_NOT_BUILT, content_type="text/html", headers=headers)

    def _file(self, path: str) -> Path | None:
        if "\0" in path or "\\" in path:
            return None
        file = (self._root / path.lstrip("/")).resolve()
        return file if file.is_relative_to(self._root) and file.is_file() else None
