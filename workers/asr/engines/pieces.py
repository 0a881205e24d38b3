"""Text to the pieces that a recogniser was trained on: byte-pair merges in the order of the table. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

SPACE: Final = "\u2581"
"""How the table writes the space that a word begins with."""
FIRST_BYTE: Final = 3
"""Tokens from here to 258 are single bytes, for letters that the table lacks."""
FIRST_PIECE: Final = FIRST_BYTE + 256


class Pieces:
    """Encodes text as the makers' tokenizer does: of all pairs that stand side by side the earliest piece first."""

    def __init__(self, table: Sequence[bytes]) -> None:
        """`table` is what `moonshine.read_tokens` returns."""
        self._ids: dict[str, int] = {}
        for token, piece in enumerate(table):
            if token >= FIRST_PIECE:
                self._ids.setdefault(piece.decode(errors="ignore"), token)

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the tokens of some words, the space before the first included; empty for an empty text."""
        if not text:
            return ()
        parts = list(SPACE + text.replace(" ", SPACE))
        while True:
            pairs = [
                (token, at)
                for at in range(len(parts) - 1)
                if (token := self._ids.get(parts[at] + parts[at + 1])) is not None
            ]
            if not pairs:
                return tuple(token for part in parts for token in self._of(part))
            _, at = min(pairs)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]

    def _of(self, part: str) -> tuple[int, ...]:
        token = self._ids.get(part)
        return (token,) if token is not None else tuple(FIRST_BYTE + byte for byte in part.encode())
