import type { Insight } from '../../api/types';
import { readSummary } from '../../state/insights';
import classes from './cards.module.css';
import { AwaitingCard, InsightCard } from './InsightCard';

export function SummaryCard({ insight, live }: { insight: Insight | null; live: boolean }) {
  const text = insight && readSummary(insight.body);
  if (!text) {
    return (
      <AwaitingCard title="Summary" testId="summary">
        {live ? 'Once there is something to sum up' : 'None was made'}
      </AwaitingCard>
    );
  }
  return (
    <InsightCard title="Summary" testId="summary" running insight={insight}>
      <p className={classes.summary} dir="auto">
        {text}
      </p>
    </InsightCard>
  );
}
