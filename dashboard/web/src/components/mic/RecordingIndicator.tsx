import { Button, Tooltip } from '@mantine/core';
import { IconLoader2, IconPlayerStopFilled } from '@tabler/icons-react';
import { Link } from 'wouter';
import { useNow } from '../../clock';
import { clock, span } from '../../format';
import { type MicState, useMic } from '../../mic/MicContext';
import { LevelMeter } from './LevelMeter';
import classes from './RecordingIndicator.module.css';

type Recording = Extract<MicState, { callId: string }>;

/** How this browser's recording fares; nothing while there is none. */
export function RecordingIndicator() {
  const { state } = useMic();
  return 'callId' in state ? <Indicator recording={state} /> : null;
}

function Indicator({ recording }: { recording: Recording }) {
  const { stop, level } = useMic();
  const now = useNow();
  const { phase, callId, since, lostMs } = recording;
  return (
    <div className={classes.root} data-testid="recording-indicator" data-phase={phase}>
      <Tooltip label={lostMs > 0 ? `${span(lostMs)} could not be sent` : 'Open the call being recorded'}>
        <Link href={`/calls/${callId}`} className={classes.call}>
          {phase === 'recording' ? (
            <span className={classes.dot} aria-hidden />
          ) : (
            <IconLoader2 className={classes.turning} size={14} aria-hidden />
          )}
          <span className="visually-hidden">Recording the microphone, </span>
          <span className="numeric">{clock(now - since)}</span>
          {phase === 'reconnecting' && <span className={classes.word}>Reconnecting</span>}
        </Link>
      </Tooltip>
      <LevelMeter level={level} />
      <Button
        size="compact-sm"
        color="red"
        variant="light"
        leftSection={<IconPlayerStopFilled size={14} />}
        loading={phase === 'stopping'}
        onClick={stop}
      >
        Stop
      </Button>
    </div>
  );
}
