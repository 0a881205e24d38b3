import { notifications } from '@mantine/notifications';
import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import { api, ProblemError } from '../../api/client';
import type { ActionItemStatus, Insight } from '../../api/types';

type Pending = Readonly<Record<string, ActionItemStatus>>;

/** Shows a changed status at once, and takes it back when the server does not. */
export function useActionItemStatus(onChanged: (insight: Insight) => void) {
  const [pending, setPending] = useState<Pending>({});
  const mutation = useMutation({
    mutationFn: ({ insightId, status }: { insightId: string; status: ActionItemStatus }) =>
      api.setActionItemStatus(insightId, status),
    onMutate: ({ insightId, status }) => setPending((before) => ({ ...before, [insightId]: status })),
    onSuccess: onChanged,
    onError: (error) =>
      notifications.show({
        color: 'red',
        title: 'The action item was not changed',
        message:
          error instanceof ProblemError ? error.detail || error.message : 'The server does not answer.',
      }),
    onSettled: (_data, _error, { insightId }) => setPending(({ [insightId]: _settled, ...others }) => others),
  });
  return {
    statusOf: (insightId: string) => pending[insightId],
    setStatus: (insightId: string, status: ActionItemStatus) => mutation.mutate({ insightId, status }),
  };
}
