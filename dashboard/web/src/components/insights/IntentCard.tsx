import type { Insight } from '../../api/types';
import { percent, words } from '../../format';
import { readIntent } from '../../state/insights';
import classes from './cards.module.css';
import { AwaitingCard, InsightCard } from './InsightCard';

export function IntentCard({ insight, live }: { insight: Insight | null; live: boolean }) {
  const intent = insight && readIntent(insight.body);
  if (!intent) {
    return (
      <AwaitingCard title="Intent" testId="intent">
        {live ? 'Not clear yet' : 'None was found'}
      </AwaitingCard>
    );
  }
  const { label, confidence } = intent;
  return (
    <InsightCard title="Intent" testId="intent" insight={insight}>
      <div className={classes.line}>
        <span className={classes.headline}>{words(label)}</span>
        {confidence !== null && (
          <span className={`${classes.aside} numeric`}>{percent(confidence)} sure</span>
        )}
      </div>
      {confidence !== null && (
        <div className={classes.bar} aria-hidden>
          <span style={{ width: `${confidence * 100}%` }} />
        </div>
      )}
    </InsightCard>
  );
}
