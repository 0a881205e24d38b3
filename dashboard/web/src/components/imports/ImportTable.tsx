import { ActionIcon, Button, Progress } from '@mantine/core';
import {
  type Icon,
  IconAlertTriangle,
  IconChevronRight,
  IconCircleCheck,
  IconCircleOff,
  IconClock,
  IconFileImport,
  IconHistory,
  IconRepeat,
  IconUpload,
  IconX,
} from '@tabler/icons-react';
import { Link } from 'wouter';
import { dayAndTime, startedAt } from '../../format';
import { Chip } from '../Chip';
import table from '../Table.module.css';
import classes from './ImportTable.module.css';
import { bytes, canComeAgain, type ImportRow, isUnderWay } from './state';

const ICONS: Record<ImportRow['phase'], Icon> = {
  queued: IconClock,
  reading: IconUpload,
  sending: IconUpload,
  uploading: IconUpload,
  stopped: IconAlertTriangle,
  waiting: IconClock,
  running: IconFileImport,
  done: IconCircleCheck,
  failed: IconAlertTriangle,
  cancelled: IconCircleOff,
};

interface ImportTableProps {
  rows: readonly ImportRow[];
  /** Cancels what is under way, takes off the list what is not. */
  onStop: (row: ImportRow) => void;
  /** Brings in once more what was brought in before. */
  onAgain: (row: ImportRow) => void;
}

export function ImportTable({ rows, onStop, onAgain }: ImportTableProps) {
  return (
    <div className={table.frame}>
      <table className={`${table.table} ${classes.table}`}>
        <thead>
          <tr>
            <th scope="col">Recording</th>
            <th scope="col">How it stands</th>
            <th scope="col">Added</th>
            <th scope="col">
              <span className="visually-hidden">Cancel</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <Row key={row.key} row={row} onStop={onStop} onAgain={onAgain} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

type RowProps = Omit<ImportTableProps, 'rows'> & { row: ImportRow };

function Row({ row, onStop, onAgain }: RowProps) {
  const { name, phase, word, tone, share, detail, callId, createdAt } = row;
  const over = !isUnderWay(row) && phase !== 'stopped';
  const icon = word === 'Imported before' ? IconHistory : ICONS[phase];
  return (
    <tr className={table.row} data-testid="import-row" data-phase={phase} data-name={name}>
      <td className={classes.file}>
        {callId ? (
          <Link href={`/calls/${callId}`} className={`${table.link} ${classes.name}`} dir="auto">
            {name}
          </Link>
        ) : (
          <span className={classes.name} dir="auto">
            {name}
          </span>
        )}
        <span className={`${classes.size} numeric`}>{bytes(row.size)}</span>
      </td>
      <td className={classes.state}>
        <div className={classes.words}>
          <Chip icon={icon} tone={tone}>
            {word}
          </Chip>
          <span className={`${classes.detail} numeric`} data-testid="import-detail">
            {detail}
          </span>
          {canComeAgain(row) && (
            <Button
              size="compact-xs"
              variant="subtle"
              leftSection={<IconRepeat size={14} stroke={1.8} />}
              aria-label={`Import ${name} again`}
              data-testid="import-again"
              onClick={() => onAgain(row)}
            >
              Import again
            </Button>
          )}
        </div>
        {share !== null && (
          <Progress
            className={classes.bar}
            value={100 * share}
            size={5}
            {...(phase === 'stopped' && { color: 'gray' })}
            aria-label={`${word}: ${name}`}
          />
        )}
      </td>
      <td className={classes.when}>
        {createdAt && (
          <time dateTime={createdAt} title={dayAndTime(createdAt)}>
            {startedAt(createdAt, Date.now())}
          </time>
        )}
      </td>
      <td className={classes.act}>
        {over && callId && <IconChevronRight className={classes.open} size={18} stroke={1.8} aria-hidden />}
        {(!over || row.upload) && (
          <ActionIcon
            aria-label={over ? `Take ${name} off the list` : `Cancel ${name}`}
            data-testid="import-stop"
            onClick={() => onStop(row)}
          >
            <IconX size={16} stroke={1.8} />
          </ActionIcon>
        )}
      </td>
    </tr>
  );
}
