import type { Insight } from '../../api/types';
import type { CallState } from '../../state/call';
import { byKind } from '../../state/insights';
import { ActionItemsCard } from './ActionItemsCard';
import { ComplaintCard } from './ComplaintCard';
import { GenericCard } from './GenericCard';
import classes from './Insights.module.css';
import { IntentCard } from './IntentCard';
import { SentimentCard } from './SentimentCard';
import { SummaryCard } from './SummaryCard';
import { TopicsCard } from './TopicsCard';

interface InsightsProps {
  state: CallState;
  trend: readonly number[];
  onActionItemChanged: (insight: Insight) => void;
}

export function Insights({ state, trend, onActionItemChanged }: InsightsProps) {
  const live = state.call.status === 'live';
  const insights = byKind(state.insights);
  return (
    <aside className={classes.root} aria-label="Insights">
      <SummaryCard insight={insights.summary} live={live} />
      <ComplaintCard insight={insights.complaint} live={live} />
      <IntentCard insight={insights.intent} live={live} />
      <SentimentCard insight={insights.sentiment} trend={trend} live={live} />
      <ActionItemsCard insights={insights.actionItems} live={live} onChanged={onActionItemChanged} />
      <TopicsCard insights={insights.topics} live={live} />
      {insights.others.map((insight) => (
        <GenericCard key={insight.insight_id} insight={insight} />
      ))}
    </aside>
  );
}
