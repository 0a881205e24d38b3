"""The kinds of insight, in the order they are worked out: a kind may use what those before it have found."""

from __future__ import annotations

from typing import Final

from workers.insights.kinds import actions, complaint, intent, sentiment, summary, topics
from workers.insights.kinds.kind import Kind

KINDS: Final[tuple[Kind, ...]] = (
    intent.KIND,
    sentiment.KIND,
    complaint.KIND,
    actions.KIND,
    topics.KIND,
    summary.KIND,
)

BY_NAME: Final = {kind.name: kind for kind in KINDS}
