"""The one table of the API's operations: the router and /api/openapi.json are both made from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from dashboard import export, views
from dashboard.api import CALLS_MOST, CALLS_PAGE, SEGMENTS_MOST, SEGMENTS_PAGE, STATUSES, ActionItemChange
from dashboard.api_imports import IMPORTS_MOST, IMPORTS_PAGE, PIECE_TYPE, ImportFields
from dashboard.api_queues import CALLBACKS_MOST, CALLBACKS_PAGE, CallbackChange, QueueFields
from dashboard.api_speakers import SpeakerChange
from dashboard.api_vocabulary import NewPhrases
from dashboard.params import TEXT_MAX_CHARS
from infra.shelf import MEDIA_TYPES
from infra.store.callbacks import CALLBACK_STATUSES

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an operation."""

    name: str
    where: Literal["path", "query"]
    schema: Schema
    description: str
    example: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that the API does. `id` is the name of the method that does it."""

    id: str
    method: str
    path: str
    tag: str
    summary: str
    answer: Any = None
    """The type of the answer's JSON; None when it has none."""
    status: int = 200
    also: tuple[int, ...] = ()
    """Other good answers, of the same type."""
    media_types: tuple[str, ...] = ("application/json",)
    parameters: tuple[Parameter, ...] = ()
    body: Any = None
    body_media_type: str = "application/json"
    """A body that is not JSON has no type of its own: `body` is bytes then."""
    refusals: tuple[int, ...] = ()


_CALL_ID: Final = Parameter(
    "call_id", "path", {"type": "string"}, "the call's id (UUID), or its external id such as a CallSid", "CA0123"
)
_AFTER: Final = Parameter("after", "query", {"type": "string"}, "the `next` of the page before", "")
_FROM: Final = Parameter(
    "from",
    "query",
    {"type": "string", "format": "date-time"},
    "calls that began at or after this moment",
    "2026-01-31T09:00:00Z",
)
_TO: Final = Parameter(
    "to", "query", {"type": "string", "format": "date-time"}, "calls that began before this moment", "2026-02-01"
)


_QUEUE_ID: Final = Parameter(
    "queue_id", "path", {"type": "string", "format": "uuid"}, "the queue's id", "737f5f15-feec-571f-a85b-c80e9f1b98e8"
)


_IMPORT_ID: Final = Parameter(
    "import_id", "path", {"type": "string", "format": "uuid"}, "the import's id", "0d1c2b3a-4f5e-5a6b-8c7d-9e0f1a2b3c4d"
)


def _limit(default: int, most: int) -> Parameter:
    return Parameter(
        "limit",
        "query",
        {"type": "integer", "minimum": 1, "default": default},
        f"items on one page; more than {most} gives {most}",
        str(default),
    )


OPERATIONS: Final = (
    Operation("me", "GET", "/api/v1/me", "session", "Who asks", views.Me),
    Operation("leave", "POST", "/api/v1/logout", "session", "End the session and close its sockets", status=204),
    Operation(
        "list_calls",
        "GET",
        "/api/v1/calls",
        "calls",
        "Calls, live ones first, then the newest",
        views.CallPage,
        parameters=(
            Parameter("status", "query", {"type": "string", "enum": list(STATUSES)}, "live or ended", "live"),
            Parameter("external_id", "query", {"type": "string"}, "the peer's own id of the call", "CA0123"),
            Parameter(
                "q",
                "query",
                {"type": "string", "maxLength": TEXT_MAX_CHARS},
                "words in the transcript, the summary, the title, the numbers or the external id",
                "refund",
            ),
            _FROM,
            _TO,
            _limit(CALLS_PAGE, CALLS_MOST),
            _AFTER,
        ),
        refusals=(400,),
    ),
    Operation(
        "get_call",
        "GET",
        "/api/v1/calls/{call_id}",
        "calls",
        "A call with all that is known of it, and the cursor from which its events go on",
        views.Snapshot,
        parameters=(_CALL_ID,),
        refusals=(400, 404),
    ),
    Operation(
        "get_transcript",
        "GET",
        "/api/v1/calls/{call_id}/transcript",
        "calls",
        "What was said, by time",
        views.Page[views.SegmentView],
        parameters=(_CALL_ID, _limit(SEGMENTS_PAGE, SEGMENTS_MOST), _AFTER),
        refusals=(400, 404),
    ),
    Operation(
        "get_insights",
        "GET",
        "/api/v1/calls/{call_id}/insights",
        "calls",
        "What it meant",
        views.Page[views.InsightView],
        parameters=(_CALL_ID,),
        refusals=(400, 404),
    ),
    Operation(
        "export_call",
        "GET",
        "/api/v1/calls/{call_id}/export",
        "calls",
        "The call as a file",
        media_types=tuple(form.media_type.partition(";")[0] for form in export.FORMATS.values()),
        parameters=(
            _CALL_ID,
            Parameter(
                "format",
                "query",
                {"type": "string", "enum": list(export.FORMATS), "default": "json"},
                "the kind of file",
                "srt",
            ),
        ),
        refusals=(400, 404),
    ),
    Operation(
        "get_recording",
        "GET",
        "/api/v1/calls/{call_id}/recording",
        "calls",
        "What was recorded: the customer on the left, all others on the right. Takes `Range`, also `HEAD`",
        media_types=tuple(kind.partition(";")[0] for kind in MEDIA_TYPES.values()),
        parameters=(
            _CALL_ID,
            Parameter(
                "download",
                "query",
                {"type": "string", "enum": ["0", "1"], "default": "0"},
                "1: to be kept as a file",
                "1",
            ),
        ),
        refusals=(400, 404, 409, 416),
    ),
    Operation(
        "get_recording_peaks",
        "GET",
        "/api/v1/calls/{call_id}/recording/peaks",
        "calls",
        "What the recording looks like",
        views.Peaks,
        parameters=(_CALL_ID,),
        refusals=(400, 404, 409),
    ),
    Operation(
        "pause_recording",
        "POST",
        "/api/v1/calls/{call_id}/recording/pause",
        "calls",
        "Keep nothing of a live call from now on: silence in its place",
        views.RecordingChange,
        parameters=(_CALL_ID,),
        refusals=(400, 404, 409),
    ),
    Operation(
        "resume_recording",
        "POST",
        "/api/v1/calls/{call_id}/recording/resume",
        "calls",
        "Record a live call again",
        views.RecordingChange,
        parameters=(_CALL_ID,),
        refusals=(400, 404, 409),
    ),
    Operation(
        "change_speaker",
        "PATCH",
        "/api/v1/calls/{call_id}/speakers/{speaker}",
        "calls",
        "Say who somebody is, on a track of their own or a shared one; that stands, whatever is guessed later",
        views.SpeakerView,
        parameters=(
            _CALL_ID,
            Parameter("speaker", "path", {"type": "string"}, "as the call's snapshot names it", "SPEAKER_00"),
        ),
        body=SpeakerChange,
        refusals=(400, 404, 409, 413, 415),
    ),
    Operation(
        "change_action_item",
        "PATCH",
        "/api/v1/action-items/{insight_id}",
        "calls",
        "Mark an action item as open, done or dismissed; the change stays, whatever a later analysis says",
        views.InsightView,
        parameters=(
            Parameter(
                "insight_id",
                "path",
                {"type": "string", "format": "uuid"},
                "the insight's id",
                "6f0b8a52-6c0f-5a3e-9d52-0d5b7c1a2e3f",
            ),
        ),
        body=ActionItemChange,
        refusals=(400, 404, 413, 415),
    ),
    Operation("get_live", "GET", "/api/v1/live", "boards", "The wallboard: live calls and a few figures", views.Board),
    Operation("list_agents", "GET", "/api/v1/agents", "boards", "Who may come in", views.Page[views.Agent]),
    Operation(
        "get_analytics",
        "GET",
        "/api/v1/analytics",
        "boards",
        "Figures of the calls that began in a span of time",
        views.Analytics,
        parameters=(_FROM, _TO),
        refusals=(400,),
    ),
    Operation("get_system", "GET", "/api/v1/system", "boards", "What runs, and what is away", views.System),
    Operation(
        "list_queues", "GET", "/api/v1/queues", "queues", "Queues, the default one first", views.Page[views.QueueView]
    ),
    Operation(
        "add_queue",
        "POST",
        "/api/v1/queues",
        "queues",
        "Add a queue",
        views.QueueView,
        status=201,
        body=QueueFields,
        refusals=(400, 409, 413, 415),
    ),
    Operation(
        "change_queue",
        "PUT",
        "/api/v1/queues/{queue_id}",
        "queues",
        "Say anew how a queue meets its calls; what is left out is as on a new queue",
        views.QueueView,
        parameters=(_QUEUE_ID,),
        body=QueueFields,
        refusals=(400, 404, 409, 413, 415),
    ),
    Operation(
        "delete_queue",
        "DELETE",
        "/api/v1/queues/{queue_id}",
        "queues",
        "Remove a queue; its numbers fall to the default one, which stays",
        status=204,
        parameters=(_QUEUE_ID,),
        refusals=(400, 404, 409),
    ),
    Operation(
        "list_vocabulary",
        "GET",
        "/api/v1/vocabulary",
        "vocabulary",
        "Phrases that recognisers listen for, by phrase; agents' and queues' names take part by themselves",
        views.Page[views.PhraseView],
        parameters=(
            Parameter(
                "queue_id",
                "query",
                {"type": "string", "format": "uuid"},
                "only what was added for this queue",
                "737f5f15-feec-571f-a85b-c80e9f1b98e8",
            ),
        ),
        refusals=(400,),
    ),
    Operation(
        "add_vocabulary",
        "POST",
        "/api/v1/vocabulary",
        "vocabulary",
        "Add phrases, all or none; calls that run hear of them within seconds",
        views.Page[views.PhraseView],
        status=201,
        body=NewPhrases,
        refusals=(400, 409, 413, 415),
    ),
    Operation(
        "delete_vocabulary",
        "DELETE",
        "/api/v1/vocabulary/{phrase_id}",
        "vocabulary",
        "Remove a phrase",
        status=204,
        parameters=(
            Parameter(
                "phrase_id",
                "path",
                {"type": "string", "format": "uuid"},
                "the phrase's id",
                "0d1c2b3a-4f5e-5a6b-8c7d-9e0f1a2b3c4d",
            ),
        ),
        refusals=(400, 404),
    ),
    Operation(
        "list_imports",
        "GET",
        "/api/v1/imports",
        "imports",
        "Recordings that are or were brought in, the newest first",
        views.ImportPage,
        parameters=(_limit(IMPORTS_PAGE, IMPORTS_MOST), _AFTER),
        refusals=(400,),
    ),
    Operation(
        "add_import",
        "POST",
        "/api/v1/imports",
        "imports",
        "Announce a recording that is to be sent. 200 when the same file is known already: then go on where it stands",
        views.ImportView,
        status=201,
        also=(200,),
        body=ImportFields,
        refusals=(400, 409, 413, 415, 507),
    ),
    Operation(
        "get_import",
        "GET",
        "/api/v1/imports/{import_id}",
        "imports",
        "How far a recording has come",
        views.ImportView,
        parameters=(_IMPORT_ID,),
        refusals=(400, 404),
    ),
    Operation(
        "put_import_content",
        "PUT",
        "/api/v1/imports/{import_id}/content",
        "imports",
        "Send the next piece of the file, at most 1 MiB; with the last one its import begins",
        views.ImportView,
        parameters=(
            _IMPORT_ID,
            Parameter(
                "offset",
                "query",
                {"type": "integer", "minimum": 0},
                "where the piece begins: the import's `received_bytes`. Elsewhere is answered 409, with that number",
                "0",
            ),
        ),
        body=bytes,
        body_media_type=PIECE_TYPE,
        refusals=(400, 404, 409, 413, 415, 507),
    ),
    Operation(
        "cancel_import",
        "POST",
        "/api/v1/imports/{import_id}/cancel",
        "imports",
        "Stop an import; what is transcribed by then stays as a call",
        views.ImportView,
        parameters=(_IMPORT_ID,),
        refusals=(400, 404),
    ),
    Operation(
        "list_callbacks",
        "GET",
        "/api/v1/callbacks",
        "queues",
        "Callers who wait to hear from us, the newest first",
        views.Page[views.CallbackView],
        parameters=(
            Parameter(
                "status",
                "query",
                {"type": "string", "enum": list(CALLBACK_STATUSES)},
                "open, done or dismissed",
                "open",
            ),
            _limit(CALLBACKS_PAGE, CALLBACKS_MOST),
            _AFTER,
        ),
        refusals=(400,),
    ),
    Operation(
        "change_callback",
        "PATCH",
        "/api/v1/callbacks/{callback_id}",
        "queues",
        "Say what became of a callback",
        views.CallbackView,
        parameters=(
            Parameter(
                "callback_id",
                "path",
                {"type": "string", "format": "uuid"},
                "the callback's id",
                "0d1c2b3a-4f5e-5a6b-8c7d-9e0f1a2b3c4d",
            ),
        ),
        body=CallbackChange,
        refusals=(400, 404, 413, 415),
    ),
    Operation(
        "twilio_token",
        "POST",
        "/api/v1/twilio/token",
        "queues",
        "A token for Twilio's Voice SDK, with which the one who asks can be rung as a `<Client>`",
        views.VoiceToken,
        refusals=(409,),
    ),
    Operation("openapi_json", "GET", "/api/openapi.json", "about", "This description", dict[str, Any]),
    Operation("page", "GET", "/api/docs", "about", "This description as a page", media_types=("text/html",)),
    Operation("style", "GET", "/api/docs.css", "about", "The page's style", media_types=("text/css",)),
)
