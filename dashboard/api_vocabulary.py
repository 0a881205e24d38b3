"""/api/v1/vocabulary: the words that a tenant teaches its recognisers."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import asyncpg
import msgspec
from aiohttp import web

from dashboard import params
from dashboard.api import answer
from dashboard.calls import as_uuid
from dashboard.problem import Problem, bad_parameter
from dashboard.views import Page, PhraseView
from infra.store.queues import QueueStore
from infra.store.users import User, UserStore
from infra.store.vocabulary import MOST_CHARS, MOST_PHRASES, VocabularyFull, VocabularyStore, normal_phrase


class NewPhrases(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Phrases to listen for, as they are to be written; without `queue_id` in every call."""

    phrases: Annotated[
        list[Annotated[str, msgspec.Meta(min_length=1, max_length=2 * MOST_CHARS)]],
        msgspec.Meta(min_length=1, max_length=MOST_PHRASES),
    ]
    queue_id: UUID | None = None


class VocabularyApi:
    """The operations on the vocabulary."""

    def __init__(self, pool: asyncpg.Pool, users: UserStore) -> None:
        self._vocabulary = VocabularyStore(pool)
        self._queues = QueueStore(pool)
        self._users = users

    async def list_vocabulary(self, request: web.Request) -> web.Response:
        """GET /api/v1/vocabulary?queue_id=: all phrases, or one queue's own, by phrase."""
        queue_id = None
        if told := params.text(request, "queue_id"):
            queue_id = as_uuid(told)
            if queue_id is None:
                raise bad_parameter("queue_id", "is not a UUID")
        rows = await self._vocabulary.all(request["user"].tenant_id, queue_id)
        return answer(Page(items=[PhraseView(**row) for row in rows]))

    async def add_vocabulary(self, request: web.Request) -> web.Response:
        """POST /api/v1/vocabulary: all or none; what is there already is written anew as it is now."""
        user: User = request["user"]
        wanted = await params.body(request, NewPhrases)
        try:
            phrases = [normal_phrase(phrase) for phrase in wanted.phrases]
        except ValueError as error:
            raise bad_parameter("phrases", f"one of them {error}") from None
        if wanted.queue_id is not None and await self._queues.get(user.tenant_id, wanted.queue_id) is None:
            raise bad_parameter("queue_id", "there is no such queue")
        try:
            rows = await self._vocabulary.add(user.tenant_id, phrases, wanted.queue_id)
        except VocabularyFull as full:
            raise Problem(409, str(full), parameter="phrases") from None
        await self._users.audit(
            user,
            "vocabulary.add",
            str(wanted.queue_id or user.tenant_id),
            {"phrases": [row["phrase"] for row in rows[:20]], "count": len(rows)},
        )
        response = answer(Page(items=[PhraseView(**row) for row in rows]))
        response.set_status(201)
        return response

    async def delete_vocabulary(self, request: web.Request) -> web.Response:
        """DELETE /api/v1/vocabulary/{phrase_id}."""
        user: User = request["user"]
        phrase_id = params.path_uuid(request, "phrase_id")
        phrase = await self._vocabulary.delete(user.tenant_id, phrase_id)
        if phrase is None:
            raise Problem(404, "there is no such phrase")
        await self._users.audit(user, "vocabulary.delete", str(phrase_id), {"phrase": phrase})
        return web.Response(status=204)
