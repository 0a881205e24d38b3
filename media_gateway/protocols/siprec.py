"""SIPREC on the wire: what a recording client says about the call that it records.

Sources: RFC 7866 (the protocol), RFC 7865 (the metadata), RFC 9806 (the media type's `+xml`). No I/O and no clock.

What the wire really does: the namespace ends in `:1`, or not, or has a prefix, or is another one; drafts wrote `id`
for `participant_id` and put `<send>` into `<participant>`; times lack their zone. So only local names count, in any
case, and an unknown element is passed over. What the documents add up to: `siprec_call`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote

from media_gateway.protocols.multipart import MultipartError, Part, split_body
from media_gateway.protocols.xml_tree import Node, XmlError, parse_xml

OPTION_TAG: Final = "siprec"
CLIENT_FEATURE: Final = "+sip.src"
SERVER_FEATURE: Final = "+sip.srs"
METADATA_TYPES: Final = frozenset({"application/rs-metadata", "application/rs-metadata+xml"})
SNAPSHOT_REQUEST_TYPE: Final = "application/rs-metadata-request"
DISPOSITION: Final = "recording-session"
SNAPSHOT_REQUEST: Final = (
    b'<?xml version="1.0" encoding="UTF-8"?>\r\n'
    b'<requestsnapshot xmlns="urn:ietf:params:xml:ns:recording:1">\r\n'
    b'<requestreason xml:lang="en">metadata incomplete</requestreason>\r\n'
    b"</requestsnapshot>\r\n"
)
"""Asks a client for its complete metadata (RFC 7866, "Metadata")."""

MAX_METADATA_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 32
MAX_ELEMENTS: Final = 5_000
MAX_NAME_CHARS: Final = 120
MAX_ID_CHARS: Final = 255

_SDP: Final = "application/sdp"
_ROOTS: Final = frozenset({"recording", "recording_metadata"})
_NAME_PARAMETERS: Final = re.compile(r";\s*\w+=.*", re.DOTALL)
_SCHEME: Final = re.compile(r"^(sips?|tel):", re.IGNORECASE)
_NUMBER: Final = re.compile(r"\+?[0-9*#.()-]+")


class MetadataError(ValueError):
    """The metadata cannot be read. `str(error)` is one short sentence without anything that the peer sent."""


class BodyError(ValueError):
    """The request's body cannot be used: answer 400 with `str(error)` as the reason."""


@dataclass(frozen=True, slots=True)
class Session:
    """A communication session: the call that is recorded (RFC 7865, section 6.3)."""

    id: str
    sip_session_id: str | None = None
    """What its SIP elements know the call by: a Session-ID (RFC 7989), or with some clients a Call-ID."""
    group_id: str | None = None
    started_at: datetime | None = None
    stopped_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody in a communication session (RFC 7865, section 6.5)."""

    id: str
    aor: str | None = None
    """Their address: sip:9000@example.com, tel:+4930123456."""
    name: str | None = None
    calling: bool | None = None
    """Whether they placed the call, where the client says so (Acme Packet's extension data)."""

    @property
    def user(self) -> str | None:
        """The address without scheme, host and parameters: a number or a name."""
        return address_user(self.aor)

    @property
    def host(self) -> str | None:
        """The address's host in lower case, without a port; None for a tel: address."""
        return address_host(self.aor)


@dataclass(frozen=True, slots=True)
class MediaStream:
    """A stream of the recording session and its label, the a=label of an m-line (RFC 7865, section 6.7)."""

    id: str
    label: str | None = None
    session_id: str | None = None
    mixed: bool = False
    """Whether the client says that several people are mixed on it."""


@dataclass(frozen=True, slots=True)
class Link:
    """Which streams a participant is heard on, and hears (participantstreamassoc, RFC 7865, section 6.8)."""

    participant_id: str
    sends: tuple[str, ...] = ()
    """Stream ids."""
    receives: tuple[str, ...] = ()
    over: bool = False
    """No longer: it has a disassociate-time."""


@dataclass(frozen=True, slots=True)
class Presence:
    """A participant's time in a session (participantsessionassoc, RFC 7865, section 6.6)."""

    participant_id: str
    session_id: str | None = None
    joined_at: datetime | None = None
    left_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Metadata:
    """One document, as it was written."""

    complete: bool = True
    """All there is; else only what has changed."""
    groups: tuple[str, ...] = ()
    """Ids."""
    sessions: tuple[Session, ...] = ()
    participants: tuple[Participant, ...] = ()
    streams: tuple[MediaStream, ...] = ()
    links: tuple[Link, ...] = ()
    presences: tuple[Presence, ...] = ()


@dataclass(frozen=True, slots=True)
class Offer:
    """The body of a recording client's request."""

    sdp: bytes | None
    metadata: Metadata | None
    problem: str | None = None
    """Why metadata that is there is of no use."""


def read_offer(content_type: str, body: bytes) -> Offer:
    """Take a request's body apart. Metadata that cannot be read leaves the media as good as it is.

    Raises:
        BodyError: the body itself is broken, or has two session descriptions.
    """
    if not body.strip():
        return Offer(None, None)
    try:
        parts = split_body(content_type, body)
    except MultipartError as error:
        raise BodyError(str(error)) from None
    descriptions = [part.content for part in parts if part.media_type == _SDP]
    if len(descriptions) > 1:
        raise BodyError("two session descriptions")
    sdp = descriptions[0] if descriptions else None
    about = next((part for part in parts if is_metadata(part)), None)
    if about is None:
        return Offer(sdp, None)
    try:
        return Offer(sdp, parse_metadata(about.content))
    except MetadataError as error:
        return Offer(sdp, None, str(error))


def is_metadata(part: Part) -> bool:
    """Return whether a part is recording metadata, by its type or, where that is wrong, by its disposition."""
    if part.media_type in METADATA_TYPES:
        return True
    return part.disposition == DISPOSITION and part.media_type not in {_SDP, SNAPSHOT_REQUEST_TYPE}


def parse_metadata(document: bytes) -> Metadata:
    """Read a metadata document.

    Raises:
        MetadataError: it is no XML, has a DTD, is too large, or is something else.
    """
    try:
        root = parse_xml(document, max_bytes=MAX_METADATA_BYTES, max_depth=MAX_DEPTH, max_elements=MAX_ELEMENTS)
    except XmlError as error:
        raise MetadataError(str(error)) from None
    if root.name not in _ROOTS:
        raise MetadataError("the document is no recording metadata")
    groups: list[str] = []
    sessions: list[Session] = []
    participants: list[Participant] = []
    streams: list[MediaStream] = []
    links: list[Link] = []
    presences: list[Presence] = []
    for node, session_id in _objects(root, None):
        key = _own_id(node)
        of = _reference(node, "participant")
        if node.name == "group" and key:
            groups.append(key)
        elif node.name == "session" and key:
            sessions.append(_session(key, node))
        elif node.name == "participant" and key:
            participants.append(_participant(key, node))
            if node.has("send") or node.has("recv"):  # as drafts of RFC 7865 had it
                links.append(Link(key, _ids(node, "send"), _ids(node, "recv")))
        elif node.name == "stream" and (key or node.value("label")):
            label = _id(node.value("label"))
            mixed = (node.value("mode") or "").lower() == "mixed"
            streams.append(MediaStream(key or label or "", label, _reference(node, "session") or session_id, mixed))
        elif node.name == "participantstreamassoc" and of:
            links.append(Link(of, _ids(node, "send"), _ids(node, "recv"), over=node.has("disassociate-time")))
        elif node.name == "participantsessionassoc" and of:
            joined_at, left_at = _time(node, "associate-time"), _time(node, "disassociate-time")
            presences.append(Presence(of, _reference(node, "session"), joined_at, left_at))
    return Metadata(
        complete=(root.value("datamode") or "complete").lower() != "partial",
        groups=tuple(groups),
        sessions=tuple(sessions),
        participants=tuple(participants),
        streams=tuple(streams),
        links=tuple(links),
        presences=tuple(presences),
    )


def _objects(parent: Node, session_id: str | None) -> Iterator[tuple[Node, str | None]]:
    """Yield the objects of a document, each with the session that it stands in: some clients nest them."""
    for node in parent.children:
        yield node, session_id
        if node.name in {"group", "session"}:
            yield from _objects(node, _own_id(node) if node.name == "session" else session_id)


def _session(key: str, node: Node) -> Session:
    return Session(
        key,
        sip_session_id=_id(node.value("sipsessionid")),
        group_id=_id(node.value("group-ref")),
        started_at=_time(node, "start-time") or _time(node, "associate-time"),
        stopped_at=_time(node, "stop-time"),
    )


def _participant(key: str, node: Node) -> Participant:
    aor, name, calling = None, node.attributes.get("name"), None
    for child in node.descend():
        if child.name == "nameid":
            aor = aor or child.attributes.get("aor")
        elif child.name == "aor":
            aor = aor or child.text
        elif child.name == "name":
            name = name or child.text
        elif child.name == "callingparty":
            calling = {"true": True, "false": False}.get(child.text.lower(), calling)
    return Participant(key, _id(aor), display_name(name), calling)


def _own_id(node: Node) -> str | None:
    """Return an object's id: `participant_id` in RFC 7865, `id` in its drafts."""
    attributes = node.attributes
    return _id(attributes.get(f"{node.name}_id") or attributes.get("id") or attributes.get(f"{node.name}id"))


def _reference(node: Node, kind: str) -> str | None:
    return _id(node.attributes.get(f"{kind}_id") or node.attributes.get(kind) or node.attributes.get(f"{kind}id"))


def _ids(node: Node, name: str) -> tuple[str, ...]:
    return tuple(key for text in node.values(name) if (key := _id(text)))


def _id(text: str | None) -> str | None:
    """Return a name as the peer wrote it, if it can be one: ids are base64, uuid: URNs, or plain words."""
    text = (text or "").strip()
    return text if text and len(text) <= MAX_ID_CHARS and text.isprintable() else None


def _time(node: Node, name: str) -> datetime | None:
    """Return a time (RFC 3339); one without a zone is taken to be UTC, one that is none to be missing."""
    try:
        at = datetime.fromisoformat(node.value(name) or "")
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def display_name(text: str | None) -> str | None:
    """Return a name as a screen may show it: one printable line, without a client's `;lang=...;id=...`."""
    printable = "".join(char if char.isprintable() else " " for char in _NAME_PARAMETERS.sub("", text or ""))
    return " ".join(printable.split())[:MAX_NAME_CHARS].strip() or None


def address_user(aor: str | None) -> str | None:
    """Return the user of a sip:, sips: or tel: address, or of one without a scheme; None if it has none."""
    aor = (aor or "").strip()
    user, at, _ = _SCHEME.sub("", aor).rpartition("@")
    if not at:
        user = _SCHEME.sub("", aor).partition(";")[0]
        if not aor.lower().startswith("tel:") and not _NUMBER.fullmatch(user):
            return None  # a host alone
    return display_name(unquote(user.partition(";")[0].partition(":")[0]))


def address_host(aor: str | None) -> str | None:
    """Return the host of a sip: or sips: address in lower case, without port and parameters; None if it has none."""
    _, at, rest = (aor or "").rpartition("@")
    host = re.split(r"[;?>]", rest, maxsplit=1)[0].strip().lower()
    if not at:
        return None
    return (host.partition("]")[0][1:] if host.startswith("[") else host.partition(":")[0]) or None
