"""The dialects by the name in their address: one line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from media_gateway.protocols.dialects.asterisk import Asterisk
from media_gateway.protocols.dialects.audiohook import Audiohook
from media_gateway.protocols.dialects.dialect import Dialect
from media_gateway.protocols.dialects.freeswitch import Freeswitch
from media_gateway.protocols.dialects.jambonz import Jambonz
from media_gateway.protocols.dialects.plivo import Plivo
from media_gateway.protocols.dialects.signalwire import SignalWire
from media_gateway.protocols.dialects.telnyx import Telnyx
from media_gateway.protocols.dialects.vonage import Vonage

_ALL: Final[tuple[type[Dialect], ...]] = (
    Asterisk,
    Audiohook,
    Freeswitch,
    Jambonz,
    Plivo,
    SignalWire,
    Telnyx,
    Vonage,
)

DIALECTS: Final[Mapping[str, type[Dialect]]] = {dialect.name: dialect for dialect in _ALL}
