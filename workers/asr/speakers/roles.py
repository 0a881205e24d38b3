"""Who is the agent and who is the customer, by what they say: 'how can I help you', 'I'm calling about my order'.

The patterns are those by which the insights tell the two apart: workers/insights/lexicons/voices.toml. They are
English; in another language every role stays `unknown` until a person says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

from infra.model import Role
from workers.insights import wording
from workers.insights.lexicon import PatternSet, compile_pattern, load

MARGIN: Final = 2
"""By so many sentences the most agent-like speaker must be ahead of the next before anybody gets a role."""


def lean(text: str) -> int:
    """Return how many more of the sentences sound like an agent than like a customer."""
    total = 0
    for sentence in wording.sentences(wording.tidy(text)):
        heard = {side for side, _ in _sides().matches(wording.normal(wording.plain(sentence)))}
        total += ("agent" in heard) - ("customer" in heard)
    return total


def cast(leans: Mapping[str, int]) -> dict[str, Role]:
    """Return each speaker's role, from how much each leans to the agent's side.

    Where one is clearly the agent, the others are customers; alone, a speaker is what their own words say.
    """
    ranked = sorted(leans, key=lambda speaker: -leans[speaker])
    if len(ranked) == 1:
        alone = leans[ranked[0]]
        return {ranked[0]: "agent" if alone >= MARGIN else "customer" if alone <= -MARGIN else "unknown"}
    if not ranked or leans[ranked[0]] - leans[ranked[1]] < MARGIN:
        return dict.fromkeys(ranked, "unknown")
    return {speaker: "agent" if speaker == ranked[0] else "customer" for speaker in ranked}


@cache
def _sides() -> PatternSet[str]:
    return PatternSet(
        compile_pattern(source, {}, side) for side, sources in load("voices").items() for source in sources
    )
