"""Small XML documents from strangers, as trees of local names. No I/O.

A DTD is refused before anything in it is read, so there are no entities to expand or to fetch; size, depth and the
number of elements are bounded. Names are compared without their namespaces and in lower case: what a document is
for says its media type, and the namespaces that peers write are not to be relied on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn
from xml.parsers import expat


class XmlError(ValueError):
    """The document cannot be read. `str(error)` is one short sentence without anything that the peer sent."""


@dataclass(slots=True)
class Node:
    """An element."""

    name: str
    """Local and in lower case, as the attributes' names are."""
    attributes: dict[str, str]
    children: list[Node] = field(default_factory=list)
    text: str = ""
    """All character data that stands directly in it, stripped."""

    def descend(self) -> Iterator[Node]:
        """Yield all elements below, in the document's order."""
        for child in self.children:
            yield child
            yield from child.descend()

    def value(self, name: str) -> str | None:
        """Return what a child element or, without one, an attribute of that name says; None where there is nothing."""
        for child in self.children:
            if child.name == name:
                return child.text or None
        return self.attributes.get(name, "").strip() or None

    def has(self, name: str) -> bool:
        """Return whether there is a child of that name, empty or not."""
        return any(child.name == name for child in self.children)

    def values(self, name: str) -> tuple[str, ...]:
        """Return what all child elements of that name say, without the empty ones."""
        return tuple(child.text for child in self.children if child.name == name and child.text)


def parse_xml(document: bytes, *, max_bytes: int, max_depth: int, max_elements: int) -> Node:
    """Return the root element.

    Raises:
        XmlError: no well-formed XML, a DTD, or more of something than is allowed.
    """
    document = document.strip(b" \t\r\n\0")
    if len(document) > max_bytes:
        raise XmlError("the document is too large")
    builder = _Builder(max_depth, max_elements)
    parser = expat.ParserCreate()  # without namespaces: a prefix that is not declared does no harm
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.characters
    parser.StartDoctypeDeclHandler = _doctype
    try:
        parser.Parse(document, True)
    except XmlError:
        raise
    except (expat.ExpatError, LookupError, ValueError):  # the last two: encodings that nobody knows
        raise XmlError("no well-formed XML") from None
    if builder.root is None:
        raise XmlError("no well-formed XML")
    return builder.root


class _Builder:
    def __init__(self, max_depth: int, max_elements: int) -> None:
        self.root: Node | None = None
        self._open: list[Node] = []
        self._texts: list[list[str]] = []
        self._max_depth = max_depth
        self._room = max_elements

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._room -= 1
        if self._room < 0:
            raise XmlError("the document has too many elements")
        if len(self._open) == self._max_depth:
            raise XmlError("the document is too deep")
        node = Node(_local(name), {_local(key): value for key, value in attributes.items()})
        if self._open:
            self._open[-1].children.append(node)
        else:
            self.root = node
        self._open.append(node)
        self._texts.append([])

    def end(self, _name: str) -> None:
        self._open.pop().text = "".join(self._texts.pop()).strip()

    def characters(self, text: str) -> None:
        self._texts[-1].append(text)


def _local(name: str) -> str:
    return name.rpartition(":")[2].lower()


def _doctype(*_: object) -> NoReturn:
    raise XmlError("the document has a DTD")
