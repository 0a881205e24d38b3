import { Skeleton, TextInput } from '@mantine/core';
import { IconSearch, IconVocabulary } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { api } from '../api/client';
import type { Me } from '../api/types';
import { EmptyState } from '../components/EmptyState';
import { Problem } from '../components/Problem';
import { KnownNames } from '../components/vocabulary/KnownNames';
import { PhraseForm } from '../components/vocabulary/PhraseForm';
import { PhraseTable } from '../components/vocabulary/PhraseTable';
import { useVocabulary } from '../components/vocabulary/useVocabulary';
import { plural } from '../format';
import classes from './ListPage.module.css';

/** What the recognisers are to expect. Supervisors and admins change it, agents look at it. */
export default function VocabularyPage({ me }: { me: Me }) {
  const { query, phrases, add, remove } = useVocabulary();
  const queues = useQuery({ queryKey: ['queues'], queryFn: api.queues }).data?.items ?? [];
  const [wanted, setWanted] = useState('');
  const readOnly = me.role === 'agent';
  const found = phrases.filter(({ phrase }) => phrase.toLowerCase().includes(wanted.trim().toLowerCase()));

  useEffect(() => {
    document.title = 'Vocabulary · Hearline';
  }, []);

  if (query.error && !query.data)
    return (
      <Problem
        title="The vocabulary could not be loaded"
        error={query.error}
        onRetry={() => void query.refetch()}
      />
    );
  return (
    <div className={classes.root}>
      <div className={classes.head}>
        <div>
          <h1 className={classes.title}>Vocabulary</h1>
          <p className={classes.note}>
            Products, people and places that your callers speak of. The recogniser listens for them, and
            writes them as you do.
          </p>
        </div>
        {phrases.length > 0 && (
          <TextInput
            placeholder="Search phrases"
            aria-label="Search phrases"
            leftSection={<IconSearch size={15} stroke={1.8} />}
            value={wanted}
            onChange={(event) => setWanted(event.currentTarget.value)}
          />
        )}
      </div>
      {!readOnly && query.data && (
        <PhraseForm
          known={phrases}
          queues={queues}
          refusal={add.error}
          busy={add.isPending}
          onEdit={() => add.error && add.reset()}
          onAdd={(wantedPhrases, queueId, done) =>
            add.mutate({ phrases: wantedPhrases, queueId }, { onSuccess: done })
          }
        />
      )}
      {query.isPending && (
        <Skeleton height={180} radius={14} role="status" aria-label="Loading the vocabulary" />
      )}
      {query.data && phrases.length === 0 && (
        <EmptyState
          icon={IconVocabulary}
          title="No phrases yet"
          detail={
            readOnly
              ? 'Supervisors add the words that the recognisers should know.'
              : 'Add the names that are often written wrongly: they are then spelled as you write them.'
          }
        />
      )}
      {phrases.length > 0 && found.length === 0 && (
        <EmptyState
          icon={IconSearch}
          title="No phrase matches"
          detail={`None of ${plural(phrases.length, 'phrase')} holds that.`}
        />
      )}
      {found.length > 0 && (
        <PhraseTable phrases={found} queues={queues} onRemove={readOnly ? null : remove} />
      )}
      <KnownNames me={me} queues={queues} />
    </div>
  );
}
