import type { Insight, SentimentLabel } from '../../api/types';
import { signed } from '../../format';
import { readSentiment } from '../../state/insights';
import { Chip } from '../Chip';
import { ROLE_MARKS, SENTIMENT_MARKS } from '../marks';
import { RoleAvatar } from '../RoleAvatar';
import classes from './cards.module.css';
import { AwaitingCard, InsightCard } from './InsightCard';
import { Trend } from './Trend';

interface SentimentCardProps {
  insight: Insight | null;
  /** Overall scores of this call as this screen saw them, oldest first. */
  trend: readonly number[];
  live: boolean;
}

export function SentimentCard({ insight, trend, live }: SentimentCardProps) {
  const sentiment = insight && readSentiment(insight.body);
  if (!sentiment) {
    return (
      <AwaitingCard title="Sentiment" testId="sentiment">
        {live ? 'Not heard yet' : 'None was found'}
      </AwaitingCard>
    );
  }
  const mark = SENTIMENT_MARKS[sentiment.label];
  return (
    <InsightCard
      title="Sentiment"
      testId="sentiment"
      insight={insight}
      aside={
        <Chip icon={mark.icon} tone={mark.tone}>
          {mark.word}
        </Chip>
      }
    >
      <div className={classes.meters}>
        <span className={classes.meterName}>Overall</span>
        <Meter name="Overall" label={sentiment.label} score={sentiment.score} />
        {sentiment.perRole.map(({ role, label, score }) => (
          <PartyMeter key={role} role={role} label={label} score={score} />
        ))}
      </div>
      {trend.length > 2 && <Trend scores={trend} />}
    </InsightCard>
  );
}

function PartyMeter({
  role,
  label,
  score,
}: {
  role: 'customer' | 'agent' | 'supervisor' | 'unknown';
  label: SentimentLabel;
  score: number;
}) {
  const { word } = ROLE_MARKS[role];
  return (
    <>
      <span className={classes.meterName}>
        <RoleAvatar role={role} size={18} />
        {word}
      </span>
      <Meter name={word} label={label} score={score} />
    </>
  );
}

/** A scale from −1 to +1 that fills from its middle. */
function Meter({ name, label, score }: { name: string; label: SentimentLabel; score: number }) {
  const half = Math.abs(score) * 50;
  const fill = score < 0 ? 'bad' : 'good';
  return (
    <>
      {/* biome-ignore lint/a11y/useSemanticElements: a <meter> cannot be drawn from its middle */}
      <div
        className={classes.meter}
        role="meter"
        aria-label={`Sentiment, ${name}`}
        aria-valuemin={-1}
        aria-valuemax={1}
        aria-valuenow={score}
        aria-valuetext={`${SENTIMENT_MARKS[label].word}, ${signed(score)}`}
      >
        <span
          style={{
            left: score < 0 ? `${50 - half}%` : '50%',
            width: `${half}%`,
            background: `var(--hl-${fill}-fill)`,
          }}
        />
      </div>
      <span className={`${classes.score} numeric`}>{signed(score)}</span>
    </>
  );
}
