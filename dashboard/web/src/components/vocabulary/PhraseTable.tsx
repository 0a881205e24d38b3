import { ActionIcon } from '@mantine/core';
import { IconTrash } from '@tabler/icons-react';
import type { Phrase, Queue } from '../../api/types';
import { dayAndTime, startedAt } from '../../format';
import table from '../Table.module.css';
import classes from './PhraseTable.module.css';

interface PhraseTableProps {
  phrases: readonly Phrase[];
  queues: readonly Queue[];
  /** Null: only to be read. */
  onRemove: ((phrase: Phrase) => void) | null;
}

export function PhraseTable({ phrases, queues, onRemove }: PhraseTableProps) {
  const queueOf = (id: string) => queues.find((queue) => queue.id === id)?.name ?? 'one queue';
  return (
    <div className={table.frame}>
      <table className={`${table.table} ${classes.table}`}>
        <thead>
          <tr>
            <th scope="col">Phrase</th>
            <th scope="col">For</th>
            <th scope="col">Added</th>
            {onRemove && (
              <th scope="col">
                <span className="visually-hidden">Remove</span>
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {phrases.map((phrase) => (
            <tr key={phrase.id} className={table.row} data-testid="phrase-row">
              <td className={classes.phrase} dir="auto">
                {phrase.phrase}
              </td>
              <td className={classes.dim}>
                {phrase.queue_id === null ? 'Every call' : `Calls to ${queueOf(phrase.queue_id)}`}
              </td>
              <td className={classes.dim}>
                <time dateTime={phrase.created_at} title={dayAndTime(phrase.created_at)}>
                  {startedAt(phrase.created_at, Date.now())}
                </time>
              </td>
              {onRemove && (
                <td className={classes.act}>
                  <ActionIcon
                    size="md"
                    aria-label={`Remove ${phrase.phrase}`}
                    data-testid="phrase-remove"
                    onClick={({ currentTarget }) => {
                      focusBeside(currentTarget);
                      onRemove(phrase);
                    }}
                  >
                    <IconTrash size={16} stroke={1.7} />
                  </ActionIcon>
                </td>
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The row is about to go: the focus goes on to its neighbour, or it would be lost. */
function focusBeside(button: HTMLElement) {
  const row = button.closest('tr');
  const beside = row?.nextElementSibling ?? row?.previousElementSibling;
  beside?.querySelector('button')?.focus();
}
