"""/api/v1/twilio: what a browser needs to talk through Twilio itself.

Source: https://www.twilio.com/docs/iam/access-tokens
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from aiohttp import web
from twilio.jwt.access_token import AccessToken
from twilio.jwt.access_token.grants import VoiceGrant

from dashboard.api import answer
from dashboard.problem import Problem
from dashboard.views import VoiceToken
from infra.settings import Settings
from infra.store.users import API_TOKEN_USER_ID, User, UserStore
from infra.tokens import client_identity

TTL_S: Final = 3600


class TwilioApi:
    """The operations for Twilio's Voice SDK."""

    def __init__(self, settings: Settings, users: UserStore) -> None:
        self._settings = settings
        self._users = users

    async def twilio_token(self, request: web.Request) -> web.Response:
        """POST /api/v1/twilio/token: a token with which the one who asks can be rung as a `<Client>`."""
        user: User = request["user"]
        settings = self._settings
        if user.id == API_TOKEN_USER_ID:
            raise Problem(409, "HEARLINE_API_TOKEN is nobody who could be rung; ask as a user")
        account, key, secret = settings.twilio_account_sid, settings.twilio_api_key_sid, settings.twilio_api_key_secret
        if not account or not key or secret is None:
            told = {"TWILIO_ACCOUNT_SID": account, "TWILIO_API_KEY_SID": key, "TWILIO_API_KEY_SECRET": secret}
            missing = ", ".join(name for name, value in told.items() if not value)
            raise Problem(503, f"Twilio's Voice SDK is not set up here: {missing} not set")
        identity = client_identity(user.id)
        begin = datetime.now(UTC).replace(microsecond=0)
        token = AccessToken(
            account,
            key,
            secret.get_secret_value(),
            grants=[VoiceGrant(incoming_allow=True, outgoing_application_sid=settings.twilio_app_sid)],
            identity=identity,
            ttl=TTL_S,
        )
        await self._users.audit(user, "twilio.token", str(user.id))
        return answer(VoiceToken(token=token.to_jwt(), identity=identity, expires_at=begin + timedelta(seconds=TTL_S)))
