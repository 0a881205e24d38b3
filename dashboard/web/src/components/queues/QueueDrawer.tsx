import { Drawer } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, ProblemError } from '../../api/client';
import type { Queue, QueueFields } from '../../api/types';
import { faultOf } from '../../faults';
import { capital, plural } from '../../format';
import { Confirm } from '../Confirm';
import { useFocusBack } from '../useFocusBack';
import { type Faults, faultyField } from './draft';
import { QueueForm } from './QueueForm';

interface QueueDrawerProps {
  /** Null: a new one. */
  queue: Queue | null;
  queues: readonly Queue[];
  readOnly: boolean;
  onClose: () => void;
}

/** One queue, to look at or to change. */
export function QueueDrawer({ queue, queues, readOnly, onClose }: QueueDrawerProps) {
  useFocusBack();
  const queryClient = useQueryClient();
  const [edited, setEdited] = useState(false);
  const [asks, setAsks] = useState<'discard' | 'delete' | null>(null);
  const agents = useQuery({ queryKey: ['agents'], queryFn: api.agents });

  const done = (what: string) => {
    void queryClient.invalidateQueries({ queryKey: ['queues'] });
    notifications.show({ message: what });
    onClose();
  };
  const save = useMutation({
    mutationFn: (fields: QueueFields) =>
      queue ? api.changeQueue(queue.id, fields) : api.createQueue(fields),
    onSuccess: ({ name }) => done(queue ? `${name} was saved.` : `${name} was created.`),
  });
  const remove = useMutation({
    mutationFn: (gone: Queue) => api.deleteQueue(gone.id),
    onSuccess: (_, { name }) => done(`${name} was deleted.`),
    onError: () => setAsks(null),
  });

  const edit = () => {
    setEdited(true);
    if (save.error) save.reset();
  };
  const close = () => (edited && !readOnly ? setAsks('discard') : onClose());
  const { refused, problem } = refusalOf(save.error ?? remove.error);

  return (
    <Drawer
      opened
      onClose={close}
      closeOnEscape={asks === null}
      position="right"
      size={520}
      title={queue ? queue.name : 'New queue'}
    >
      <QueueForm
        queue={queue}
        others={queues.filter(({ id }) => id !== queue?.id)}
        agents={agents.data?.items ?? []}
        refused={refused}
        problem={problem}
        readOnly={readOnly}
        busy={save.isPending}
        onSave={save.mutate}
        onEdit={edit}
        onDelete={() => setAsks('delete')}
      />
      {asks === 'discard' && (
        <Confirm
          title="Discard your changes?"
          action="Discard"
          onConfirm={onClose}
          onCancel={() => setAsks(null)}
        >
          What you changed is not saved.
        </Confirm>
      )}
      {asks === 'delete' && queue && (
        <Confirm
          title={`Delete ${queue.name}?`}
          action="Delete"
          busy={remove.isPending}
          onConfirm={() => remove.mutate(queue)}
          onCancel={() => setAsks(null)}
        >
          {queue.numbers.length > 0
            ? `Calls to its ${plural(queue.numbers.length, 'number')} go to the default queue from then on.`
            : 'No number leads to it.'}
        </Confirm>
      )}
    </Drawer>
  );
}

function refusalOf(error: Error | null): { refused: Faults; problem: string | null } {
  if (error === null) return { refused: {}, problem: null };
  if (!(error instanceof ProblemError))
    return { refused: {}, problem: 'The server does not answer. Try again.' };
  const said = error.detail || error.message;
  const field = faultyField(error.parameter);
  if (field === null) return { refused: {}, problem: capital(said) };
  return { refused: { [field]: faultOf(field, said) }, problem: null };
}
