import { Button } from '@mantine/core';
import { IconArrowBackUp, IconCheck, IconX } from '@tabler/icons-react';
import { Link } from 'wouter';
import type { Callback, CallbackStatus } from '../../api/types';
import { dayAndTime, startedAt } from '../../format';
import { Chip } from '../Chip';
import { CALLBACK_MARKS } from '../marks';
import table from '../Table.module.css';
import classes from './CallbackTable.module.css';

interface CallbackTableProps {
  callbacks: readonly Callback[];
  onChange: (id: string, to: CallbackStatus) => void;
}

export function CallbackTable({ callbacks, onChange }: CallbackTableProps) {
  return (
    <div className={table.frame}>
      <table className={`${table.table} ${classes.table}`}>
        <thead>
          <tr>
            <th scope="col">Caller</th>
            <th scope="col">What</th>
            <th scope="col">Queue</th>
            <th scope="col">When</th>
            <th scope="col">
              <span className="visually-hidden">Mark as</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {callbacks.map((callback) => (
            <CallbackRow key={callback.id} callback={callback} onChange={onChange} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface CallbackRowProps {
  callback: Callback;
  onChange: CallbackTableProps['onChange'];
}

function CallbackRow({ callback, onChange }: CallbackRowProps) {
  const { id, call_id, number, kind, status, queue, requested_at, done_by_name, done_at } = callback;
  const { icon, word } = CALLBACK_MARKS[kind];
  const caller = number ?? 'Number withheld';
  return (
    <tr className={table.row} data-testid="callback-row" data-kind={kind} data-status={status}>
      <td>
        <Link href={`/calls/${call_id}`} className={`${table.link} numeric`}>
          {caller}
        </Link>
      </td>
      <td>
        <div className={classes.what}>
          <Chip icon={icon} tone="accent">
            {word}
          </Chip>
          {kind === 'voicemail' && (
            <Link href={`/calls/${call_id}`} className={classes.listen} aria-label={`Listen: ${caller}`}>
              Listen
            </Link>
          )}
        </div>
      </td>
      <td className={classes.queue}>{queue}</td>
      <td className={classes.when}>
        <time dateTime={requested_at} title={dayAndTime(requested_at)}>
          {startedAt(requested_at, Date.now())}
        </time>
        {done_at && (
          <span className={classes.by}>
            {status === 'done' ? 'done' : 'dismissed'} {startedAt(done_at, Date.now())}
            {done_by_name && ` by ${done_by_name}`}
          </span>
        )}
      </td>
      <td>
        <div className={classes.acts}>
          {status === 'open' ? (
            <>
              <Button
                size="xs"
                variant="default"
                leftSection={<IconCheck size={14} />}
                aria-label={`Done: ${caller}`}
                data-testid="callback-done"
                onClick={() => onChange(id, 'done')}
              >
                Done
              </Button>
              <Button
                size="xs"
                variant="subtle"
                color="gray"
                leftSection={<IconX size={14} />}
                aria-label={`Dismiss: ${caller}`}
                data-testid="callback-dismiss"
                onClick={() => onChange(id, 'dismissed')}
              >
                Dismiss
              </Button>
            </>
          ) : (
            <Button
              size="xs"
              variant="subtle"
              color="gray"
              leftSection={<IconArrowBackUp size={14} />}
              aria-label={`Open again: ${caller}`}
              data-testid="callback-reopen"
              onClick={() => onChange(id, 'open')}
            >
              Open again
            </Button>
          )}
        </div>
      </td>
    </tr>
  );
}
