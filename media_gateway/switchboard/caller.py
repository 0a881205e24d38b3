"""The caller's side of a conversation: the line, what is played there, and what a caller may ask for instead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal

from media_gateway.bridge import Play, Player, Seat
from media_gateway.ports import CallerLine, KeyLine
from media_gateway.prompts import Player as Prompts
from media_gateway.prompts import prompt
from media_gateway.tones import dtmf
from media_gateway.voices import PacketVoice

if TYPE_CHECKING:
    from media_gateway.switchboard.conversation import Conversation

MESSAGE_S: Final = 120.0
"""The longest voice message."""
HEARD_WITHIN_S: Final = 2.0
"""How long a line may take to play what it has been sent."""
KEYED_SHOWN: Final = 20


class Caller:
    """The caller of a conversation. The line may break and come back; the seat stays."""

    def __init__(self, conversation: Conversation) -> None:
        queue = conversation.queue
        self.wants: Literal["voicemail", "callback"] | None = None
        """What they get instead of an agent."""
        self.keyed = ""
        """The keys they pressed last."""
        self.holds = False
        """Whether their own telephone has put us on hold."""
        self._conversation = conversation
        self._may_choose = queue is not None and queue.on_timeout != "hangup"
        self._music = Play(Prompts([prompt("music")], loop=True)) if queue is not None and queue.music else None
        self._seat: Seat | None = None
        self._line: CallerLine | None = None
        self._playing: Play | None = None
        self._message_timer: asyncio.TimerHandle | None = None
        self._ending: tuple[str, str] | None = None
        """The prompt that is the last thing they hear, and why the call ends with it."""
        self._end_timer: asyncio.TimerHandle | None = None

    @property
    def seat(self) -> Seat | None:
        """Return the seat at the bridge, None while the line is broken."""
        return self._seat if self._line is not None else None

    @property
    def may_choose(self) -> bool:
        """Return whether they may ask for something else than an agent."""
        return self._may_choose

    def playing(self, *, waits: bool) -> Play | None:
        """Return what is played to them; `waits`: nobody talks to them."""
        return self._playing or (self._music if waits and self.wants is None else None)

    def here(self, line: CallerLine) -> PacketVoice:
        """The line is there, for the first time or again; return where its packets go."""
        voice = line.new_voice()
        voice.send = line.play
        if self._seat is None:
            self._seat = Seat(voice)
        else:
            self._seat.voice = voice
        self._line = line
        self._conversation.arrange()
        return voice

    def lost(self, line: CallerLine) -> None:
        """That line broke; the caller may come back."""
        if line is self._line:
            self._line = None
            self._conversation.arrange()

    def hold(self, *, on: bool) -> None:
        """Their telephone puts us on hold, or takes us back."""
        if on != self.holds:
            self.holds = on
            self._conversation.arrange()

    def key(self, digit: str) -> None:
        """They pressed a key."""
        conversation = self._conversation
        if conversation.is_over:
            return
        if self.wants == "voicemail" and digit == "#":
            self._thank()
        elif conversation.agent is not None:
            self.keyed = (self.keyed + digit)[-KEYED_SHOWN:]
            conversation.arrange()
        elif self._may_choose and self.wants is None and digit == "1":
            self.call_back()
        elif self._may_choose and self.wants is None and digit == "2":
            self.take_message()

    def heard(self, mark: str) -> None:
        """The line has played what was sent before this mark."""
        if mark == "played:consent":
            self._conversation.handle.note_act(None, "call.consent_played", {})
        elif self._ending is not None and mark == f"played:{self._ending[0]}":
            self._conversation.end(self._ending[1])

    def press(self, keys: str) -> None:
        """Press keys on their line, told or as tones."""
        line: object = self._line
        if not (isinstance(line, KeyLine) and line.press(keys)):
            self.play(Prompts([dtmf(keys)]))

    def say(self, *names: str, then: Callable[[], None] | None = None) -> None:
        """Play prompts, one after the other, then the music again."""

        def said() -> None:
            if self._line is not None:
                self._line.mark(f"played:{names[0]}")
            if then is not None:
                then()

        self.play(Prompts([prompt(name) for name in names]), said)

    def play(self, player: Player, then: Callable[[], None] = lambda: None) -> None:
        """Play something instead of what is played now."""
        playing: Play

        def on_end() -> None:
            if self._playing is playing:
                self._playing = None
                then()
                self._conversation.arrange()

        playing = self._playing = Play(player, on_end)
        self._conversation.arrange()

    def hush(self) -> None:
        """Break off what is played, also what has been sent ahead."""
        self._playing = None
        if self._line is not None:
            self._line.clear()

    def stay(self) -> None:
        """They talk to somebody after all, whatever they were to get instead."""
        self.wants = None
        self._stop_message_timer()
        self.hush()

    def call_back(self) -> None:
        """Note that they want to be called, and say goodbye."""
        self.wants = "callback"
        self._conversation.board.give_up_waiting(self._conversation, "callback")
        self.hush()
        self.say("callback_confirmed", then=lambda: self._end_when_heard("callback_confirmed", "callback"))

    def take_message(self) -> None:
        """Let them leave a message; the call's recording holds it. Without one, they are called back."""
        handle = self._conversation.handle
        if handle.recording_state == "off":
            self.call_back()
            return
        handle.record(None, on=True)
        self.wants = "voicemail"
        self._conversation.board.give_up_waiting(self._conversation, "voicemail")
        self.hush()
        self.say("voicemail", "beep")
        self._message_timer = asyncio.get_running_loop().call_later(MESSAGE_S, self._thank)

    def turn_away(self) -> None:
        """Say that nobody can answer, and end the call."""
        self._conversation.board.give_up_waiting(self._conversation, None)
        self.hush()
        self.say("nobody", then=lambda: self._end_when_heard("nobody", "nobody answered"))

    def _thank(self) -> None:
        self._stop_message_timer()
        self.hush()
        self.say("voicemail_saved", then=lambda: self._end_when_heard("voicemail_saved", "voicemail"))

    def _end_when_heard(self, name: str, reason: str) -> None:
        """End the call once the line has played this, or has had the time to."""
        self._ending = name, reason
        self._end_timer = asyncio.get_running_loop().call_later(HEARD_WITHIN_S, self._conversation.end, reason)

    def hang_up(self, reason: str) -> None:
        """End the line, unless it is broken."""
        if self._line is not None:
            self._line.hang_up(reason)

    def gone(self) -> None:
        """The call is over; what was to follow on a prompt no longer does."""
        self._playing = None
        self._stop_message_timer()
        if self._end_timer is not None:
            self._end_timer.cancel()

    def _stop_message_timer(self) -> None:
        if self._message_timer is not None:
            self._message_timer.cancel()
            self._message_timer = None
