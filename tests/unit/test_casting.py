"""Who is the agent, by the addresses of those in a call."""

from __future__ import annotations

import pytest

from infra.model import Role
from media_gateway.casting import AgentList, caller_of, cast_parties
from media_gateway.protocols.siprec import Participant

PUBLIC = "sip:+15550100@sbc.example.com"
OTHER_PUBLIC = "sip:0771121212@10.0.0.1"
EXTENSION = "sip:2002@pbx.example.com"
OTHER_EXTENSION = "sip:2003@pbx.example.com"
NAMED = "sip:alice@pbx.example.com"

C: Role = "customer"
A: Role = "agent"


@pytest.mark.parametrize(
    ("agents", "aors", "roles"),
    [
        # an extension and a public number, whoever called
        ("", [PUBLIC, EXTENSION], [C, A]),
        ("", [EXTENSION, PUBLIC], [A, C]),
        ("", [NAMED, PUBLIC], [A, C]),
        ("", [PUBLIC, EXTENSION, OTHER_EXTENSION], [C, A, A]),
        # two of a kind: the first is the caller
        ("", [EXTENSION, OTHER_EXTENSION], [C, A]),
        ("", [PUBLIC, OTHER_PUBLIC], [C, A]),
        ("", [None, None], [C, A]),
        # alone
        ("", [EXTENSION], [A]),
        ("", [PUBLIC], [C]),
        ("", [], []),
        # the list goes before all that
        ("2003", [EXTENSION, OTHER_EXTENSION], [C, A]),
        ("2002", [EXTENSION, OTHER_EXTENSION], [A, C]),
        ("+1555*", [EXTENSION, PUBLIC], [C, A]),
        ("@PBX.example.com", [EXTENSION, PUBLIC], [A, C]),
        ("*@*.example.com", [OTHER_PUBLIC, PUBLIC], [C, A]),
        ("a*@pbx.example.com", [EXTENSION, NAMED], [C, A]),
        ("????", [EXTENSION, PUBLIC], [A, C]),
        ("+15550100", [PUBLIC], [A]),
        # a list that fits both, or neither, does not tell them apart
        ("200?", [EXTENSION, OTHER_EXTENSION], [C, A]),
        ("9999", [EXTENSION, PUBLIC], [A, C]),
    ],
)
def test_roles_follow_the_addresses(agents: str, aors: list[str | None], roles: list[Role]) -> None:
    people = [Participant(str(number), aor) for number, aor in enumerate(aors)]

    cast = cast_parties(people, AgentList([agents] if agents else []))

    assert [cast[one.id] for one in people] == roles


def test_a_client_that_says_who_called_is_believed() -> None:
    callee, caller = Participant("1", EXTENSION, calling=False), Participant("2", OTHER_EXTENSION, calling=True)

    assert cast_parties([callee, caller], AgentList([])) == {"1": "agent", "2": "customer"}
    assert caller_of([callee, Participant("3", PUBLIC)]) == Participant("3", PUBLIC)
    assert caller_of([callee]) is callee
    assert caller_of([]) is None
