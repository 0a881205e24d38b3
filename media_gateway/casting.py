"""Who is the agent and who is the customer in a call between others, by their addresses. Pure.

In this order: whoever is on the list of agents (SIPREC_AGENTS); whoever has an extension or a name, where another has
a public number; whoever did not place the call. A list that fits everybody, or nobody, says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import translate
from typing import Final, Protocol

from infra.model import Role

PUBLIC_DIGITS: Final = 7
"""A number of so many digits is not taken for an extension."""

_NUMBER: Final = re.compile(r"\+?[0-9*#.()\- ]+")


class Somebody(Protocol):
    """A participant, as far as it matters here."""

    @property
    def id(self) -> str: ...
    @property
    def user(self) -> str | None: ...
    @property
    def host(self) -> str | None: ...
    @property
    def calling(self) -> bool | None: ...


class AgentList:
    """Which addresses are agents': 2???, +49301234*, alice, *@pbx.example.com."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """A pattern with an @ is compared with USER@HOST, any other with the user alone; * and ? stand for any."""
        self._users = [_compiled(pattern) for pattern in patterns if "@" not in pattern]
        self._addresses = [
            _compiled(f"*{pattern}" if pattern.startswith("@") else pattern) for pattern in patterns if "@" in pattern
        ]

    def has(self, somebody: Somebody) -> bool:
        """Return whether somebody is on the list."""
        user = (somebody.user or "").lower()
        address = f"{user}@{somebody.host or ''}"
        return any(one.fullmatch(user) for one in self._users) or any(one.fullmatch(address) for one in self._addresses)


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern.lower()))


def cast_parties(people: Sequence[Somebody], agents: AgentList) -> dict[str, Role]:
    """Return everybody's role by id; `people` in the order in which they were named."""
    listed = {one.id for one in people if agents.has(one)}
    if 0 < len(listed) < len(people):
        return {one.id: "agent" if one.id in listed else "customer" for one in people}
    inside = {one.id for one in people if one.user is not None and not is_public(one.user)}
    outside = {one.id for one in people if one.user is not None and is_public(one.user)}
    if (inside and outside) or len(people) == 1:
        known = listed or inside
        return {one.id: "agent" if one.id in known else "customer" for one in people}
    caller = caller_of(people)
    return {one.id: "customer" if one is caller else "agent" for one in people}


def caller_of(people: Sequence[Somebody]) -> Somebody | None:
    """Return who placed the call: who is said to have, else the first who is not said not to have."""
    for wanted in (True, None):
        for one in people:
            if one.calling is wanted:
                return one
    return next(iter(people), None)


def is_public(user: str) -> bool:
    """Return whether it is a number that is dialled from outside, not an extension and not a name."""
    return _NUMBER.fullmatch(user) is not None and (
        user.startswith("+") or sum(char.isdigit() for char in user) >= PUBLIC_DIGITS
    )
