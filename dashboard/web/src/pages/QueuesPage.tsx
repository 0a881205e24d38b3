import { Button, Skeleton } from '@mantine/core';
import { IconPlus } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { api } from '../api/client';
import type { Me, Queue } from '../api/types';
import { Problem } from '../components/Problem';
import { QueueDrawer } from '../components/queues/QueueDrawer';
import { QueueTable } from '../components/queues/QueueTable';
import { againUnless } from '../state/retry';
import classes from './ListPage.module.css';

/** The queues: which number leads where. Admins change them, supervisors look at them. */
export default function QueuesPage({ me }: { me: Me }) {
  const queues = useQuery({
    queryKey: ['queues'],
    queryFn: api.queues,
    refetchInterval: againUnless(401, 403),
  });
  const agents = useQuery({ queryKey: ['agents'], queryFn: api.agents });
  const [shown, setShown] = useState<Queue | 'new' | null>(null);
  const readOnly = me.role !== 'admin';
  const items = queues.data?.items ?? [];

  useEffect(() => {
    document.title = 'Queues · Hearline';
  }, []);

  if (queues.error && !queues.data)
    return (
      <Problem
        title="The queues could not be loaded"
        error={queues.error}
        onRetry={() => void queues.refetch()}
      />
    );
  return (
    <div className={classes.root}>
      <div className={classes.head}>
        <div>
          <h1 className={classes.title}>Queues</h1>
          <p className={classes.note}>Where the numbers lead, who is rung, and what callers hear.</p>
        </div>
        {!readOnly && (
          <Button
            leftSection={<IconPlus size={16} stroke={1.9} />}
            data-testid="queue-new"
            onClick={() => setShown('new')}
          >
            New queue
          </Button>
        )}
      </div>
      {queues.isPending ? (
        <Skeleton height={180} radius={14} role="status" aria-label="Loading the queues" />
      ) : (
        <QueueTable queues={items} agents={agents.data?.items ?? []} onOpen={setShown} />
      )}
      {shown !== null && (
        <QueueDrawer
          queue={shown === 'new' ? null : shown}
          queues={items}
          readOnly={readOnly}
          onClose={() => setShown(null)}
        />
      )}
    </div>
  );
}
