import { ActionIcon } from '@mantine/core';
import { IconArrowLeft, IconCircleCheck } from '@tabler/icons-react';
import { Link } from 'wouter';
import { dayAndTime } from '../format';
import { callName, callNumbers, partyNames } from '../names';
import { type CallState, isImported } from '../state/call';
import type { FeedStatus } from '../state/feed';
import classes from './CallHeader.module.css';
import { Chip } from './Chip';
import { ConnectionState } from './ConnectionState';
import { DoorIcon } from './DoorIcon';
import { Duration } from './Duration';
import { ExportMenu } from './ExportMenu';
import { ImportingBadge, LiveBadge, Position } from './LiveBadge';
import { doorMark } from './marks';
import { RecordingStatus } from './recording/RecordingStatus';
import { StageChip } from './StageChip';

export function CallHeader({ state, status }: { state: CallState; status: FeedStatus }) {
  const { call, legs } = state;
  const parties = partyNames(call, legs);
  const importing = call.status === 'live' && isImported(call);
  const facts = [
    doorMark(call.door).word,
    callNumbers(call),
    parties.join(', '),
    dayAndTime(call.started_at),
  ];
  return (
    <header className={classes.root}>
      <ActionIcon component={Link} href="/" aria-label="All calls" className={classes.back}>
        <IconArrowLeft size={18} stroke={1.8} />
      </ActionIcon>
      <DoorIcon door={call.door} />
      <div className={classes.who}>
        <h1 className={`${classes.name} numeric`}>{callName(call)}</h1>
        <p className={`${classes.facts} numeric`}>{facts.filter(Boolean).join(' · ')}</p>
      </div>
      <div className={classes.now}>
        {call.status === 'ended' && <Chip icon={IconCircleCheck}>Ended</Chip>}
        {call.status === 'live' && (importing ? <ImportingBadge /> : <LiveBadge />)}
        <StageChip
          call={{ ...call, agent: parties.includes(call.agent ?? '') ? null : (call.agent ?? null) }}
        />
        <span className={classes.duration}>
          {importing ? <Position ms={state.segments.at(-1)?.end_ms ?? 0} /> : <Duration call={call} />}
        </span>
        {!importing && <RecordingStatus state={state} />}
        <ConnectionState connection={status.connection} />
        <ExportMenu callId={call.id} />
      </div>
    </header>
  );
}
