"""From final segments to speakers on the screens: beside the recogniser, never before a final.

Finals are stored and told first. Their audio then waits here for the diarizer's own thread, of low priority; it waits
longer while the machine is needed for recognising (overload step 3), and is caught up with afterwards.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Counter as Metric

from infra.bus.codec import TrackWork
from infra.bus.streams import BusError, EventStreams
from infra.bus.voices import Voices
from infra.model import SAMPLE_RATE_HZ, Event, Role, TranscriptSegment
from infra.store.speakers import Assignment, SpeakerStore, change_key, change_to_json
from infra.store.transcripts import TranscriptStore
from infra.telemetry import logger
from workers.asr.overload import Overload, Step
from workers.asr.speakers import Diarizer, Heard, Labels, TrackDiarizer, roles, speaker_name
from workers.persist import until_stored, until_told

log = logger(__name__)

_T = TypeVar("_T")
_BUSY: Final = Metric("hearline_diarizer_seconds_total", "CPU seconds spent on telling speakers apart")
_AUDIO: Final = Metric("hearline_diarizer_audio_seconds_total", "Seconds of speech whose speakers were told apart")
_SKIPPED: Final = Metric(
    "hearline_diarizer_skipped_total", "Segments that got no speaker: too many waited, or it failed"
)

BACKLOG_S: Final = 120.0
"""So much speech of a track may wait, 3.8 MB; beyond it the oldest stays with the track's first speaker."""
AFTER_S: Final = 10.0
"""A track that is over waits no longer than this for the end of an overload: its calls wait for it."""
LOOK_S: Final = 0.5
"""How often it is looked whether an overload is over."""
NICER: Final = 5
"""By so much the diarizer's thread gives way to the recogniser's."""


class SpeakerService:
    """What all tracks of a worker share: the diarizer, its thread, and where the result goes."""

    def __init__(
        self,
        diarizer: Diarizer,
        *,
        store: SpeakerStore,
        transcripts: TranscriptStore,
        events: EventStreams,
        voices: Voices,
        overload: Overload,
    ) -> None:
        self.diarizer = diarizer
        self.store = store
        self.transcripts = transcripts
        self.events = events
        self.voices = voices
        self.overload = overload
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="speakers", initializer=_give_way)

    def follow(self, work: TrackWork) -> TrackSpeakers | None:
        """Begin with a track; None where one person alone is on it."""
        return TrackSpeakers(self, work) if work.track.mixed else None

    async def run(self, act: Callable[[], _T]) -> _T:
        """Do something on the diarizer's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, act)

    def close(self) -> None:
        """Wait for what the thread is at; nothing is begun any more."""
        self._pool.shutdown(cancel_futures=True)


class TrackSpeakers:
    """One mixed track. Run `run` beside the track's session and await `finish` before the track is closed."""

    def __init__(self, service: SpeakerService, work: TrackWork) -> None:
        self._service = service
        self._work = work
        self._waiting: deque[tuple[TranscriptSegment, int, NDArray[np.int16]]] = deque()
        self._waiting_s = 0.0
        self._news = asyncio.Event()
        self._taken = asyncio.Event()
        self._over_s: float | None = None
        """When its last words were stored."""
        self._segments: dict[UUID, TranscriptSegment] = {}
        """Those that may still change hands."""
        self._labels: dict[UUID, tuple[int, ...]] = {}
        self._leans: dict[UUID, Counter[str]] = {}
        self._guessed: dict[str, Role] = {}

    def hear(self, segment: TranscriptSegment, samples: NDArray[np.float32], audio_ms: int) -> None:
        """Take a stored final with its audio (16 kHz, -1..1; begins at `audio_ms` of the call). Never waits."""
        self._waiting.append((segment, audio_ms, np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)))
        self._waiting_s += samples.size / SAMPLE_RATE_HZ
        while self._waiting_s > BACKLOG_S and len(self._waiting) > 1:
            self._take()
            _SKIPPED.inc()
        self._news.set()

    async def until_room(self) -> None:
        """Wait until what waits here is well below what may: for tracks that nobody is in a hurry for."""
        while self._waiting_s > BACKLOG_S / 2:
            self._taken.clear()
            await self._taken.wait()

    def finish(self) -> None:
        """Nothing follows: `run` returns when what waits is done."""
        self._over_s = time.monotonic()
        self._news.set()

    async def run(self) -> None:
        """Tell the speakers of all that is heard apart, one segment at a time."""
        track_id, service = self._work.track.id, self._service
        diarizer = await self._go_on()
        while self._over_s is None or self._waiting:
            self._news.clear()
            if not self._waiting:
                await self._news.wait()
            elif service.overload.step >= Step.NO_EXTRAS and not self._is_overdue:
                await asyncio.sleep(LOOK_S)
            else:
                try:
                    await self._tell_apart(diarizer)
                except Exception as error:  # noqa: BLE001  (the words stand without it)
                    _SKIPPED.inc()
                    log.warning("speakers not told apart", track_id=str(track_id), error=type(error).__name__)
        try:
            await service.voices.forget(track_id)
        except BusError as error:
            log.warning("voices not removed", track_id=str(track_id), error=type(error).__name__)

    @property
    def _is_overdue(self) -> bool:
        return self._over_s is not None and time.monotonic() - self._over_s >= AFTER_S

    async def _go_on(self) -> TrackDiarizer:
        """Return the track's diarizer; an earlier worker may have known the voices, and what they said."""
        track_id, service = self._work.track.id, self._service
        for segment in await until_stored(lambda: service.transcripts.of_track(track_id)):
            if segment.speakers_revision > 0:
                names = [word.speaker or segment.speaker for word in segment.words] or [segment.speaker]
                self._leans[segment.id] = _leans(segment, names)
        try:
            return service.diarizer.follow(await service.voices.load(track_id))
        except (*BusError, ValueError) as error:
            log.warning("voices are learnt anew", track_id=str(track_id), error=type(error).__name__)
            return service.diarizer.follow()

    async def _tell_apart(self, diarizer: TrackDiarizer) -> None:
        segment, audio_ms, pcm = self._take()
        words = tuple((word.start_ms, word.end_ms) for word in segment.words)
        samples = pcm.astype(np.float32) / np.float32(32768)
        heard = Heard(segment.id, segment.start_ms, segment.end_ms, audio_ms, samples, words)

        def work() -> tuple[Labels, bytes]:
            began_s = time.thread_time()
            labels = diarizer.hear(heard)
            kept = diarizer.keep()
            _BUSY.inc(time.thread_time() - began_s)
            return labels, kept

        self._segments[segment.id] = segment  # before it is heard: a later one may tell what this one did not
        labels, kept = await self._service.run(work)
        _AUDIO.inc(samples.size / SAMPLE_RATE_HZ)
        if labels:
            await self._tell({key: numbers for key, numbers in labels.items() if key in self._segments})
        try:
            if kept:
                await self._service.voices.keep(self._work.track.id, kept)
        except BusError as error:
            log.debug("voices not kept", error=type(error).__name__)

    async def _tell(self, labels: Labels) -> None:
        """Store and show what differs from what was stored before."""
        changed = [(key, numbers) for key, numbers in labels.items() if self._labels.get(key) != numbers]
        for key, numbers in changed:
            self._leans[key] = _leans(self._segments[key], [speaker_name(number) for number in numbers])
        totals: Counter[str] = Counter()
        for leans in self._leans.values():
            totals.update(leans)
        guesses = roles.cast(totals)
        track_id, service, call = self._work.track.id, self._service, self._work.call
        change = None
        if changed or guesses != self._guessed:
            assignments = [_assignment(self._segments[key], numbers) for key, numbers in changed]
            change = await until_stored(lambda: service.store.assign(track_id, assignments, guesses))
        self._labels, self._guessed = dict(labels), guesses  # not before they are stored: else they never would be
        self._segments = {key: self._segments[key] for key in labels}
        if change is None:
            return
        event = Event("speakers", call.id, change_to_json(change), key=change_key(change))
        await until_told(service.events, call.tenant_id, event)

    def _take(self) -> tuple[TranscriptSegment, int, NDArray[np.int16]]:
        taken = self._waiting.popleft()
        self._waiting_s -= taken[2].size / SAMPLE_RATE_HZ
        self._taken.set()
        return taken


def _assignment(segment: TranscriptSegment, numbers: tuple[int, ...]) -> Assignment:
    names = tuple(speaker_name(number) for number in numbers)
    told: Counter[str] = Counter()
    for name, word in zip(names, segment.words or (None,), strict=True):
        told[name] += 1 if word is None else max(1, word.end_ms - word.start_ms)
    mostly = max(told, key=lambda name: (told[name], name))
    return Assignment(segment.id, mostly, names if len(told) > 1 else None)


def _leans(segment: TranscriptSegment, names: list[str]) -> Counter[str]:
    """Return how much each speaker of a segment sounds like an agent in it."""
    if len(set(names)) == 1:
        return _counter({names[0]: roles.lean(segment.text)})
    said: dict[str, list[str]] = {}
    for name, word in zip(names, segment.words, strict=True):
        said.setdefault(name, []).append(word.w)
    return _counter({name: roles.lean(" ".join(words)) for name, words in said.items()})


def _counter(leans: dict[str, int]) -> Counter[str]:
    counted: Counter[str] = Counter()
    counted.update(leans)
    return counted


def _give_way() -> None:
    """Let the recogniser go first where both want the same core; Linux has a priority for each thread."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + NICER))
