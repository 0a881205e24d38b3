import { memo } from 'react';
import { Link } from 'wouter';
import { callName, callNumbers } from '../../names';
import type { BoardCall } from '../../state/board';
import { isImported } from '../../state/call';
import { DoorIcon } from '../DoorIcon';
import { Duration } from '../Duration';
import { ImportingBadge, LiveBadge, Position } from '../LiveBadge';
import { doorMark, ROLE_MARKS } from '../marks';
import { Supervise } from '../phone/Supervise';
import { RoleAvatar } from '../RoleAvatar';
import { StageChip } from '../StageChip';
import { CallChips } from './CallChips';
import classes from './LiveCallCard.module.css';

export const LiveCallCard = memo(function LiveCallCard({ call }: { call: BoardCall }) {
  const { last_line: line } = call;
  const imported = isImported(call);
  return (
    <article className={classes.root} data-testid="call-row" data-status={call.status} data-call-id={call.id}>
      <div className={classes.head}>
        <DoorIcon door={call.door} />
        <div className={classes.who}>
          <h3 className={classes.name}>
            <Link href={`/calls/${call.id}`} className={classes.link}>
              {callName(call)}
            </Link>
          </h3>
          <p className={`${classes.numbers} numeric`}>
            {[doorMark(call.door).word, callNumbers(call)].filter(Boolean).join(' · ')}
          </p>
        </div>
        <div className={classes.clock}>
          {imported ? (
            <>
              <ImportingBadge />
              {line && <Position ms={line.start_ms} />}
            </>
          ) : (
            <>
              <LiveBadge />
              <Duration call={call} />
            </>
          )}
        </div>
      </div>
      <p className={classes.summary}>
        {call.summary ?? 'The summary follows once there is something to sum up.'}
      </p>
      <div className={classes.chips}>
        <StageChip call={call} />
        <CallChips call={call} />
      </div>
      <Supervise call={call} onCard />
      <div className={classes.line}>
        {line ? (
          <>
            <RoleAvatar role={line.role} size={22} />
            <p className={classes.words} data-final={line.is_final}>
              <span className={classes.role} style={{ color: `var(--hl-${line.role})` }}>
                {ROLE_MARKS[line.role].word}
              </span>{' '}
              {line.text}
            </p>
          </>
        ) : (
          <p className={classes.words} data-final="false">
            {imported ? 'The words follow…' : 'Listening…'}
          </p>
        )}
      </div>
    </article>
  );
});
