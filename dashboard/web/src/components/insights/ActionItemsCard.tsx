import type { Insight } from '../../api/types';
import { readActionItem } from '../../state/insights';
import { ActionItemRow } from './ActionItemRow';
import classes from './ActionItems.module.css';
import { AwaitingCard, InsightCard } from './InsightCard';
import { useActionItemStatus } from './useActionItemStatus';

interface ActionItemsCardProps {
  insights: readonly Insight[];
  live: boolean;
  onChanged: (insight: Insight) => void;
}

export function ActionItemsCard({ insights, live, onChanged }: ActionItemsCardProps) {
  const { statusOf, setStatus } = useActionItemStatus(onChanged);
  if (insights.length === 0) {
    return (
      <AwaitingCard title="Action items" testId="action-items">
        {live ? 'None heard so far' : 'None was found'}
      </AwaitingCard>
    );
  }
  const items = insights.map((insight) => {
    const item = readActionItem(insight.body);
    return { insight, item: { ...item, status: statusOf(insight.insight_id) ?? item.status } };
  });
  const dismissed = items.filter(({ item }) => item.status === 'dismissed');
  const kept = items.filter(({ item }) => item.status !== 'dismissed');
  const done = kept.filter(({ item }) => item.status === 'done').length;
  return (
    <InsightCard
      title="Action items"
      testId="action-items"
      aside={
        kept.length > 0 && (
          <span className={`${classes.count} numeric`}>{`${done} of ${kept.length} done`}</span>
        )
      }
    >
      <ul className={classes.list}>
        {[...kept, ...dismissed].map(({ insight, item }) => (
          <ActionItemRow
            key={insight.insight_id}
            insight={insight}
            item={item}
            onStatus={(status) => setStatus(insight.insight_id, status)}
          />
        ))}
      </ul>
    </InsightCard>
  );
}
