import { Link } from 'wouter';
import type { CallSummary } from '../../api/types';
import { clock, dayAndTime, startedAt } from '../../format';
import { callName, callNumbers } from '../../names';
import { DoorIcon } from '../DoorIcon';
import { doorMark } from '../marks';
import { StageChip } from '../StageChip';
import { CallChips } from './CallChips';
import classes from './EndedCalls.module.css';

export function EndedCallRow({ call }: { call: CallSummary }) {
  return (
    <tr className={classes.row} data-testid="call-row" data-status={call.status} data-call-id={call.id}>
      <td>
        <div className={classes.call}>
          <DoorIcon door={call.door} size="sm" />
          <span className={classes.who}>
            <Link href={`/calls/${call.id}`} className={classes.link}>
              {callName(call)}
            </Link>
            <span className={`${classes.numbers} numeric`}>
              {callNumbers(call) || doorMark(call.door).word}
            </span>
          </span>
        </div>
      </td>
      <td className={classes.summary}>
        <span className={classes.clamp}>{call.summary ?? 'No summary'}</span>
      </td>
      <td className={classes.chips}>
        <span>
          <StageChip call={call} />
          <CallChips call={call} />
        </span>
      </td>
      <td className={`${classes.duration} ${classes.right} numeric`}>
        {call.duration_ms === null ? '–' : clock(call.duration_ms)}
      </td>
      <td className={`${classes.started} ${classes.right}`}>
        <time dateTime={call.started_at} title={dayAndTime(call.started_at)}>
          {startedAt(call.started_at, Date.now())}
        </time>
      </td>
    </tr>
  );
}
