"""One track from its first chunk to its last final segment."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from typing import Final

from prometheus_client import Counter, Histogram

from infra.bus.codec import TrackWork
from infra.bus.presence import RENEW_S, Presence
from infra.bus.streams import AudioStreams, BusError, EventStreams
from infra.model import CHUNK_MS, AudioChunk, Call, Hole, TranscriptSegment, Word, segment_id
from infra.store.calls import CallStore
from infra.store.transcripts import NotOwnerError, TranscriptStore
from infra.telemetry import logger
from workers.asr.engines import AUTO, Recognition
from workers.asr.history import History
from workers.asr.language_judge import LanguageJudge, Languages
from workers.asr.lateness import Lateness
from workers.asr.overload import Step
from workers.asr.pace import more_to_come
from workers.asr.scheduler import BusyError, Draft, Request, Scheduler
from workers.asr.screen import Screen
from workers.asr.segmenter import Action, Decode, Drop, Segmenter, patient, policy_for
from workers.asr.speakers.service import SpeakerService
from workers.asr.vad import SpeechDetector
from workers.asr.vocabulary import Vocabularies, in_display_form
from workers.asr.written import begin, write_words
from workers.owner import Holding
from workers.persist import until_stored

log = logger(__name__)

_LATENCY: Final = Histogram(
    "hearline_final_latency_seconds",
    "From the last spoken word to its final segment",
    buckets=(0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 5, 10, 30, 60),
)
_STAGES: Final = Histogram(
    "hearline_final_stage_seconds",
    "What a final's latency consists of: from the last spoken word to the end of the pause (pause), from there to the "
    "text (words; nothing where it was there already), to the database (stored), to the events (told)",
    ["stage"],
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.5, 2, 5, 10),
)
_FINALS: Final = Counter("hearline_finals_total", "Final segments stored")
_GAPS: Final = Counter("hearline_gaps_total", "Gaps in tracks, by cause", ["cause"])

READ_BLOCK_MS: Final = 400
PAGE: Final = 64
"""Chunks read at once: 12.8 s, 410 KB."""
SILENT_S: Final = 8.0
"""After so long without a chunk a track's gateway is asked for."""
ADVANCE_MS: Final = 5000
"""How much wordless audio may pile up in Redis before it is trimmed."""
LAG_MS: Final = 2000
"""Words that are later than this are called late."""
LAG_LOOK_S: Final = 0.5
LAG_TOLD_S: Final = 1.0
"""The lag of a track is told at most so often."""
PENDING_FINALS: Final = 4
"""How many segments are cut before the first of them is recognised; with as many, reading waits. One is at most
`Policy.longest_ms` of 32-bit samples: 768 KB with Moonshine, 1.3 MB with others."""
_GATEWAY_LOST: Final = "gateway lost"
"""As media_gateway.registry says of a call."""


@dataclasses.dataclass(frozen=True, slots=True)
class Tools:
    """What all sessions of a worker share."""

    audio: AudioStreams
    events: EventStreams
    presence: Presence
    calls: CallStore
    transcripts: TranscriptStore
    scheduler: Scheduler
    language: str
    languages: Languages | None = None
    """What a track's language is chosen among; None: it is `language`."""
    vocabularies: Vocabularies | None = None
    speakers: SpeakerService | None = None
    """Tells apart who speaks on mixed tracks; None: nobody does."""

    def vocabulary(self, call: Call) -> tuple[str, ...]:
        """Return the phrases to listen for in a call, as they are known now."""
        return self.vocabularies.of(call) if self.vocabularies is not None else ()


@dataclasses.dataclass(frozen=True, slots=True)
class _Ended:
    """A segment that is over and gets its final."""

    decode: Decode
    at_s: float
    """When that was known; on the clock of time.monotonic."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Speculation:
    """A decode in the hope that the segment is over."""

    request: Request
    words: asyncio.Task[Draft | None]

    def forget(self) -> None:
        self.request.leave()
        self.words.cancel()


class TrackSession:
    """Reads a track's audio in order, has it recognised, stores the finals, tells the screens.

    Reading and recognising run side by side; finals are stored strictly in order. All that a later owner needs is in
    the database (infra.store.transcripts.Progress) and in the part of the audio stream that is not yet trimmed.

    Of a call that is not live only finals are asked for, behind all that is; it is never late, and silence only means
    that its gateway sends no more for now.
    """

    def __init__(self, work: TrackWork, holding: Holding, tools: Tools) -> None:
        self._work = work
        self._live = work.call.live
        self._holding = holding
        self._tools = tools
        self._role = work.leg.role
        self._screen = Screen(tools.events, work)
        self._late = Lateness()
        self._history = History()
        self._finals: asyncio.Queue[_Ended | None] = asyncio.Queue(PENDING_FINALS)
        self._speculation: dict[tuple[int, int], _Speculation] = {}
        self._partial: asyncio.Task[None] | None = None
        self._newest_seq = -1
        self._next_seq = 0
        self._resume_chunk = 0
        self._done_before_seq = 0
        self._draft: tuple[int, Draft] | None = None
        self._end_ms: int | None = None
        self._speakers = tools.speakers.follow(work) if tools.speakers else None
        self._judge: LanguageJudge | None = None
        self._language_told: str | None = None

    async def run(self) -> None:
        """Work until the track has ended and its last segment is stored. Raises NotOwnerError."""
        work, tools = self._work, self._tools
        await until_stored(
            lambda: tools.calls.add_track(work.call, work.leg, work.track, work.speaker, work.gateway_id)
        )
        progress = await until_stored(lambda: tools.transcripts.progress(work.track.id))
        if progress.closed:
            await self._close(progress.close_reason or "ended")  # its last owner may not have come to telling it
            return
        if tools.vocabularies is not None:
            await tools.vocabularies.look_up(work.call)
        self._next_seq, self._resume_chunk = progress.next_seq, progress.resume_chunk
        self._done_before_seq = progress.next_seq
        await self._tell_again()
        if tools.languages is not None:
            known = await until_stored(lambda: tools.calls.language(work.track.id))
            self._judge = LanguageJudge(tools.languages, known=known)
            self._language_told = known
        policy = policy_for(tools.scheduler.capabilities)
        segmenter = Segmenter(
            SpeechDetector(),
            policy if self._live else patient(policy),
            next_seq=progress.next_seq,
            resume_ms=progress.resume_ms,
        )
        if progress.resume_chunk:
            self._end_ms = progress.resume_ms
        late = tools.scheduler.overload.watching(self._late.behind_ms) if self._live else contextlib.nullcontext()
        with late:
            async with asyncio.TaskGroup() as tasks:
                watches: list[asyncio.Task[None]] = []
                if self._live:
                    watches.append(tasks.create_task(self._late.follow_clock(tools.presence, work.gateway_id)))
                    watches.append(tasks.create_task(self._watch_lag()))
                storing = tasks.create_task(self._store_finals())
                telling = tasks.create_task(self._speakers.run()) if self._speakers else None
                reason = await self._listen(segmenter, tasks)
                await self._finals.put(None)
                await storing
                if self._speakers and telling:
                    self._speakers.finish()
                    await telling
                for watch in watches:
                    watch.cancel()
        await self._screen.lag(0)
        await self._close(reason)

    async def bury(self, reason: str) -> None:
        """Close a track that no worker can get through: what is missing is marked."""
        work = self._work
        progress = await until_stored(lambda: self._tools.transcripts.progress(work.track.id))
        await self._mark(Hole(progress.resume_ms, progress.resume_ms, "recogniser-failed"))
        await self._close(reason)

    async def _listen(self, segmenter: Segmenter, tasks: asyncio.TaskGroup) -> str:
        """Feed the segmenter until the track ends; return why it ended."""
        after_seq, heard_s = self._resume_chunk - 1, time.monotonic()
        while True:
            await self._until_worth_reading()
            try:
                page = await self._tools.audio.read(
                    self._work.track.id, after_seq=after_seq, block_ms=READ_BLOCK_MS, count=PAGE
                )
            except BusError as error:
                log.warning("audio cannot be read", track_id=str(self._work.track.id), error=type(error).__name__)
                await asyncio.sleep(0.3)
                heard_s = time.monotonic()  # that silence was not the gateway's
                continue
            after_seq = page.last_seq
            for chunk in page.chunks:
                heard_s = time.monotonic()
                await self._take_chunk(chunk, segmenter, tasks)
                if chunk.last:
                    self._late.nothing_to_read()
                    return "ended"
            if len(page.chunks) < PAGE:
                self._late.nothing_to_read()
            if not page.chunks and time.monotonic() - heard_s > SILENT_S:
                if over := await self._why_over():
                    reason, cause = over
                    await self._mark(Hole(self._end_ms or 0, self._end_ms or 0, cause))
                    await self._act(segmenter.finish(), segmenter, tasks)
                    return reason
                heard_s = time.monotonic()

    async def _until_worth_reading(self) -> None:
        """Far behind, audio is better off in Redis than here: nothing is read while a final waits."""
        if self._tools.scheduler.overload.step >= Step.RECORD_ONLY:
            await self._late.until_nothing_is_due()

    async def _take_chunk(self, chunk: AudioChunk, segmenter: Segmenter, tasks: asyncio.TaskGroup) -> None:
        for hole in await self._holes(chunk):
            await self._mark(hole)
        self._newest_seq = chunk.seq
        self._end_ms = chunk.end_ms
        self._late.arrived(chunk)
        await self._act(segmenter.push(chunk), segmenter, tasks)
        await self._advance(segmenter)

    async def _holes(self, chunk: AudioChunk) -> list[Hole]:
        """Return what the chunk names itself, and what was lost between the gateway and here. Raises NotOwnerError."""
        holes = list(chunk.holes)
        missing = chunk.seq - max(self._newest_seq + 1, self._resume_chunk)
        if missing > 0:
            lost_until_ms = min([chunk.start_ms, *(hole.start_ms for hole in holes)])
            lost_from_ms = max(0, lost_until_ms - missing * CHUNK_MS) if self._end_ms is None else self._end_ms
            if lost_until_ms > lost_from_ms:
                await self._check_ours()
                holes.insert(0, Hole(lost_from_ms, lost_until_ms, "audio-lost"))
        return holes

    async def _check_ours(self) -> None:
        """Raise NotOwnerError where another owner has recognised, and let go, audio that has not come here yet."""
        track_id = self._work.track.id
        known = await until_stored(lambda: self._tools.transcripts.progress(track_id))
        if known.resume_chunk > max(self._newest_seq + 1, self._resume_chunk):
            raise NotOwnerError(f"track {track_id} has come further than chunk {self._newest_seq}")

    async def _act(self, actions: list[Action], segmenter: Segmenter, tasks: asyncio.TaskGroup) -> None:
        for action in actions:
            if isinstance(action, Drop):
                self._done_before_seq = max(self._done_before_seq, action.seq + 1)
                self._forget_speculation(action.seq)
                await self._screen.retract(action.seq)
            elif action.kind != "final" and not self._live:
                continue
            elif action.kind == "partial":
                if self._partial is None or self._partial.done():
                    self._partial = tasks.create_task(self._show_partial(action))
            elif action.kind == "speculative":
                self._forget_speculation(action.seq)
                if action.early and self._tools.scheduler.pressed:
                    segmenter.ask_again(action.seq, action.end_ms)
                    continue
                try:
                    request = self._ask(action)
                except BusyError:
                    continue
                words = tasks.create_task(self._speculate(action, request, segmenter))
                self._speculation[action.seq, action.end_ms] = _Speculation(request, words)
            else:
                self._done_before_seq = action.seq + 1
                self._late.final_due()
                speculation = self._speculation.get((action.seq, action.end_ms)) if action.reuse else None
                if speculation is not None:
                    speculation.request.promote()
                paused_ms = self._late.since_ms(action.end_ms)
                if paused_ms is not None:
                    self._took("pause", paused_ms / 1000)
                await self._finals.put(_Ended(action, time.monotonic()))

    async def _speculate(self, decode: Decode, request: Request, segmenter: Segmenter) -> Draft | None:
        try:
            draft = await self._answer(decode, request)
        except Exception as error:  # noqa: BLE001  (the final tries again and reports)
            log.warning("speculation failed", track_id=str(self._work.track.id), error=type(error).__name__)
            return None
        more = more_to_come(draft.recognition, punctuation=self._tools.scheduler.capabilities.punctuation)
        if more is not None:
            segmenter.expect(decode.seq, decode.end_ms, more)
        await self._show(decode, draft.recognition)
        return draft

    def _ask(self, decode: Decode, language: str | None = None) -> Request:
        seq, draft = self._draft or (-1, None)
        return self._tools.scheduler.ask(
            decode.samples,
            language=language or self._language(),
            kind=decode.kind if self._live else "imported",
            caller=self._work.call.id,
            due_ms=self._late.oldest_due_ms if decode.kind == "final" else self._late.received_ms,
            earlier=draft if seq == decode.seq else None,
            before=self._history.before(decode),
            vocabulary=self._tools.vocabulary(self._work.call),
        )

    def _language(self) -> str:
        if self._judge is None:
            return self._tools.language
        return self._judge.ask(hurry=self._tools.scheduler.overload.step >= Step.NO_PARTIALS)

    async def _answer(self, decode: Decode, request: Request) -> Draft:
        try:
            recognition = await request.answer
        finally:
            request.leave()
        draft = Draft(request.engine, recognition)
        self._draft = (decode.seq, draft)
        judge, spoken_ms = self._judge, decode.end_ms - decode.start_ms
        if judge is None:
            return draft
        judge.hear(decode.seq, spoken_ms, recognition)
        if decode.kind == "partial":
            return draft
        if judge.doubts(recognition) and request.language != AUTO and self._language() == AUTO:
            draft = await self._ask_again(decode, AUTO)
            judge.hear(decode.seq, spoken_ms, draft.recognition)
        accepted = judge.accepts(draft.recognition, spoken_ms)
        return draft if accepted else await self._ask_again(decode, judge.language)

    async def _ask_again(self, decode: Decode, language: str) -> Draft:
        request = self._ask(decode, language)
        try:
            return Draft(request.engine, await request.answer)
        finally:
            request.leave()

    async def _tell_language(self) -> None:
        judge, track_id = self._judge, self._work.track.id
        if judge is None or judge.found is None or judge.found == self._language_told:
            return
        self._language_told = language = judge.found
        await until_stored(lambda: self._tools.calls.set_language(track_id, language))
        await self._screen.language(language, judge.probability, self._newest_seq)

    async def _show_partial(self, decode: Decode) -> None:
        try:
            draft = await self._answer(decode, self._ask(decode))
        except BusyError:
            return
        except Exception as error:  # noqa: BLE001  (the final of the same words tries again and reports)
            log.warning("partial failed", track_id=str(self._work.track.id), error=type(error).__name__)
            return
        await self._show(decode, draft.recognition)

    async def _show(self, decode: Decode, recognition: Recognition) -> None:
        if recognition.text and decode.seq >= self._done_before_seq:
            await self._screen.partial(self._segment(decode, recognition, is_final=False))

    async def _store_finals(self) -> None:
        while (ended := await self._finals.get()) is not None:
            decode = ended.decode
            draft = await self._final_words(decode)
            self._took("words", time.monotonic() - ended.at_s)
            self._late.storing()
            await self._tell_language()
            if draft is not None:
                self._history.add(decode, draft)
            if draft is not None and draft.recognition.text:
                await self._store(decode, draft.recognition)
            else:
                await self._screen.retract(decode.seq)
            self._late.final_done()

    async def _final_words(self, decode: Decode) -> Draft | None:
        speculation = self._speculation.pop((decode.seq, decode.end_ms), None) if decode.reuse else None
        self._forget_speculation(decode.seq)
        try:
            spoken = await speculation.words if speculation else None
            return spoken or await self._answer(decode, self._ask(decode))
        except Exception:  # one bad stretch must not take the call with it: marked, and on
            log.exception("recogniser failed", track_id=str(self._work.track.id), seq=decode.seq)
            await self._mark(Hole(decode.start_ms, decode.end_ms, "recogniser-failed"))
            return None

    def _forget_speculation(self, seq: int) -> None:
        """Stop decoding what the speaker has gone on from; the words of earlier segments may still be waited for."""
        for key in [key for key in self._speculation if key[0] == seq]:
            self._speculation.pop(key).forget()

    async def _store(self, decode: Decode, recognition: Recognition) -> None:
        began_s = time.monotonic()
        segment = self._segment(decode, recognition, is_final=True)
        resume_chunk = self._late.chunk_at(decode.end_ms)
        if resume_chunk is None:
            resume_chunk = self._newest_seq + 1
        self._role = await until_stored(
            lambda: self._tools.transcripts.commit(
                self._work.call,
                segment,
                next_seq=self._next_seq,
                resume_chunk=resume_chunk,
                resume_ms=decode.end_ms,
            )
        )
        segment = dataclasses.replace(segment, role=self._role)
        self._next_seq, self._resume_chunk = segment.seq + 1, resume_chunk
        self._holding.progressed = True
        stored_s = time.monotonic()
        self._took("stored", stored_s - began_s)
        _FINALS.inc()
        if segment.latency_ms is not None:
            _LATENCY.observe(segment.latency_ms / 1000)
        await self._screen.final(segment)
        self._took("told", time.monotonic() - stored_s)
        if self._speakers:
            if not self._live:
                await self._speakers.until_room()
            self._speakers.hear(segment, decode.samples, decode.audio_ms)
        await self._trim(resume_chunk)

    def _took(self, stage: str, seconds: float) -> None:
        if self._live:
            _STAGES.labels(stage).observe(seconds)

    async def _tell_again(self) -> None:
        """An earlier owner may have stored its last segment without having told it."""
        stored = await until_stored(
            lambda: self._tools.transcripts.of_track(self._work.track.id, from_seq=max(0, self._next_seq - 1))
        )
        for segment in stored:
            await self._screen.final(segment)

    async def _advance(self, segmenter: Segmenter) -> None:
        """Let wordless audio go, once it has piled up and nothing before it waits to be stored."""
        safe_chunk, safe_ms = segmenter.safe_seq, segmenter.safe_ms
        if self._late.anything_due or (safe_chunk - self._resume_chunk) * 200 < ADVANCE_MS:
            return
        await until_stored(
            lambda: self._tools.transcripts.advance(
                self._work.track.id, next_seq=self._next_seq, resume_chunk=safe_chunk, resume_ms=safe_ms
            )
        )
        self._resume_chunk = safe_chunk
        self._holding.progressed = True
        await self._trim(safe_chunk)

    async def _trim(self, before_seq: int) -> None:
        self._late.forget(before_seq)
        try:
            await self._tools.audio.trim(self._work.track.id, before_seq)
        except BusError as error:
            log.debug("audio not trimmed yet", error=type(error).__name__)

    async def _mark(self, hole: Hole) -> None:
        work = self._work
        new = await until_stored(lambda: self._tools.transcripts.add_gap(work.call, work.track.id, hole))
        if new:
            _GAPS.labels(hole.cause).inc()
        await self._screen.gap(hole)

    async def _close(self, reason: str) -> None:
        work, tools = self._work, self._tools
        await until_stored(lambda: tools.calls.close_track(work.track.id, reason))
        await self._screen.closed(reason)
        try:
            await tools.audio.forget(work.track.id)
        except BusError as error:
            log.warning("audio not removed", track_id=str(work.track.id), error=type(error).__name__)

    async def _watch_lag(self) -> None:
        """Tell the screens when words come late, every second until they are in time again."""
        while True:
            lag_ms = self._late.lag_ms()
            told = await self._screen.lag(lag_ms if lag_ms > LAG_MS else 0)
            await asyncio.sleep(LAG_TOLD_S if told else LAG_LOOK_S)

    async def _why_over(self) -> tuple[str, str] | None:
        """Return why a silent track gets no closing chunk any more, and the cause of its last gap; None if it may.

        A gateway that was importing goes on once it is back.
        """
        state = await until_stored(lambda: self._tools.calls.state(self._work.call.id))
        ended = state is not None and state["status"] == "ended"
        if state is not None and ended and state["end_reason"] != _GATEWAY_LOST:
            return "ended", "audio-lost"
        if self._live and (ended or await self._gateway_is_gone()):
            return _GATEWAY_LOST, "gateway-lost"
        return None

    async def _gateway_is_gone(self) -> bool:
        """Ask twice: a Redis that was away has heard of nobody until everybody's next sign of life."""
        for pause_s in (0.0, 2 * RENEW_S):
            await asyncio.sleep(pause_s)
            try:
                if await self._tools.presence.gateway_lives(self._work.gateway_id):
                    return False
            except BusError:
                return False
        return True

    def _segment(self, decode: Decode, recognition: Recognition, *, is_final: bool) -> TranscriptSegment:
        work = self._work
        heard = tuple(
            Word(word.w, decode.audio_ms + word.start_ms, decode.audio_ms + word.end_ms, word.p)
            for word in (recognition.words if is_final else ())
        )
        text, words = begin(*write_words(recognition.text.strip(), heard, recognition.language))
        text, words = in_display_form(text, words, self._tools.vocabulary(work.call))
        return TranscriptSegment(
            id=segment_id(work.track.id, decode.seq),
            call_id=work.call.id,
            leg_id=work.leg.id,
            track_id=work.track.id,
            role=self._role,
            speaker=work.speaker,
            seq=decode.seq,
            start_ms=decode.start_ms,
            end_ms=decode.end_ms,
            text=text,
            original_text=recognition.text,
            language=recognition.language,
            confidence=recognition.confidence,
            is_final=is_final,
            words=words,
            latency_ms=self._late.since_ms(decode.end_ms) if self._live else None,
        )
