"""Lines of text as a PDF with the fonts that every reader has, which cover the western European alphabets."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Final

_WIDTH_PT: Final = 595  # A4
_HEIGHT_PT: Final = 842
_MARGIN_PT: Final = 50
_SIZE_PT: Final = 10
_LEADING_PT: Final = 13
_COLUMNS: Final = (_WIDTH_PT - 2 * _MARGIN_PT) * 10 // (6 * _SIZE_PT)  # a Courier letter is 0.6 of its size wide
_LINES: Final = (_HEIGHT_PT - 2 * _MARGIN_PT) // _LEADING_PT
_ENCODING: Final = "cp1252"


class NoGlyphError(ValueError):
    """The text has letters that the built-in fonts do not have."""


def to_pdf(lines: Iterable[str], title: str) -> bytes:
    """Return a PDF. Raises NoGlyphError when it could not show every letter."""
    wrapped = [part for line in lines for part in textwrap.wrap(line, _COLUMNS, subsequent_indent="    ") or [""]]
    pages = [wrapped[start : start + _LINES] for start in range(0, len(wrapped), _LINES)] or [[]]
    numbers = [5 + 2 * index for index in range(len(pages))]
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(b"%d 0 R" % n for n in numbers), len(pages)),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Courier /Encoding /WinAnsiEncoding >>",
        b"<< /Title %s /Producer (Hearline) >>" % _string(title),
    ]
    for number, page in zip(numbers, pages, strict=True):
        content = _content(page)
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Resources << /Font << /F1 3 0 R >> >>"
            b" /Contents %d 0 R >>" % (_WIDTH_PT, _HEIGHT_PT, number + 1)
        )
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
    return _file(objects)


def _content(lines: list[str]) -> bytes:
    start = b"BT /F1 %d Tf %d TL %d %d Td" % (_SIZE_PT, _LEADING_PT, _MARGIN_PT, _HEIGHT_PT - _MARGIN_PT - _SIZE_PT)
    return b"\n".join([start, *(b"%s Tj T*" % _string(line) for line in lines), b"ET"])


def _file(objects: list[bytes]) -> bytes:
    file = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    index = len(file)
    file += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    file += b"".join(b"%010d 00000 n \n" % place for place in places)
    file += b"trailer\n<< /Size %d /Root 1 0 R /Info 4 0 R >>\n" % (len(objects) + 1)
    return bytes(file + b"startxref\n%d\n%%%%EOF\n" % index)


def _string(text: str) -> bytes:
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    try:
        raw = shown.encode(_ENCODING)
    except UnicodeEncodeError as error:
        raise NoGlyphError(f"the letter U+{ord(shown[error.start]):04X}") from None
    for special in (b"\\", b"(", b")"):
        raw = raw.replace(special, b"\\" + special)
    return b"(%s)" % raw
