"""Puts the recognition worker together from what the settings name, and runs it."""

from __future__ import annotations

import os
from typing import Final
from uuid import uuid4

from infra.bus.presence import Presence
from infra.bus.streams import AudioStreams, EventStreams
from infra.bus.voices import Voices
from infra.bus.work import WorkQueue
from infra.connections import open_database, open_redis
from infra.console import UnusableError, until_stopped
from infra.settings import Settings
from infra.store.calls import CallStore
from infra.store.speakers import SpeakerStore
from infra.store.transcripts import TranscriptStore
from infra.store.vocabulary import VocabularyStore
from infra.telemetry import logger
from workers.asr import recogniser
from workers.asr.models import ModelMissingError
from workers.asr.scheduler import Scheduler
from workers.asr.session import Tools
from workers.asr.speakers import Diarizer, DiarizerUnusableError
from workers.asr.speakers.opening import open_diarizer
from workers.asr.speakers.service import SpeakerService
from workers.asr.vocabulary import Vocabularies
from workers.asr.worker import AsrWorker

log = logger(__name__)

NICENESS: Final = 5
"""Where cores are short, the people who talk to each other come before the text of what they say."""


async def run(settings: Settings) -> None:
    """Recognise speech until SIGINT or SIGTERM. Raises UnusableError."""
    os.nice(NICENESS)
    pair, languages = recogniser.open_recogniser(settings)
    scheduler = Scheduler(pair, lanes=recogniser.lanes(settings, pair))
    diarizer = _open_diarizer(settings)
    async with open_database(settings) as pool, open_redis(settings) as redis:
        presence = Presence(redis)
        speakers = None
        if diarizer is not None:
            speakers = SpeakerService(
                diarizer,
                store=SpeakerStore(pool),
                transcripts=TranscriptStore(pool),
                events=EventStreams(redis),
                voices=Voices(redis),
                overload=scheduler.overload,
            )
        tools = Tools(
            audio=AudioStreams(redis),
            events=EventStreams(redis),
            presence=presence,
            calls=CallStore(pool),
            transcripts=TranscriptStore(pool),
            scheduler=scheduler,
            language=recogniser.asked_language(settings),
            languages=languages,
            vocabularies=Vocabularies(VocabularyStore(pool)),
            speakers=speakers,
        )
        queue = WorkQueue(redis, "asr", f"asr-{uuid4().hex[:12]}")
        try:
            await until_stopped(AsrWorker(queue, scheduler, tools, presence).run())
        finally:
            if speakers is not None:
                speakers.close()


def _open_diarizer(settings: Settings) -> Diarizer | None:
    """Load what tells speakers apart. Recognition goes on without it, where its weights are not here."""
    try:
        return open_diarizer(
            settings.diarizer,
            most=settings.diarizer_speakers,
            data_dir=settings.hearline_data_dir,
            checkpoint=settings.diarizer_model,
        )
    except DiarizerUnusableError as error:
        raise UnusableError(str(error)) from error
    except ModelMissingError as error:
        log.warning("speakers on one track are not told apart", reason=str(error))
        return None
