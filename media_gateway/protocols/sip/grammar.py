"""The parts that SIP messages are made of: URIs, addresses, parameters (RFC 3261, section 25)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import unquote

Parameters = tuple[tuple[str, str | None], ...]
"""Names in lower case and values in their order; quoted values without their quotes. None: a name alone."""

TOKEN: Final = r"[A-Za-z0-9\-.!%*_+`'~]+"  # noqa: S105  what the grammar calls a token
QUOTED: Final = r'"(?:[^"\\]|\\.)*+"'

_PARAMETER: Final = re.compile(rf'[ \t]*;[ \t]*({TOKEN})[ \t]*(?:=[ \t]*({QUOTED}|[^\s;,"?<>=]+)[ \t]*)?', re.DOTALL)
_URI_PARAMETER: Final = re.compile(r"[^;=?@\s<>\"]+(?:=[^;=?@\s<>\"]*)?")
_LIST_ITEM: Final = re.compile(rf'(?:[^",<]|{QUOTED}|<[^<>]*+>)*+', re.DOTALL)
_NAME_ADDRESS: Final = re.compile(rf"((?:[^<>\"]|{QUOTED})*+)<([^<>]*+)>", re.DOTALL)
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+\-.]*):")
_USER: Final = re.compile(r"(?:[A-Za-z0-9\-_.!~*'()&=+$,;?/#\[\]^`{}|]|%[0-9A-Fa-f]{2})+")
_HOST_PORT: Final = re.compile(
    r"(\[[0-9A-Fa-f:.]+(?:%[^\]\s]+)?\]|[A-Za-z0-9_][A-Za-z0-9_.\-]*)(?:[ \t]*:[ \t]*(\d{1,5}))?"
)
_VIA: Final = re.compile(rf"SIP[ \t]*/[ \t]*2\.0[ \t]*/[ \t]*({TOKEN})[ \t]+", re.IGNORECASE)
_TELEPHONE: Final = re.compile(r"\+?[0-9A-Fa-f*#\-.()]+")


class SipError(Exception):
    """A message that cannot be taken; `status` and `reason` are what a request of this kind is answered with."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason


def bad(what: str) -> SipError:
    """Return the error that says which part is malformed."""
    return SipError(400, f"Bad {what}")


def split_list(value: str) -> list[str]:
    """Return the parts between commas that are in neither quotes nor angle brackets.

    Raises:
        SipError: a part is empty, or quotes or brackets stay open.
    """
    if '"' not in value and "<" not in value:
        parts = value.split(",")
    else:
        parts, at = [], 0
        while True:
            found = _LIST_ITEM.match(value, at)
            at = found.end() if found else at
            parts.append(found.group() if found else "")
            if at >= len(value):
                break
            if value[at] != ",":
                raise bad("quotes or brackets")
            at += 1
    stripped = [part.strip() for part in parts]
    if not all(stripped):
        raise bad("list")
    return stripped


def parse_parameters(text: str) -> Parameters:
    """Return what `;name=value;name` says.

    Raises:
        SipError: it is anything else.
    """
    found, at = [], 0
    while at < len(text):
        matched = _PARAMETER.match(text, at)
        if matched is None:
            if text[at:].strip():
                raise bad("parameters")
            break
        name, value = matched.groups()
        found.append((name.lower(), unquoted(value) if value and value[0] == '"' else value))
        at = matched.end()
    return tuple(found)


def unquoted(text: str) -> str:
    """Return a quoted string's text."""
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)


def quoted(text: str) -> str:
    """Return `text` as a quoted string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def parameters_text(parameters: Parameters) -> str:
    """Return parameters as they stand on the wire."""
    out = []
    for name, value in parameters:
        if value is None:
            out.append(f";{name}")
        else:
            out.append(f";{name}={value if _bare(value) else quoted(value)}")
    return "".join(out)


def _bare(value: str) -> bool:
    return re.fullmatch(r'[^\s;,"?<>=]+', value) is not None and value.isascii()


def parameter(parameters: Parameters, name: str) -> str | None:
    """Return a parameter's value, "" for a name alone, None where it is missing."""
    for key, value in parameters:
        if key == name:
            return "" if value is None else value
    return None


def host_text(host: str) -> str:
    """Return a host as URIs and Vias write it: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


@dataclass(frozen=True, slots=True)
class Uri:
    """A SIP, SIPS or tel URI; of every other scheme only `scheme` and `rest` are known (RFC 3261, 19.1; RFC 3966)."""

    scheme: str
    """In lower case."""
    user: str = ""
    """As on the wire, with its escapes; a tel URI's number."""
    host: str = ""
    """IPv6 without brackets; empty in a tel URI."""
    port: int | None = None
    parameters: Parameters = ()
    password: str | None = None
    headers: str = ""
    """What follows the question mark."""
    rest: str = ""
    """Of a scheme that is not ours: all behind the colon."""

    @property
    def name(self) -> str:
        """The user in plain text: the number or the name that is called."""
        return unquote(self.user)

    @property
    def number(self) -> str:
        """The user without the parameters that numbers may carry (`+1555;phone-context=...`)."""
        return self.name.partition(";")[0]

    def parameter(self, name: str) -> str | None:
        """Return a parameter's value, "" for a name alone, None where it is missing."""
        return parameter(self.parameters, name)

    def __str__(self) -> str:
        if self.rest:
            return f"{self.scheme}:{self.rest}"
        out = [self.scheme, ":", self.user]
        if self.scheme != "tel":
            if self.password is not None:
                out += [":", self.password]
            if self.user:
                out.append("@")
            out.append(host_text(self.host))
            if self.port is not None:
                out.append(f":{self.port}")
        out += [f";{name}" if value is None else f";{name}={value}" for name, value in self.parameters]
        if self.headers:
            out += ["?", self.headers]
        return "".join(out)


def parse_uri(text: str) -> Uri:
    """Read a URI.

    Raises:
        SipError: it is none.
    """
    found = _SCHEME.match(text)
    if found is None or re.search(r'[\s<>"\x00-\x1f\x7f]', text):
        raise bad("URI")
    scheme, rest = found[1].lower(), text[found.end() :]
    if scheme == "tel":
        number, _, parameters = rest.partition(";")
        if not _TELEPHONE.fullmatch(number):
            raise bad("telephone number")
        return Uri(scheme, user=number, parameters=_uri_parameters(parameters))
    if scheme not in {"sip", "sips"}:
        if not rest:
            raise bad("URI")
        return Uri(scheme, rest=rest)
    user, at, place = rest.rpartition("@")  # the only one: elsewhere it has to be escaped
    password: str | None = None
    if at:
        user, colon, word = user.partition(":")
        password = word if colon else None
        if not _USER.fullmatch(user) or (word and not _USER.fullmatch(word)):
            raise bad("user in a URI")
    place, _, headers = place.partition("?")
    place, _, parameters = place.partition(";")
    host, port = parse_host_port(place)
    return Uri(scheme, user, host, port, _uri_parameters(parameters), password, headers)


def _uri_parameters(text: str) -> Parameters:
    if not text:
        return ()
    found: list[tuple[str, str | None]] = []
    for part in text.split(";"):
        if not _URI_PARAMETER.fullmatch(part):
            raise bad("URI parameters")
        name, equals, value = part.partition("=")
        found.append((name.lower(), value if equals else None))
    return tuple(found)


def parse_host_port(text: str) -> tuple[str, int | None]:
    """Read `host`, `host:port` or `[IPv6]:port`.

    Raises:
        SipError: it is none of them.
    """
    found = _HOST_PORT.fullmatch(text)
    if found is None or (found[2] and int(found[2]) > 65_535):
        raise bad("host")
    host, port = found.groups()
    return host.strip("[]"), int(port) if port else None


@dataclass(frozen=True, slots=True)
class Address:
    """A From, To, Contact, Route or Record-Route value: a name, a URI, parameters of the header."""

    uri: Uri
    display: str = ""
    parameters: Parameters = ()

    @property
    def tag(self) -> str:
        """The tag by which one side knows the dialog; empty where there is none."""
        return parameter(self.parameters, "tag") or ""

    def with_tag(self, tag: str) -> Address:
        """Return the address with `tag`, in place of any that it had."""
        others = tuple(pair for pair in self.parameters if pair[0] != "tag")
        return replace(self, parameters=(*others, ("tag", tag)))

    def parameter(self, name: str) -> str | None:
        """Return a header parameter's value, "" for a name alone, None where it is missing."""
        return parameter(self.parameters, name)

    def __str__(self) -> str:
        shown = f"{quoted(self.display)} " if self.display else ""
        return f"{shown}<{self.uri}>{parameters_text(self.parameters)}"


def parse_address(value: str) -> Address:
    """Read one address, in angle brackets or bare.

    Spaces just inside the brackets are ignored (RFC 4475, section 3.1.2.14, allows it).

    Raises:
        SipError: it is none.
    """
    if "<" in value:
        found = _NAME_ADDRESS.match(value)
        if found is None:
            raise bad("address")
        display = found[1].strip()
        if display.startswith('"'):
            if not re.fullmatch(QUOTED, display, re.DOTALL):
                raise bad("display name")
            display = unquoted(display)
        elif '"' in display:
            raise bad("display name")
        return Address(parse_uri(found[2].strip()), " ".join(display.split()), parse_parameters(value[found.end() :]))
    uri, semicolon, parameters = value.partition(";")
    uri = uri.strip()
    if '"' in uri or "," in uri or "?" in uri:
        raise bad("address")  # ambiguous without brackets (RFC 3261, section 20)
    return Address(parse_uri(uri), "", parse_parameters(semicolon + parameters))


@dataclass(frozen=True, slots=True)
class Via:
    """One hop (RFC 3261, section 20.42)."""

    transport: str
    """In upper case."""
    host: str
    port: int | None = None
    parameters: Parameters = ()

    @property
    def branch(self) -> str:
        """The transaction's name."""
        return self.parameter("branch") or ""

    def parameter(self, name: str) -> str | None:
        """Return a parameter's value, "" for a name alone, None where it is missing."""
        return parameter(self.parameters, name)

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"SIP/2.0/{self.transport} {host_text(self.host)}{port}{parameters_text(self.parameters)}"


def parse_via(value: str) -> Via:
    """Read one Via.

    Raises:
        SipError: it is none.
    """
    found = _VIA.match(value)
    if found is None:
        raise bad("Via")
    place = _HOST_PORT.match(value, found.end())
    if place is None:
        raise bad("Via")
    host, port = parse_host_port(place.group())
    return Via(found[1].upper(), host, port, parse_parameters(value[place.end() :]))
