"""The dialects by the name in their address: one line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from media_gateway.protocols.dialects.dialect import Dialect

_ALL: Final[tuple[type[Dialect], ...]] = ()

DIALECTS: Final[Mapping[str, type[Dialect]]] = {dialect.name: dialect for dialect in _ALL}
