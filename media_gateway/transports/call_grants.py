"""POST /media/audiosocket: a sender announces a call, and is told the UUID that it may bring it with, once."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from aiohttp import web

from infra.bus.streams import BusError
from infra.problem import problem
from media_gateway.call_grants import CallGrant, CallGrants
from media_gateway.senders import NobodyKnowsError, Senders
from media_gateway.transports.media_door import shown_tokens

PATH: Final = "/media/audiosocket"

_MAX_TOKENS: Final = 3
_AWAY: Final = "What is needed to give it out is away."


class GrantDoor:
    """The route and what it needs. Register `handle` under `PATH`."""

    def __init__(self, senders: Senders, grants: CallGrants) -> None:
        self._senders = senders
        self._grants = grants

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Give out a UUID, as bare text: `from` and `to` in the address or in a form say who calls whom."""
        try:
            found = [await self._senders.find(token) for token in shown_tokens(request)[:_MAX_TOKENS]]
            sender = next((sender for sender in found if sender is not None), None)
            if sender is None:
                challenge = {"WWW-Authenticate": 'Bearer realm="hearline", Basic realm="hearline"'}
                return problem(HTTPStatus.UNAUTHORIZED, "Send a token of the role sender.", challenge)
            if not sender.may_send:
                return problem(HTTPStatus.FORBIDDEN, "This token's role may not send calls.")
            form = {**await request.post(), **request.query}
            numbers = [value if isinstance(value := form.get(name), str) else None for name in ("from", "to")]
            call_id = await self._grants.give(CallGrant(sender.tenant_id, *numbers))
        except (NobodyKnowsError, *BusError):
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, _AWAY)
        return web.Response(text=str(call_id), status=HTTPStatus.CREATED)
