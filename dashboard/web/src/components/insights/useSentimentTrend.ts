import { useState } from 'react';
import type { CallState } from '../../state/call';
import { byKind, readSentiment } from '../../state/insights';

const POINTS_MAX = 60;

/** The overall scores that this screen has seen of the call, one a revision. */
export function useSentimentTrend(state: CallState | null): readonly number[] {
  const [trend, setTrend] = useState<{ revision: number; scores: readonly number[] }>({
    revision: 0,
    scores: [],
  });
  const insight = state && byKind(state.insights).sentiment;
  const score = insight && readSentiment(insight.body)?.score;
  if (insight && typeof score === 'number' && insight.revision > trend.revision) {
    setTrend({ revision: insight.revision, scores: [...trend.scores, score].slice(-POINTS_MAX) });
  }
  return trend.scores;
}
