import type { Insight } from '../../api/types';
import { words } from '../../format';
import { readTopics } from '../../state/insights';
import { Chip } from '../Chip';
import classes from './cards.module.css';
import { AwaitingCard, InsightCard } from './InsightCard';

export function TopicsCard({ insights, live }: { insights: readonly Insight[]; live: boolean }) {
  const topics = [...new Set(insights.flatMap((insight) => readTopics(insight.body)))];
  if (topics.length === 0) {
    return (
      <AwaitingCard title="Topics" testId="topics">
        {live ? 'None heard so far' : 'None was found'}
      </AwaitingCard>
    );
  }
  const [first, second] = insights;
  return (
    <InsightCard title="Topics" testId="topics" insight={second ? null : (first ?? null)}>
      <ul className={classes.topics}>
        {topics.map((topic) => (
          <li key={topic}>
            <Chip>{words(topic)}</Chip>
          </li>
        ))}
      </ul>
    </InsightCard>
  );
}
