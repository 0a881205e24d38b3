"""A recording as its import reads it: the decoder's process, and what comes out of it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from infra.settings import bare_environment
from media_gateway.audio import Samples
from media_gateway.importing import wire

SILENT_S: Final = 60.0
"""A decoder that says nothing for so long will not say anything any more."""
_MODULE: Final = "media_gateway.importing.decoder"


class UnreadableError(Exception):
    """Nothing comes of this file. `str(error)` is a sentence's end for a person, which goes after the file's name."""


class Source:
    """A file that is being decoded. `head` is known; take the pieces, then `end` is."""

    def __init__(self, head: wire.Head, stdout: asyncio.StreamReader) -> None:
        self.head = head
        self.end = wire.End(0, broken_off=False)
        self._stdout = stdout

    async def pieces(self) -> AsyncIterator[list[Samples] | int]:
        """Yield the samples of each party, as many of each, and where audio is missing the number of samples.

        Raises UnreadableError.
        """
        while True:
            kind, content = await _read(self._stdout)
            if kind == wire.AUDIO:
                yield np.split(np.frombuffer(content, "<i2").astype(np.int16, copy=False), self.head.channels)
            elif kind == wire.MISSING:
                yield msgspec.json.decode(content, type=wire.Missing).samples
            elif kind == wire.END:
                self.end = msgspec.json.decode(content, type=wire.End)
                return
            else:
                raise UnreadableError("could not be read to its end")


@contextlib.asynccontextmanager
async def opened(path: Path, most_s: float) -> AsyncIterator[Source]:
    """Decode a file for as long as the context lasts; longer than `most_s` it may not be. Raises UnreadableError."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        _MODULE,
        str(path),
        str(most_s),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=bare_environment(),
    )
    try:
        assert process.stdout is not None
        kind, content = await _read(process.stdout)
        if kind != wire.HEAD:
            raise UnreadableError("could not be read")
        yield Source(msgspec.json.decode(content, type=wire.Head), process.stdout)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _read(stdout: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Return the next frame. Raises UnreadableError, also where the decoder has died of the file."""
    try:
        async with asyncio.timeout(SILENT_S):
            kind, length = wire.HEADER.unpack(await stdout.readexactly(wire.HEADER.size))
            if length > wire.MOST_BYTES:
                raise UnreadableError("could not be read")
            content = await stdout.readexactly(length)
    except (asyncio.IncompleteReadError, TimeoutError):
        raise UnreadableError("is broken: the decoder gave it up") from None
    if kind == wire.REFUSAL:
        raise UnreadableError(msgspec.json.decode(content, type=wire.Refusal).reason)
    return kind, content
