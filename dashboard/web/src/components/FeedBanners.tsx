import {
  IconClockExclamation,
  IconHourglassHigh,
  IconPlugConnectedX,
  IconServerOff,
} from '@tabler/icons-react';
import { useNow, useServerNow } from '../clock';
import { span } from '../format';
import type { FeedStatus } from '../state/feed';
import { Banner } from './Banner';
import classes from './FeedBanners.module.css';
import { serviceName } from './marks';
import { overloadWords } from './overload';

const STALE_AFTER_MS = 3_000;
const LAGGING_FROM_MS = 2_000;
const LAG_FORGOTTEN_AFTER_MS = 30_000;

const AWAY: Record<string, string> = {
  redis: 'Redis is away: audio is being kept, words will follow.',
  postgres: 'PostgreSQL is away: audio is being kept, words will follow.',
  asr: 'The recogniser is away: audio is being kept, words will follow.',
  insights: 'The analysis is away: words go on, insights will follow.',
  sip: 'Hearline is not registered at its SIP server: calls from there do not come in.',
};

interface FeedBannersProps {
  status: FeedStatus;
  lag?: Readonly<Record<string, { lag_ms: number; at: string }>>;
}

/** What stands between the call and the screen: a lost connection, a dependency that is away, a slow recogniser. */
export function FeedBanners({ status, lag = {} }: FeedBannersProps) {
  const now = useNow();
  const serverNow = useServerNow();
  const { connection, lastMessageAt, degraded } = status;
  const apart = connection.phase === 'reconnecting' || connection.phase === 'offline';
  const age = lastMessageAt === null ? 0 : now - lastMessageAt;
  const lagMs = Object.values(lag)
    .filter(({ at }) => serverNow - Date.parse(at) < LAG_FORGOTTEN_AFTER_MS)
    .reduce((most, { lag_ms }) => Math.max(most, lag_ms), 0);
  const stale = apart && age >= STALE_AFTER_MS;
  const lagging = !apart && lagMs >= LAGGING_FROM_MS;
  const late = degraded.map(overloadWords).find((words) => words !== null);
  const away = degraded.filter((name) => overloadWords(name) === null);
  if (!stale && !lagging && degraded.length === 0) return null;

  return (
    <div className={classes.root}>
      {stale && (
        <Banner icon={IconPlugConnectedX} tone="bad" testId="stale-banner">
          {connection.phase === 'offline' ? 'You are offline.' : 'The connection was lost; reconnecting.'}
          {/* Not read out: it changes each second. */}
          <span className="numeric" aria-hidden>
            {` Data is ${span(age)} old.`}
          </span>
        </Banner>
      )}
      {away.length > 0 && (
        <Banner icon={IconServerOff} tone="warn" testId="degraded-banner">
          {away.map((name) => AWAY[name.toLowerCase()] ?? `${serviceName(name)} is away.`).join(' ')}
        </Banner>
      )}
      {late && (
        <Banner icon={IconHourglassHigh} tone="warn" testId="overload-banner">
          {late}
          {lagging && ` This call is ${span(lagMs)} behind.`}
        </Banner>
      )}
      {lagging && !late && (
        <Banner icon={IconClockExclamation} tone="warn" testId="lag-banner">
          Transcript is {span(lagMs)} behind.
        </Banner>
      )}
    </div>
  );
}
