"""A file, or one range of its bytes, as an answer (RFC 9110, section 14)."""

from __future__ import annotations

import asyncio
import os
import re
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

from aiohttp import hdrs, web

from dashboard.problem import Problem

BLOCK_BYTES: Final = 256 * 1024

_RANGE: Final = re.compile(r"bytes[ \t]*=[ \t]*(\d{0,18})-(\d{0,18})[ \t]*", re.ASCII | re.IGNORECASE)


class Unsatisfiable(ValueError):
    """A range of which the file holds nothing."""


def parse_range(header: str | None, size_bytes: int) -> tuple[int, int] | None:
    """Return (first byte, byte behind the last) that are asked for; None: all of it.

    What is no range of bytes, and several ranges at once, count as none. Raises Unsatisfiable.
    """
    found = _RANGE.fullmatch(header or "")
    first, last = found.groups() if found else ("", "")
    if not first and not last:
        return None
    if not first:
        begin, end = max(size_bytes - int(last), 0), size_bytes
    else:
        if last and int(last) < int(first):
            return None
        begin, end = int(first), min(int(last) + 1, size_bytes) if last else size_bytes
    if begin >= end:
        raise Unsatisfiable
    return begin, end


class FilePart(web.StreamResponse):
    """Sends what the request asks for of an open file, and closes it.

    It is sent when everybody who looks at answers is through with it: a long download has all the time it needs, as
    long as its reader reads.
    """

    def __init__(self, request: web.Request, file: BinaryIO, headers: dict[str, str]) -> None:
        """Raises Problem 416, with the file closed."""
        facts = os.fstat(file.fileno())
        entity = {
            hdrs.ETAG: f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"',
            hdrs.LAST_MODIFIED: format_datetime(datetime.fromtimestamp(int(facts.st_mtime), UTC), usegmt=True),
            hdrs.ACCEPT_RANGES: "bytes",
        }
        condition = request.headers.get(hdrs.IF_RANGE)
        applies = condition is None or condition in {entity[hdrs.ETAG], entity[hdrs.LAST_MODIFIED]}
        try:
            part = parse_range(request.headers.get(hdrs.RANGE) if applies else None, facts.st_size)
        except Unsatisfiable:
            file.close()
            raise Problem(
                416, "the recording has no such bytes", headers={hdrs.CONTENT_RANGE: f"bytes */{facts.st_size}"}
            ) from None
        super().__init__(status=200 if part is None else 206, headers=headers | entity)
        self._file = file
        self._begin, self._end = part or (0, facts.st_size)
        if part is not None:
            self.headers[hdrs.CONTENT_RANGE] = f"bytes {self._begin}-{self._end - 1}/{facts.st_size}"
        self.content_length = self._end - self._begin

    async def prepare(self, request: web.BaseRequest) -> Any:
        """Send it."""
        try:
            writer = await super().prepare(request)
            if request.method != hdrs.METH_HEAD:
                at = self._begin
                while at < self._end:
                    count = min(BLOCK_BYTES, self._end - at)
                    block = await asyncio.to_thread(os.pread, self._file.fileno(), count, at)
                    if not block:  # cut short meanwhile: the reader notices by the length
                        raise ConnectionResetError("the file was cut short")
                    await self.write(block)
                    at += len(block)
        finally:
            self._file.close()
        return writer


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading, not through a link. Raises OSError; blocks."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
