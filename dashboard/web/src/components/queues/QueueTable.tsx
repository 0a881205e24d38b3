import { UnstyledButton } from '@mantine/core';
import { IconUsersGroup } from '@tabler/icons-react';
import type { Agent, Queue } from '../../api/types';
import { span } from '../../format';
import table from '../Table.module.css';
import classes from './QueueTable.module.css';
import { modeWord, timeoutWord } from './words';

interface QueueTableProps {
  queues: readonly Queue[];
  agents: readonly Agent[];
  onOpen: (queue: Queue) => void;
}

const NAMED_AGENTS = 3;

export function QueueTable({ queues, agents, onOpen }: QueueTableProps) {
  const nameOf = (id: string) => agents.find((agent) => agent.id === id)?.name ?? 'Somebody';
  const who = (ids: readonly string[]) => {
    if (ids.length === 0) return 'Everybody';
    const named = ids.slice(0, NAMED_AGENTS).map(nameOf).join(', ');
    return ids.length > NAMED_AGENTS ? `${named} and ${ids.length - NAMED_AGENTS} more` : named;
  };
  return (
    <div className={table.frame}>
      <table className={`${table.table} ${classes.table}`}>
        <thead>
          <tr>
            <th scope="col">Queue</th>
            <th scope="col">Numbers</th>
            <th scope="col">Calls</th>
            <th scope="col">Agents</th>
            <th scope="col">If nobody answers</th>
          </tr>
        </thead>
        <tbody>
          {queues.map((queue) => (
            <tr key={queue.id} className={table.row} data-testid="queue-row" data-queue-id={queue.id}>
              <td>
                <UnstyledButton className={table.link} onClick={() => onOpen(queue)}>
                  {queue.name}
                </UnstyledButton>
              </td>
              <td className={`${classes.numbers} numeric`}>
                {queue.numbers.join(', ') || (queue.is_default ? 'Every other number' : 'None yet')}
              </td>
              <td>
                <span className={table.label}>Calls: </span>
                {modeWord(queue.mode)}
                <span className={classes.also}>{queue.recorded ? 'Recorded' : 'Not recorded'}</span>
              </td>
              <td>
                <span className={classes.agents}>
                  <IconUsersGroup size={15} stroke={1.7} aria-hidden />
                  {who(queue.agents)}
                </span>
              </td>
              <td>
                <span className={table.label}>If nobody answers: </span>
                {timeoutWord(queue.on_timeout)}
                <span className={classes.also}>after {span(queue.max_wait_s * 1000)}</span>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
