"""From what a client calls a call to the call itself."""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

import asyncpg

from dashboard.problem import Problem, bad_parameter
from infra.store.calls import CallStore

NAME_MAX_CHARS: Final = 255

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


def parse_name(text: str, parameter: str) -> str:
    """Return a call's UUID or external id as given. Raises Problem 400."""
    if not text:
        raise bad_parameter(parameter, "is missing")
    if len(text) > NAME_MAX_CHARS or not text.isprintable():
        raise bad_parameter(parameter, f"is not a call's id: at most {NAME_MAX_CHARS} printable characters")
    return text


def as_uuid(text: str) -> UUID | None:
    """Return the UUID that this is, in its one usual form."""
    return UUID(text) if _UUID.fullmatch(text) else None


async def find_call(calls: CallStore, tenant_id: UUID, name: str) -> asyncpg.Record | None:
    """Return the summary of the call with this UUID or, the newest, with this external id."""
    call_id = as_uuid(name)
    row = await calls.get(tenant_id, call_id) if call_id else None
    if row is None:
        found = await calls.find(tenant_id, name)
        row = await calls.get(tenant_id, found) if found else None
    return row


async def require_call(calls: CallStore, tenant_id: UUID, name: str) -> asyncpg.Record:
    """Return the summary of a call of this tenant. Raises Problem 400 or 404."""
    row = await find_call(calls, tenant_id, parse_name(name, "call_id"))
    if row is None:
        raise Problem(404, "there is no such call")
    return row
