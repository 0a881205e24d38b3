import { Skeleton } from '@mantine/core';
import { IconPhoneOff, IconSearchOff } from '@tabler/icons-react';
import type { BoardCall } from '../../state/board';
import { EmptyState } from '../EmptyState';
import { MicButton } from '../mic/MicButton';
import { LiveCallCard } from './LiveCallCard';
import classes from './LiveCalls.module.css';
import section from './Section.module.css';

interface LiveCallsProps {
  calls: BoardCall[];
  searching: boolean;
  pending: boolean;
}

/** Recordings that are being brought in: nobody is on the line. */
export function ImportingCalls({ calls }: { calls: BoardCall[] }) {
  return (
    <section aria-labelledby="importing-calls">
      <div className={section.head}>
        <h2 id="importing-calls" className={section.title}>
          Being imported
        </h2>
        <span className={section.count}>{calls.length}</span>
      </div>
      <div className={classes.grid}>
        {calls.map((call) => (
          <LiveCallCard key={call.id} call={call} />
        ))}
      </div>
    </section>
  );
}

export function LiveCalls({ calls, searching, pending }: LiveCallsProps) {
  const newestFirst = calls.toSorted((a, b) => b.started_at.localeCompare(a.started_at));
  return (
    <section aria-labelledby="live-calls">
      <div className={section.head}>
        <h2 id="live-calls" className={section.title}>
          Live
        </h2>
        <span className={section.count}>{pending ? '' : calls.length}</span>
      </div>
      {pending && (
        <div className={classes.grid} role="status" aria-label="Loading live calls">
          <Skeleton height={188} radius={14} />
          <Skeleton height={188} radius={14} />
        </div>
      )}
      {!pending && calls.length === 0 && (
        <div className={classes.empty}>
          {searching ? (
            <EmptyState icon={IconSearchOff} title="No live call matches" />
          ) : (
            <EmptyState
              icon={IconPhoneOff}
              title="No call is live"
              detail="Calls appear here the moment they begin. You can speak one yourself right now."
            >
              <MicButton />
            </EmptyState>
          )}
        </div>
      )}
      {calls.length > 0 && (
        <div className={classes.grid}>
          {newestFirst.map((call) => (
            <LiveCallCard key={call.id} call={call} />
          ))}
        </div>
      )}
    </section>
  );
}
