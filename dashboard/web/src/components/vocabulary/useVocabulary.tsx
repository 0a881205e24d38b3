import { Button } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, ProblemError } from '../../api/client';
import type { Phrase } from '../../api/types';
import { plural } from '../../format';
import { againUnless } from '../../state/retry';

const UNDO_MS = 10_000;

/** The phrases; one that is removed is gone at once, and can be had back. */
export function useVocabulary() {
  const queryClient = useQueryClient();
  const query = useQuery({
    queryKey: ['vocabulary'],
    queryFn: api.vocabulary,
    refetchInterval: againUnless(401, 403, 404),
  });
  const [leaving, setLeaving] = useState<readonly string[]>([]);
  const refresh = () => queryClient.invalidateQueries({ queryKey: ['vocabulary'] });

  const add = useMutation({
    mutationFn: ({ phrases, queueId }: { phrases: readonly string[]; queueId: string | null }) =>
      api.addPhrases(phrases, queueId),
    onSuccess: (_added, { phrases }) =>
      notifications.show({ message: `${plural(phrases.length, 'phrase was', 'phrases were')} added.` }),
    onSettled: refresh,
  });
  const putBack = useMutation({
    mutationFn: ({ phrase, queue_id }: Phrase) => api.addPhrases([phrase], queue_id),
    onError: (error, { phrase }) => complain(`${phrase} was not put back`, error),
    onSettled: refresh,
  });
  const remove = useMutation({
    mutationFn: ({ id }: Phrase) => api.deletePhrase(id),
    onMutate: ({ id }) => setLeaving((before) => [...before, id]),
    onSuccess: (_gone, phrase) => {
      const id = `phrase-${phrase.id}`;
      const undo = () => {
        notifications.hide(id);
        putBack.mutate(phrase);
      };
      notifications.show({
        id,
        autoClose: UNDO_MS,
        message: (
          <>
            {phrase.phrase} was removed.{' '}
            <Button size="compact-sm" variant="light" data-testid="phrase-undo" onClick={undo}>
              Undo
            </Button>
          </>
        ),
      });
    },
    onError: (error, { phrase }) => complain(`${phrase} was not removed`, error),
    onSettled: async (_gone, _error, { id }) => {
      await refresh();
      setLeaving((before) => before.filter((one) => one !== id));
    },
  });

  return {
    query,
    phrases: (query.data?.items ?? []).filter(({ id }) => !leaving.includes(id)),
    add,
    remove: remove.mutate,
  };
}

function complain(title: string, error: Error) {
  notifications.show({
    color: 'red',
    title,
    message: error instanceof ProblemError ? error.detail || error.message : 'The server does not answer.',
  });
}
