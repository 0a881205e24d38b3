"""What Twilio is told to do with a call: the TwiML of every answer.

Source: https://www.twilio.com/docs/voice/twiml
"""

from __future__ import annotations

from typing import Final

from aiohttp import web
from twilio.twiml.voice_response import VoiceResponse

from infra.tokens import StreamGrant, StreamTokens
from webhooks.numbers import Route

VOICE_PATH: Final = "/twilio/voice"
STATUS_PATH: Final = "/twilio/status"
DIAL_PATH: Final = "/twilio/dial"
RECORDING_PATH: Final = "/twilio/recording"
MEDIA_PATH: Final = "/twilio/media"

MAX_SAY_CHARS: Final = 4000
"""Twilio speaks at most 4,096 characters."""

MIN_RING_S: Final = 5
MAX_RING_S: Final = 600
"""What `<Dial timeout>` takes, in seconds."""

MESSAGE_S: Final = 180
"""The longest message that a caller may leave, in seconds."""

WAIT_S: Final = 3
MAX_WAITS: Final = 20
"""A call that comes while we shut down is asked again every 3 s, 20 times."""

# The recorded prompts (media_gateway/prompts) say the same where both may be heard.
APOLOGY: Final = "We are sorry, the line was interrupted. You are being reconnected."
FAREWELL: Final = "We are sorry, nobody is available to take your call right now. Please call again later."
ONE_MOMENT: Final = "One moment, please."
CONSENT: Final = "This call may be recorded and transcribed. If you do not want this, please tell the agent."
LEAVE_MESSAGE: Final = "Please leave a message after the tone. When you have finished, just hang up."
THANKS: Final = "Thank you. Your message has been saved. Goodbye."
OFFER_CALLBACK: Final = "All our agents are busy at the moment. To be called back, press one."
CALLBACK_NOTED: Final = "Thank you. We will call you back as soon as we can. Goodbye."
NOT_NOTED: Final = "We are sorry, that could not be saved. Please call again later."


class Answers:
    """Writes answers. `base_url`: what Twilio calls this server."""

    def __init__(self, tokens: StreamTokens, base_url: str, *, max_attempts: int = 3) -> None:
        """`max_attempts`: how often a call whose socket broke is brought back before it ends."""
        self._tokens = tokens
        self._base = base_url.rstrip("/")
        self._max_attempts = max_attempts

    def answer(self, route: Route, grant: StreamGrant, attempt: int) -> VoiceResponse:
        """Return the answer to a call; `attempt` counts from 1. After `max_attempts` it is a farewell."""
        if attempt > self._max_attempts:
            return goodbye(FAREWELL)
        if route.mode == "listen":
            return self.listen(route, grant, attempt)
        return self.connect(grant, attempt, greeting=route.queue.greeting)

    def connect(self, grant: StreamGrant, attempt: int = 1, *, greeting: str | None = None) -> VoiceResponse:
        """Return TwiML that hands the call to our socket.

        What follows `<Connect>` runs only when that socket closes before the caller hangs up. It says nothing: whether
        the socket broke, or an agent hung up, is known to whoever is asked next.
        """
        response = VoiceResponse()
        if attempt > 1:
            _say(response, APOLOGY)
        elif greeting:
            _say(response, greeting)
        self._add_stream(response.connect(), grant)
        response.redirect(f"{self._base}{VOICE_PATH}?attempt={attempt + 1}", method="POST")
        return response

    def listen(self, route: Route, grant: StreamGrant, attempt: int = 1) -> VoiceResponse:
        """Return TwiML that copies both parties' audio to our socket and rings the targets."""
        response = VoiceResponse()
        if route.queue.greeting and attempt == 1:
            _say(response, route.queue.greeting)
        if route.queue.consent:
            _say(response, CONSENT)
        self._add_stream(response.start(), grant, track="both_tracks")
        self._add_dial(response, route, f"{self._base}{DIAL_PATH}")
        return response

    def ring_others(self, route: Route) -> VoiceResponse:
        """Return TwiML that rings the targets of the queue that a call overflows to."""
        response = VoiceResponse()
        self._add_dial(response, route, f"{self._base}{DIAL_PATH}?step=overflowed")
        return response

    def take_message(self) -> VoiceResponse:
        """Return TwiML that asks for a message and records it."""
        response = VoiceResponse()
        _say(response, LEAVE_MESSAGE)
        response.record(
            action=f"{self._base}{DIAL_PATH}?step=message",
            method="POST",
            max_length=MESSAGE_S,
            finish_on_key="#",
            play_beep=True,
            recording_status_callback=f"{self._base}{RECORDING_PATH}",
            recording_status_callback_method="POST",
            recording_status_callback_event="completed absent",
        )
        return _end(response, FAREWELL)  # reached when nothing was said

    def offer_callback(self) -> VoiceResponse:
        """Return TwiML that asks whether the caller wants to be called back."""
        response = VoiceResponse()
        gather = response.gather(
            action=f"{self._base}{DIAL_PATH}?step=callback", method="POST", input="dtmf", num_digits=1, timeout=8
        )
        _say(gather, OFFER_CALLBACK)
        return _end(response, FAREWELL)

    def please_wait(self, attempt: int, waits: int) -> VoiceResponse:
        """Return TwiML that asks again in a moment, when another server may answer; after `MAX_WAITS`, a farewell."""
        response = VoiceResponse()
        if waits >= MAX_WAITS:
            return _end(response, FAREWELL)
        if waits == 0:
            _say(response, ONE_MOMENT)
        response.pause(length=WAIT_S)
        response.redirect(f"{self._base}{VOICE_PATH}?attempt={attempt}&wait={waits + 1}", method="POST")
        return response

    def _add_stream(self, verb: VoiceResponse, grant: StreamGrant, **options: str) -> None:
        # No query string: Twilio refuses it (error 31920). What the stream must know travels in the token.
        url = "ws" + self._base.removeprefix("http") + MEDIA_PATH
        stream = verb.stream(
            url=url, status_callback=f"{self._base}{STATUS_PATH}", status_callback_method="POST", **options
        )
        stream.parameter(name="token", value=self._tokens.seal(grant))

    def _add_dial(self, response: VoiceResponse, route: Route, action: str) -> None:
        dial = response.dial(
            answer_on_bridge=True,
            timeout=min(max(route.queue.ring_s, MIN_RING_S), MAX_RING_S),
            action=action,
            method="POST",
        )
        told = {
            "status_callback": f"{self._base}{STATUS_PATH}",
            "status_callback_method": "POST",
            "status_callback_event": "initiated ringing answered completed",
        }
        for target in map(_text, route.targets):
            if target.startswith("client:"):
                dial.client(target.removeprefix("client:"), **told)
            elif target.startswith(("sip:", "sips:")):
                dial.sip(target, **told)
            else:
                dial.number(target, **told)


def goodbye(words: str = "") -> VoiceResponse:
    """Return TwiML that ends the call, with a last sentence if there is one."""
    return _end(VoiceResponse(), words)


def written(response: VoiceResponse) -> web.Response:
    """Return an answer as HTTP."""
    return web.Response(
        text=str(response), content_type="application/xml", charset="utf-8", headers={"Cache-Control": "no-store"}
    )


def _end(response: VoiceResponse, words: str) -> VoiceResponse:
    if words:
        _say(response, words)
    response.hangup()
    return response


def _say(verb: VoiceResponse, words: str) -> None:
    verb.say(_text(words)[:MAX_SAY_CHARS])


def _text(words: str) -> str:
    """Return words with blanks in place of what XML cannot hold; the library escapes the rest."""
    return "".join(c if c.isprintable() else " " for c in words)
