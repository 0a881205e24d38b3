"""What a page may ask of its user's phone: one JSON text message a command (docs/softphone.md)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec

from infra.model import PhoneStatus, SupervisionMode

MAX_ID_CHARS: Final = 100


class PhoneCommandError(ValueError):
    """A message that is no command; `str(error)` says why."""


class _Command(msgspec.Struct, frozen=True, tag_field="do"):
    id: Annotated[str, msgspec.Meta(max_length=MAX_ID_CHARS)] | None = None
    """Comes back with the answer."""


class _OfCall(_Command, frozen=True, kw_only=True):
    call_id: UUID


class SetStatus(_Command, frozen=True, kw_only=True, tag="status"):
    """Take calls, or not."""

    status: PhoneStatus


class Answer(_OfCall, frozen=True, tag="answer"):
    """Take the call that rings."""


class Reject(_OfCall, frozen=True, tag="reject"):
    """Leave it to somebody else."""


class HangUp(_OfCall, frozen=True, tag="hang_up"):
    """End the call, or leave it."""


class Hold(_OfCall, frozen=True, kw_only=True, tag="hold"):
    """Put the caller on hold, or back."""

    on: bool


class Mute(_OfCall, frozen=True, kw_only=True, tag="mute"):
    """Mute oneself, or no longer."""

    on: bool


class Digits(_OfCall, frozen=True, kw_only=True, tag="dtmf"):
    """Let the caller's line hear the tones of these keys."""

    digits: Annotated[str, msgspec.Meta(pattern=r"^[0-9A-D*#]{1,32}$")]


class Transfer(_OfCall, frozen=True, kw_only=True, tag="transfer"):
    """Pass the caller on: blind at once, attended after having spoken to the colleague."""

    to: UUID
    kind: Literal["blind", "attended"]


class CompleteTransfer(_OfCall, frozen=True, tag="complete_transfer"):
    """Leave the caller to the colleague."""


class CancelTransfer(_OfCall, frozen=True, tag="cancel_transfer"):
    """Go back to the caller."""


class Supervise(_OfCall, frozen=True, kw_only=True, tag="supervise"):
    """Listen in, or change how."""

    mode: SupervisionMode = "listen"


class TakeOver(_OfCall, frozen=True, tag="take_over"):
    """Take the agent's place."""


class Leave(_OfCall, frozen=True, tag="leave"):
    """Listen no longer."""


class RecordCall(_OfCall, frozen=True, kw_only=True, tag="recording"):
    """Go on recording, or pause."""

    on: bool


class Here(_OfCall, frozen=True, tag="here"):
    """Let this page carry the audio."""


Command = (
    SetStatus
    | Answer
    | Reject
    | HangUp
    | Hold
    | Mute
    | Digits
    | Transfer
    | CompleteTransfer
    | CancelTransfer
    | Supervise
    | TakeOver
    | Leave
    | RecordCall
    | Here
)
_decoder: Final[msgspec.json.Decoder[Command]] = msgspec.json.Decoder(Command)


def read_command(text: str | bytes) -> Command:
    """Return the command of a message.

    Raises:
        PhoneCommandError: it is none.
    """
    try:
        return _decoder.decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise PhoneCommandError(str(error)) from None


def state_message(phone: object) -> str:
    """Return the message that shows a phone's state."""
    return msgspec.json.encode({"type": "phone", "phone": phone}).decode()


def heartbeat_message(at: datetime) -> str:
    """Return the message that says that the server is there, and what time it is here."""
    return msgspec.json.encode({"type": "heartbeat", "at": at}).decode()


def done_message(command_id: str) -> str:
    """Return the message that says that a command was carried out."""
    return msgspec.json.encode({"type": "done", "id": command_id}).decode()


def refused_message(command_id: str | None, detail: str) -> str:
    """Return the message that says why a command was not carried out, or what happened without one."""
    return msgspec.json.encode({"type": "refused", "id": command_id, "detail": detail}).decode()
