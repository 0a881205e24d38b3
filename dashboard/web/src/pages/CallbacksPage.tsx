import { Button, SegmentedControl, Skeleton } from '@mantine/core';
import { IconMoodCheck, IconPhoneCalling } from '@tabler/icons-react';
import { useEffect, useState } from 'react';
import type { CallbackStatus } from '../api/types';
import { CallbackTable } from '../components/callbacks/CallbackTable';
import { useCallbacks } from '../components/callbacks/useCallbacks';
import { EmptyState } from '../components/EmptyState';
import { Problem } from '../components/Problem';
import classes from './ListPage.module.css';

const FILTERS: { value: CallbackStatus; label: string }[] = [
  { value: 'open', label: 'Open' },
  { value: 'done', label: 'Done' },
  { value: 'dismissed', label: 'Dismissed' },
];

const NONE: Record<CallbackStatus, { title: string; detail: string }> = {
  open: {
    title: 'Nobody is waiting to hear from you',
    detail: 'Call-back requests and voicemails appear here.',
  },
  done: { title: 'Nothing is done yet', detail: 'What you mark as done moves here.' },
  dismissed: { title: 'Nothing was dismissed', detail: 'What needs no answer can be put here.' },
};

/** Callers who wait to hear from us. */
export default function CallbacksPage() {
  const [status, setStatus] = useState<CallbackStatus>('open');
  const { callbacks, pending, error, hasMore, loadingMore, loadMore, retry, change } = useCallbacks(status);

  useEffect(() => {
    document.title = 'Call-backs · Hearline';
  }, []);

  return (
    <div className={classes.root}>
      <div className={classes.head}>
        <div>
          <h1 className={classes.title}>Call-backs</h1>
          <p className={classes.note}>Callers who asked to be called, and messages they left.</p>
        </div>
        <SegmentedControl
          data={FILTERS}
          value={status}
          onChange={(value) => setStatus(value as CallbackStatus)}
          aria-label="Which call-backs"
        />
      </div>
      {pending && <Skeleton height={180} radius={14} role="status" aria-label="Loading the call-backs" />}
      {error && callbacks.length === 0 && (
        <Problem title="The call-backs could not be loaded" error={error} onRetry={retry} />
      )}
      {!pending && !error && callbacks.length === 0 && (
        <EmptyState icon={status === 'open' ? IconMoodCheck : IconPhoneCalling} {...NONE[status]} />
      )}
      {callbacks.length > 0 && <CallbackTable callbacks={callbacks} onChange={change} />}
      {hasMore && (
        <div className={classes.more}>
          <Button variant="default" loading={loadingMore} onClick={loadMore}>
            Show more
          </Button>
        </div>
      )}
    </div>
  );
}
