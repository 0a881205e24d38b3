import { Button, Select, Textarea } from '@mantine/core';
import { type FormEvent, useState } from 'react';
import { ProblemError } from '../../api/client';
import type { Phrase, Queue } from '../../api/types';
import { faultOf } from '../../faults';
import { plural } from '../../format';
import { faultIn, newPhrases, PHRASE_MAX_CHARS, PHRASES_MAX, phrasesOf, respelled } from './draft';
import classes from './PhraseForm.module.css';

const EVERY_CALL = '';

interface PhraseFormProps {
  known: readonly Phrase[];
  queues: readonly Queue[];
  /** Why the server would not have them. */
  refusal: Error | null;
  busy: boolean;
  onEdit: () => void;
  onAdd: (phrases: readonly string[], queueId: string | null, done: () => void) => void;
}

/** Takes many phrases at once, one a line. */
export function PhraseForm({ known, queues, refusal, busy, onEdit, onAdd }: PhraseFormProps) {
  const [typed, setTyped] = useState('');
  const [queue, setQueue] = useState(EVERY_CALL);
  const queueId = queue === EVERY_CALL ? null : queue;
  const phrases = phrasesOf(typed);
  const added = newPhrases(phrases, known, queueId);
  const there = phrases.length - added.length;
  const anew = respelled(added, known, queueId).length;
  const fault = faultIn(added, known, queueId);
  // What the server refused may be tried again as it is: it may only have been away.
  const ready = added.length > 0 && fault === null;

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (ready) onAdd(added, queueId, () => setTyped(''));
  };
  return (
    <form className={classes.root} data-testid="phrase-form" onSubmit={submit}>
      <Textarea
        label="Add phrases"
        description={`One a line, spelled as it should be written. Up to ${PHRASE_MAX_CHARS} characters each, ${PHRASES_MAX} in all.`}
        placeholder="e.g. Platinum Motors"
        autosize
        minRows={3}
        maxRows={12}
        value={typed}
        error={fault ?? (refusal && refusalOf(refusal))}
        data-testid="phrase-text"
        onChange={(event) => {
          setTyped(event.currentTarget.value);
          onEdit();
        }}
      />
      <div className={classes.foot}>
        <Select
          label="For"
          allowDeselect={false}
          data={[
            { value: EVERY_CALL, label: 'Every call' },
            ...queues.map(({ id, name }) => ({ value: id, label: `Calls to ${name}` })),
          ]}
          value={queue}
          onChange={(chosen) => {
            setQueue(chosen ?? EVERY_CALL);
            onEdit();
          }}
        />
        <p className={classes.note} role="status">
          {there > 0 && `${plural(there, 'is', 'are')} there already. `}
          {anew > 0 && `${plural(anew, 'is', 'are')} there in another spelling, which this one replaces.`}
        </p>
        <Button type="submit" loading={busy} disabled={!ready} data-testid="phrase-add">
          {added.length > 1 ? `Add ${added.length} phrases` : 'Add'}
        </Button>
      </div>
    </form>
  );
}

function refusalOf(error: Error): string {
  if (!(error instanceof ProblemError)) return 'The server does not answer. Try again.';
  return faultOf(error.parameter, error.detail || error.message);
}
