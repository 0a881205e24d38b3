"""The recogniser that was asked for, and a lighter one that stands in for it while there is too much to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Final

from infra.telemetry import logger
from workers.asr import models
from workers.asr.cores import memory_left_bytes
from workers.asr.engines import Capabilities, Engine

log = logger(__name__)

LIGHTER: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "moonshine/base-en": ("moonshine/tiny-en",),
        "whisper/base": ("whisper/tiny",),
        "whisper/base.en": ("whisper/tiny.en",),
        "whisper/small": ("whisper/base", "whisper/tiny"),
        "whisper/small.en": ("whisper/base.en", "whisper/tiny.en"),
        "whisper/medium": ("whisper/small", "whisper/base"),
        "whisper/medium.en": ("whisper/small.en", "whisper/base.en"),
        "whisper/large-v3-turbo": ("whisper/small", "whisper/base"),
        "whisper/large-v3": ("whisper/large-v3-turbo", "whisper/small"),
    }
)
"""For each model those that write the same languages in less time, the best first."""
ROOM_BYTES: Final = 1 << 30
"""Memory that has to be free for both to stay loaded."""

Opener = Callable[[], Engine]


def lighter_model(name: str, data_dir: Path) -> str | None:
    """Return a lighter model than `name` that is on this machine, if there is one."""
    for candidate in LIGHTER.get(name, ()):
        try:
            models.resolve(candidate, data_dir)
        except models.ModelMissingError:
            continue
        return candidate
    return None


def room_for_both() -> bool:
    """Return whether a second model may be loaded beside the first."""
    return memory_left_bytes() >= ROOM_BYTES


class Pair:
    """One engine at a time out of two; the lighter one is loaded when it is first needed.

    Where there is no room for both, the one in use is let go before the other is loaded; threads that are still in
    it finish with it.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        lighter: Opener | None = None,
        again: Opener | None = None,
        room: Callable[[], bool] = room_for_both,
    ) -> None:
        """`again` opens what `engine` is; without it `engine` always stays loaded."""
        self.name = engine.name
        """Of the engine in use."""
        self.capabilities = engine.capabilities
        """Of the engine that was asked for; its stand-in takes as much at once."""
        self._engine: Engine | None = engine
        self._lighter: Engine | None = None
        self._open_lighter = lighter
        self._open_again = again
        self._room = room
        self._changing = Lock()

    def close(self) -> None:
        """Let go of both."""
        for engine in (self._engine, self._lighter):
            if engine is not None:
                engine.close()

    def fit(self, *, light: bool) -> Engine:
        """Return the engine to use; may load one, which blocks for a second or so."""
        with self._changing:
            engine = self._light() if light or (self._open_again is None and self._engine is None) else self._heavy()
            if engine.name != self.name:
                log.info("recogniser changed", engine=engine.name, before=self.name)
                self.name = engine.name
            return engine

    def _light(self) -> Engine:
        if self._lighter is not None or self._open_lighter is None:
            return self._lighter or self._heavy()
        if self._open_again is not None and self._engine is not None and not self._room():
            self._engine.close()
            self._engine = None
        try:
            self._lighter = _ready(self._open_lighter, self.capabilities)
        except Exception as error:  # noqa: BLE001  (whatever is wrong with it: the tracks go on with what there was)
            log.warning("no lighter recogniser", error=f"{type(error).__name__}: {error}")
            self._open_lighter = None
            return self._heavy()
        return self._lighter

    def _heavy(self) -> Engine:
        if self._engine is not None:
            return self._engine
        assert self._open_again is not None
        if self._lighter is not None and not self._room():
            self._lighter.close()
            self._lighter = None
        try:
            self._engine = _ready(self._open_again, self.capabilities)
        except Exception as error:
            log.error("the recogniser cannot be loaded again", error=f"{type(error).__name__}: {error}")
            if self._open_lighter is None:
                raise
            self._open_again = None
            return self._light()
        return self._engine


def _ready(opener: Opener, asked: Capabilities) -> Engine:
    """Open an engine; raises where it cannot be asked for what the one can that it stands in for."""
    engine = opener()
    able = engine.capabilities
    if able.longest_ms < asked.longest_ms or able.mode != asked.mode or able.parallel < asked.parallel:
        engine.close()
        raise ValueError(f"{engine.name} takes only {able.longest_ms} ms at once, {able.mode}, {able.parallel} calls")
    engine.warm_up()
    return engine
