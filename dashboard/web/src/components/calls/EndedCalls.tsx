import { Button, Skeleton } from '@mantine/core';
import { IconHistory, IconSearchOff } from '@tabler/icons-react';
import { EmptyState } from '../EmptyState';
import { Problem } from '../Problem';
import { EndedCallRow } from './EndedCallRow';
import classes from './EndedCalls.module.css';
import section from './Section.module.css';
import type { EndedCallsList } from './useEndedCalls';

/** A table on wide screens, cards on narrow ones: the same elements, laid out by the style sheet. */
export function EndedCalls({ ended, searching }: { ended: EndedCallsList; searching: boolean }) {
  const { calls, pending, error, hasMore, loadingMore, loadMore, retry } = ended;
  return (
    <section aria-labelledby="ended-calls">
      <div className={section.head}>
        <h2 id="ended-calls" className={section.title}>
          Ended
        </h2>
        <span className={section.count}>
          {calls.length > 0 ? calls.length : ''}
          {hasMore ? '+' : ''}
        </span>
      </div>
      <div className={classes.frame}>
        {pending && <Skeleton height={240} radius={14} role="status" aria-label="Loading ended calls" />}
        {error && calls.length === 0 && (
          <Problem title="The ended calls could not be loaded" error={error} onRetry={retry} />
        )}
        {!pending && !error && calls.length === 0 && (
          <EmptyState
            icon={searching ? IconSearchOff : IconHistory}
            title={searching ? 'No ended call matches' : 'No call has ended yet'}
            detail={searching ? 'Try fewer words, or a part of a number.' : 'Calls move here when they end.'}
          />
        )}
        {calls.length > 0 && (
          <table className={classes.table}>
            <thead>
              <tr>
                <th scope="col">Call</th>
                <th scope="col">Summary</th>
                <th scope="col">Insight</th>
                <th scope="col" className={classes.right}>
                  Duration
                </th>
                <th scope="col" className={classes.right}>
                  Started
                </th>
              </tr>
            </thead>
            <tbody>
              {calls.map((call) => (
                <EndedCallRow key={call.id} call={call} />
              ))}
            </tbody>
          </table>
        )}
      </div>
      {hasMore && (
        <div className={classes.more}>
          <Button variant="default" loading={loadingMore} onClick={loadMore}>
            Show more
          </Button>
        </div>
      )}
    </section>
  );
}
